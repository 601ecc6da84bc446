from collections.abc import Callable

import grpc
import pytest
from msgspec import structs

from swarm.addresses import parse_address
from swarm.api.v1 import control_pb2, trust_pb2, trust_pb2_grpc
from swarm.certificates import bind, load_certificate, make_key, public_bytes, read_subject, request
from swarm.codec import to_message
from swarm.errors import Invalid, Refused, SwarmError
from swarm.io.rpc import failure
from swarm.specs import Role
from swarm.tokens import make_token
from tests.manager.io.swarm import RANDOM, Swarm, until

Tell = Callable[..., None]


async def renew(swarm: Swarm, identity, csr: bytes):
    async with swarm.dial(identity) as dialled:
        try:
            stub = trust_pb2_grpc.TrustStub(dialled)
            return await stub.Renew(trust_pb2.RenewRequest(csr=csr), timeout=20)
        except grpc.RpcError as err:
            raise failure(err) from err


def test_a_worker_token_makes_a_worker(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        identity, answer = await swarm.enroll(await swarm.token(), hostname="host-1")

        subject = read_subject(load_certificate(identity.certificate))
        node = swarm.view.nodes[answer.node_id]
        assert (subject.node_id, subject.role) == (answer.node_id, Role.WORKER)
        assert node.description.hostname == "host-1"
        assert list(answer.managers) == ["127.0.0.1:2377"]
        assert answer.cluster_id == "cluster"

    tell(story)


def test_a_joiner_that_asks_again_with_its_key_is_the_same_node(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        token, key = await swarm.token(), make_key(RANDOM)

        _, first = await swarm.enroll(token, key=key)
        _, second = await swarm.enroll(token, key=key)

        assert first.node_id == second.node_id
        assert len(swarm.view.nodes) == 2

    tell(story)


def test_a_manager_token_is_refused_with_what_to_do_instead(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        with pytest.raises(Refused, match="joining as a manager is not supported yet") as caught:
            await swarm.enroll(await swarm.token(Role.MANAGER))

        assert "worker token" in caught.value.hint
        assert len(swarm.view.nodes) == 1

    tell(story)


def test_what_handshakes_show_is_made_anew_for_a_new_token_alone(tell: Tell) -> None:
    """Each time costs two signatures, and gRPC a new context of TLS."""

    async def story(swarm: Swarm) -> None:
        trusted = swarm.manager.trusted
        before = trusted.anchors()
        await swarm.enroll(await swarm.token())
        spec = structs.replace(swarm.view.cluster.spec, task_history_limit=3)
        message = control_pb2.UpdateClusterRequest(spec=to_message(spec))
        await swarm.call("UpdateCluster", message)
        await until(lambda: swarm.view.cluster.spec.task_history_limit == 3)

        assert trusted.anchors() is before
        await swarm.token(rotate=True)
        assert trusted.anchors().worker != before.worker
        assert trusted.anchors() is trusted.anchors()

    tell(story)


def test_a_rotated_token_is_refused_from_then_on(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        old = await swarm.token()
        new = await swarm.token(rotate=True)

        with pytest.raises(SwarmError):
            await swarm.enroll(old)
        await swarm.enroll(new)

        assert len(swarm.view.nodes) == 2

    tell(story)


def test_a_token_of_another_swarm_is_refused(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        mine = await swarm.token()
        with pytest.raises(SwarmError):
            await swarm.enroll(make_token(mine.root_digest, RANDOM))

        assert len(swarm.view.nodes) == 1

    tell(story)


def test_an_invitation_is_good_for_joining_only(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        joiner = await swarm.joiner(await swarm.token(Role.MANAGER))

        with pytest.raises(Refused, match="may not call"):
            await swarm.call("GetCluster", control_pb2.GetClusterRequest(), identity=joiner)

    tell(story)


def test_a_node_gets_its_next_certificate_for_another_key(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        identity, answer = await swarm.enroll(await swarm.token())
        key = make_key(RANDOM)

        renewed = await renew(swarm, identity, request(key))

        fresh = bind(key, renewed.certificate, renewed.root_certificate)
        certificate = load_certificate(fresh.certificate)
        assert read_subject(certificate).node_id == answer.node_id
        assert public_bytes(certificate.public_key()) == public_bytes(key.public_key())

    tell(story)


def test_a_managers_next_certificate_names_where_its_etcd_is_found(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        from cryptography import x509

        renewed = await renew(swarm, swarm.members.identity, request(make_key(RANDOM)))

        names = load_certificate(renewed.certificate).extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
        hosts = [str(each) for each in names.value.get_values_for_type(x509.IPAddress)]
        assert hosts == [parse_address("127.0.0.1:2377")[0]]
        subject = read_subject(load_certificate(renewed.certificate))
        assert subject.role is Role.MANAGER

    tell(story)


def test_a_request_that_is_none_is_invalid(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        identity, _ = await swarm.enroll(await swarm.token())

        with pytest.raises(Invalid, match="csr"):
            await renew(swarm, identity, b"not a request")

    tell(story)


def test_a_removed_node_gets_no_certificate(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        identity, answer = await swarm.enroll(await swarm.token())
        await swarm.remove_node(answer.node_id, force=True)

        with pytest.raises(Refused, match="not part of this swarm"):
            await renew(swarm, identity, request(make_key(RANDOM)))

    tell(story)
