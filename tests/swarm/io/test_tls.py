"""Real handshakes on loopback: who gets in, who does not, and what survives a change."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable

import grpc
import grpc.aio
import pytest

from swarm.api.v1 import (
    control_pb2,
    control_pb2_grpc,
    dispatch_pb2,
    dispatch_pb2_grpc,
    trust_pb2,
    trust_pb2_grpc,
)
from swarm.certificates import Identity, key_pem, load_certificate, load_key, request
from swarm.errors import Refused, SwarmError, Unavailable
from swarm.io import tls
from swarm.io.rpc import failure
from swarm.io.tls import CHANNEL_OPTIONS
from swarm.specs import Role
from swarm.tokens import anchor_of, parse_token
from tests.trust import Swarm, forge, serving


def channel(address: str, caller: Identity) -> grpc.aio.Channel:
    return tls.channel(address, caller, dial_s=10.0)


async def _enroll(address: str, caller: Identity) -> trust_pb2.EnrollResponse:
    async with channel(address, caller) as dialled:
        csr = request(load_key(caller.key))
        return await _answered(
            trust_pb2_grpc.TrustStub(dialled).Enroll, trust_pb2.EnrollRequest(csr=csr)
        )


async def _list_nodes(address: str, caller: Identity) -> control_pb2.ListNodesResponse:
    async with channel(address, caller) as dialled:
        stub = control_pb2_grpc.ControlStub(dialled)
        return await _answered(stub.ListNodes, control_pb2.ListNodesRequest())


async def _answered(method: Callable[..., Awaitable], wanted: object):
    try:
        return await method(wanted, timeout=10)
    except grpc.RpcError as err:
        raise failure(err) from err


def _refusal(swarm: Swarm, call: Callable[[str], Awaitable], **how: object) -> SwarmError:
    async def main() -> SwarmError:
        async with serving(swarm, **how) as (address, trust):
            with pytest.raises(SwarmError) as caught:
                await call(address)
            assert not trust.nodes
            return caught.value

    return asyncio.run(main())


@pytest.mark.parametrize("role", Role)
def test_an_invited_joiner_becomes_a_node_of_its_tokens_role(role: Role) -> None:
    swarm = Swarm(time.time())

    async def main() -> None:
        async with serving(swarm) as (address, trust):
            answer = await _enroll(address, swarm.joiner(role))
            assert trust.nodes == [answer.node_id]
            assert swarm.roles[answer.node_id] is role

    asyncio.run(main())


def test_a_caller_without_a_certificate_is_refused_in_the_handshake() -> None:
    swarm = Swarm(time.time())

    async def call(address: str) -> None:
        root = grpc.ssl_channel_credentials(swarm.cluster.root_certificate)
        options = (*CHANNEL_OPTIONS, ("grpc.ssl_target_name_override", "swarm-manager"))
        async with grpc.aio.secure_channel(address, root, options=options) as dialled:
            stub = control_pb2_grpc.ControlStub(dialled)
            await _answered(stub.ListNodes, control_pb2.ListNodesRequest())

    assert isinstance(_refusal(swarm, call), Unavailable)


def test_a_wrong_token_is_refused_in_the_handshake() -> None:
    swarm, other = Swarm(time.time()), Swarm(time.time(), seed=2)
    stranger = other.joiner()
    caller = Identity(
        key=stranger.key, certificate=stranger.certificate, root=swarm.cluster.root_certificate
    )

    assert isinstance(_refusal(swarm, lambda address: _enroll(address, caller)), Unavailable)


def test_a_worker_token_does_not_make_a_manager() -> None:
    """The holder signs itself a manager's certificate with the token's key.

    1. TLS lets it in: the anchor is a trusted signer.
    2. The control API is refused, since the anchor's word makes a joining worker.
    3. So is enrolling for a key other than the certificate's.
    4. What it can get is what the token is for: a worker.
    """
    swarm = Swarm(time.time())
    swarm.roles["manager1"] = Role.MANAGER
    anchor = anchor_of(parse_token(swarm.token()))
    key, forged = forge(anchor.key, anchor.certificate, now=swarm.now, ou="swarm-manager")
    attacker = Identity(key=key_pem(key), certificate=forged, root=swarm.cluster.root_certificate)

    refused = _refusal(swarm, lambda address: _list_nodes(address, attacker))
    assert isinstance(refused, Refused)
    assert refused.message.startswith("a joining worker may not call Control.ListNodes")

    async def main() -> None:
        async with serving(swarm) as (address, _):
            async with channel(address, attacker) as dialled:
                csr = request(load_key(swarm.node().key))
                with pytest.raises(Refused, match="another key than the caller's own"):
                    await _answered(
                        trust_pb2_grpc.TrustStub(dialled).Enroll, trust_pb2.EnrollRequest(csr=csr)
                    )
            answer = await _enroll(address, attacker)
            assert swarm.roles[answer.node_id] is Role.WORKER

    asyncio.run(main())


def test_a_chain_of_appointed_signers_is_refused_in_the_handshake() -> None:
    swarm = Swarm(time.time())
    anchor = anchor_of(parse_token(swarm.token()))
    key, between = forge(
        anchor.key, anchor.certificate, now=swarm.now, ou="swarm-manager", is_authority=True
    )
    leaf_key, leaf = forge(key, load_certificate(between), now=swarm.now, ou="swarm-manager")
    attacker = Identity(
        key=key_pem(leaf_key), certificate=leaf + between, root=swarm.cluster.root_certificate
    )

    assert _refusal(swarm, lambda address: _list_nodes(address, attacker))
    assert _refusal(swarm, lambda address: _enroll(address, attacker))


def test_rotation_counts_at_once_even_on_an_open_connection() -> None:
    swarm = Swarm(time.time())

    async def main() -> None:
        async with serving(swarm) as (address, trust):
            old = swarm.joiner()
            async with channel(address, old) as dialled:
                await dialled.channel_ready()
                swarm.rotate(Role.WORKER)
                wanted = trust_pb2.EnrollRequest(csr=request(load_key(old.key)))
                with pytest.raises(Refused, match="rotated"):
                    await _answered(trust_pb2_grpc.TrustStub(dialled).Enroll, wanted)
            with pytest.raises(Unavailable):
                await _enroll(address, old)
            assert not trust.nodes
            await _enroll(address, swarm.joiner())
            await _enroll(address, swarm.joiner(Role.MANAGER))

    asyncio.run(main())


def test_a_worker_may_not_call_the_control_api_and_a_manager_may() -> None:
    swarm = Swarm(time.time())
    swarm.roles |= {"node1": Role.WORKER, "manager1": Role.MANAGER}

    refused = _refusal(swarm, lambda address: _list_nodes(address, swarm.node()))
    assert isinstance(refused, Refused)
    assert refused.message.startswith("node node1 is a worker and may not call Control.ListNodes")
    assert refused.hint == "run this command on a manager"

    async def main() -> None:
        async with serving(swarm) as (address, _):
            await _list_nodes(address, swarm.server)

    asyncio.run(main())


def test_a_demoted_manager_loses_the_control_api_before_its_certificate_does() -> None:
    swarm = Swarm(time.time())
    swarm.roles["manager1"] = Role.WORKER

    refused = _refusal(swarm, lambda address: _list_nodes(address, swarm.server))

    assert "is a worker and may not call" in refused.message


def test_a_removed_node_is_refused() -> None:
    swarm = Swarm(time.time())

    refused = _refusal(swarm, lambda address: _list_nodes(address, swarm.node()))

    assert isinstance(refused, Refused)
    assert refused.message == "node node1 is not part of this swarm"


def test_an_expired_certificate_is_refused_in_the_handshake() -> None:
    swarm = Swarm(time.time())
    swarm.roles["node1"] = Role.WORKER
    swarm.now -= 3600
    expired = swarm.node(expiry_s=600.0)
    swarm.now += 3600

    assert isinstance(_refusal(swarm, lambda address: _list_nodes(address, expired)), Unavailable)


def test_a_certificate_that_expires_on_an_open_connection_is_refused() -> None:
    swarm = Swarm(time.time())
    swarm.roles["manager1"] = Role.MANAGER
    late = swarm.now + 91 * 86400

    refused = _refusal(swarm, lambda address: _list_nodes(address, swarm.server), now=lambda: late)

    assert isinstance(refused, Refused)
    assert "the certificate of node manager1 expired" in refused.message


def test_a_worker_cannot_pose_as_a_manager() -> None:
    swarm = Swarm(time.time())
    swarm.roles["manager1"] = Role.MANAGER
    manager = swarm.server
    swarm.server = swarm.node(Role.WORKER)

    assert isinstance(_refusal(swarm, lambda address: _list_nodes(address, manager)), Unavailable)


def test_a_server_of_another_swarm_is_not_believed() -> None:
    swarm, other = Swarm(time.time()), Swarm(time.time(), seed=2)

    async def main() -> None:
        async with serving(other) as (address, _):
            with pytest.raises(Unavailable):
                await _list_nodes(address, swarm.server)

    asyncio.run(main())


def test_renewal_and_rotation_drop_no_session() -> None:
    """A session outlives every change of certificates.

    1. A worker opens its session.
    2. The manager's own certificate is renewed and both tokens are rotated.
    3. The worker renews its certificate over a second connection.
    4. The session still answers; whoever dials next meets the manager's new certificate.
    """
    swarm = Swarm(time.time())
    swarm.roles["node1"] = Role.WORKER
    worker = swarm.node()

    async def main() -> None:
        async with serving(swarm) as (address, _), channel(address, worker) as dialled:
            session = dispatch_pb2_grpc.DispatcherStub(dialled).Session()

            async def echoed() -> str:
                await session.write(dispatch_pb2.AgentMessage())
                return (await asyncio.wait_for(session.read(), 10)).welcome.session_id

            assert await echoed() == "node1"
            before = await _shown(address)
            swarm.server = swarm.node(Role.MANAGER, "manager1")
            for role in Role:
                swarm.rotate(role)
            assert await echoed() == "node1"
            async with channel(address, worker) as second:
                wanted = trust_pb2.RenewRequest(csr=request(load_key(worker.key)))
                await _answered(trust_pb2_grpc.TrustStub(second).Renew, wanted)
            assert await echoed() == "node1"
            after = await _shown(address)
            assert before != after
            assert after == swarm.server.certificate
            await session.done_writing()

    async def _shown(address: str) -> bytes:
        import ssl

        host, _, port = address.partition(":")
        shown = await asyncio.to_thread(ssl.get_server_certificate, (host, int(port)))
        return shown.encode()

    asyncio.run(main())


def test_a_fetch_that_fails_serves_what_it_gave_last() -> None:
    swarm = Swarm(time.time())
    swarm.roles["manager1"] = Role.MANAGER
    good, broken = swarm.serving, False

    def fetch():
        if broken:
            raise OSError("disk on fire")
        return good()

    async def main() -> None:
        nonlocal broken
        swarm.serving = fetch
        async with serving(swarm) as (address, _):
            broken = True
            await _list_nodes(address, swarm.server)

    asyncio.run(main())


@pytest.mark.parametrize("asks", ["and takes it", "in vain"])
def test_a_change_waits_until_the_handshake_before_it_has_taken_its_own(
    asks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """gRPC frees what is replaced, and does not know who is about to take it."""
    asked: list[Callable[[], object]] = []
    slept: list[float] = []
    swarm, now, broken = Swarm(time.time()), 1000.0, False

    def fetch():
        if broken:
            raise OSError("disk on fire")
        return swarm.serving()

    monkeypatch.setattr(
        tls.grpc, "dynamic_ssl_server_credentials", lambda _, changed, __: asked.append(changed)
    )
    monkeypatch.setattr(tls.time, "monotonic", lambda: now)
    monkeypatch.setattr(tls.time, "sleep", slept.append)
    tls.server_credentials(fetch)
    (changed,) = asked

    if asks == "in vain":
        broken = True
        with pytest.raises(OSError, match="disk on fire"):
            changed()
        broken = False
    else:
        assert changed() is None
    swarm.rotate(Role.WORKER)
    now += 0.03
    assert changed() is not None
    assert changed() is None
    swarm.rotate(Role.WORKER)
    now += 60
    assert changed() is not None

    assert slept == [pytest.approx(0.07), 0.0]


def test_what_is_served_may_go_back_to_what_it_was() -> None:
    """A restored backup brings the old token back."""
    swarm = Swarm(time.time())
    first = (swarm.cluster, swarm.anchors)

    async def main() -> None:
        async with serving(swarm) as (address, _):
            old = swarm.joiner()
            swarm.rotate(Role.WORKER)
            await _enroll(address, swarm.joiner())
            swarm.cluster, swarm.anchors = first
            await _enroll(address, old)

    asyncio.run(main())


def test_a_second_server_on_one_port_fails() -> None:
    swarm = Swarm(time.time())

    async def main() -> None:
        async with serving(swarm) as (address, _):
            from swarm.io.tls import SERVER_OPTIONS, server_credentials

            second = grpc.aio.server(options=SERVER_OPTIONS)
            with pytest.raises(RuntimeError, match="Failed to bind"):
                second.add_secure_port(address, server_credentials(swarm.serving))

    asyncio.run(main())


def test_web_proxies_are_not_asked() -> None:
    swarm = Swarm(time.time())
    swarm.roles["manager1"] = Role.MANAGER
    kept = os.environ.get("https_proxy")
    os.environ["https_proxy"] = "http://127.0.0.1:9"

    async def main() -> None:
        async with serving(swarm) as (address, _):
            await _list_nodes(address.replace("127.0.0.1", "localhost"), swarm.server)

    try:
        asyncio.run(main())
    finally:
        if kept is None:
            del os.environ["https_proxy"]
        else:
            os.environ["https_proxy"] = kept
