"""Encrypted networks, on kernels with WireGuard: `python -m tests.vm` boots one that has."""

import errno
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from agent.network.encryption import LINK
from agent.network.encryption_keys import preshared_key
from agent.network.io import namespaces
from agent.network.io.encryption import EncryptionNamespace
from agent.network.io.netlink import Socket
from agent.network.kernel import Link, Put, Remove, TunnelPeer
from swarm.errors import Refused
from swarm.ids import NodeId
from swarm.objects import Attachment
from swarm.topology import Topology, topology_of
from tests.kernel.encrypted import (
    ENCRYPTED_PORT,
    EncryptedSwarm,
    Incapable,
    Stream,
    encrypted_swarm,
    has_wireguard,
    pair,
    secret,
)
from tests.kernel.routed import (
    FAMILIES,
    PORT,
    Container,
    addresses,
    ask,
    endpoint,
    ip,
    network,
)

pytestmark = pytest.mark.kernel

MARKER = "topsecret"
_MTU_DISCOVER = {socket.AF_INET: (socket.IPPROTO_IP, 10, 2), socket.AF_INET6: (41, 23, 2)}


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    """Where swarms are made, if this kernel has WireGuard."""
    if not has_wireguard(tmp_path):
        pytest.skip("this kernel has no WireGuard: python -m tests.vm has")
    return tmp_path / "swarm"


@pytest.fixture
def two(kernel: Path) -> Iterator[EncryptedSwarm]:
    with encrypted_swarm(kernel, hosts=2) as made:
        yield made


def everything(swarm: EncryptedSwarm) -> Topology:
    """What a manager tells an agent that comes back."""
    return topology_of(swarm.table.records.values(), data_path_port=PORT)


def largest(container: Container, address: str, size: int) -> str:
    """Send one packet of `size` bytes in all, not to be fragmented; who answers."""
    family = FAMILIES[":" in address]
    with namespaces.entered(container.netns):
        made = socket.socket(family, socket.SOCK_DGRAM)
    with made:
        made.setsockopt(*_MTU_DISCOVER[family])
        made.settimeout(10)
        made.connect((address, 80))
        made.send(bytes(size - (48 if ":" in address else 28)))
        return made.recv(64).decode().split()[0]


def test_a_kernel_without_wireguard_gives_no_key_and_keeps_nothing(tmp_path: Path) -> None:
    if has_wireguard(tmp_path):
        pytest.skip("this kernel has WireGuard")
    path = tmp_path / "encryption"
    made = EncryptionNamespace(path, node_id=NodeId("n"), log=structlog.stdlib.get_logger())

    assert not made.open()

    assert (made.public_key, made.netns, path.exists()) == (b"", -1, False)
    made.reconcile()  # looks again, and is content
    made.close(removes=True)


def test_containers_speak_and_nothing_of_it_is_in_clear(two: EncryptedSwarm) -> None:
    """TCP and UDP of both families; the same without encryption shows that we would see it."""
    first, second = pair(two, prefix=MARKER)
    plain = network(2)
    two.tell(Topology(networks=(plain,)))
    outer = [two.serve(plain, host, 5 + n, prefix=MARKER) for n, host in enumerate(two.hosts)]

    with two.tap() as tap:
        for address in second.addresses:
            assert ask(first.netns, address) == (
                second.name,
                addresses(network(1), 0)[":" in address],
            )
            assert ask(first.netns, address, udp=True)[0] == second.name
        secretly = tap.frames()
        ask(outer[0].netns, outer[1].addresses[0])
        openly = tap.frames()

    assert any(MARKER.encode() in each.content for each in openly)
    assert {each.port for each in openly} & {PORT}
    assert not any(MARKER.encode() in each.content for each in secretly)
    assert {each.port for each in secretly} - {0} == {ENCRYPTED_PORT}
    assert not any(bytes((10, 1, 0)) in each.content for each in secretly)
    counted = two.activity(two.hosts[0], two.hosts[1])
    assert counted.handshake_at > 0
    assert counted.received_bytes > 500


@pytest.mark.parametrize(("ipv6", "mtu"), [(False, 1500 - 60 - 50), (True, 1500 - 80 - 50)])
def test_full_packets_pass_and_fill_the_wire(kernel: Path, ipv6: bool, mtu: int) -> None:
    with encrypted_swarm(kernel, hosts=2, ipv6=ipv6) as swarm:
        first, second = pair(swarm)
        with swarm.tap() as tap:
            for address in second.addresses:
                assert largest(first, address, mtu) == second.name
                with pytest.raises(OSError) as refused:
                    largest(first, address, mtu + 1)
                assert refused.value.errno == errno.EMSGSIZE
            frames = [each for each in tap.frames() if each.port == ENCRYPTED_PORT]

    assert max(each.ip_bytes for each in frames) == 1500
    assert not any(each.is_fragment for each in frames)


def test_a_new_secret_under_traffic_loses_nothing(two: EncryptedSwarm) -> None:
    """Also while one has heard of it and the other has not."""
    first, second = pair(two)
    ask(first.netns, second.addresses[0])
    keys = [two.encryptions[host.number].public_key for host in two.hosts]

    with Stream(first, second) as stream:
        for number in (2, 3, 4):
            known = Topology(keys=(secret(number),))
            for host in two.hosts:
                before = stream.sent
                two.tell_one(host, known)
                two.until(lambda before=before: stream.sent > before + 50, within_s=60)
        lost = stream.lost()

    assert lost == 0
    assert stream.sent > 300
    shared = preshared_key(secret(4).secret, *keys)
    for host, other in (two.hosts, two.hosts[::-1]):
        peer = two.tunnel(host)[1][two.encryptions[other.number].public_key]
        assert peer.preshared_key == shared


def test_another_agent_goes_on_with_the_same_key_and_sessions(two: EncryptedSwarm) -> None:
    first, second = pair(two)
    host, other = two.hosts
    ask(first.netns, second.addresses[0])
    before, counted = two.tunnel(host), two.activity(host, other)
    key = two.encryptions[1].public_key
    with Stream(first, second) as stream:
        two.stop(host)
        two.until(lambda sent=stream.sent: stream.sent > sent + 20, within_s=60)
        two.start(host)
        assert two.tunnel(host) == before
        two.tell_one(host, everything(two))
        two.encryptions[1].reconcile()
        lost = stream.lost()

    assert lost == 0
    assert two.encryptions[1].public_key == key
    assert two.tunnel(host) == before
    assert two.activity(host, other).handshake_at == counted.handshake_at


def test_a_node_without_wireguard_is_refused_and_named(kernel: Path) -> None:
    net = network(1, encrypted=True)
    with encrypted_swarm(kernel, hosts=3, without=(3,)) as swarm:
        first, second = pair(swarm)
        at = Attachment(network_id=net.id, addresses=addresses(net, 2))

        with pytest.raises(Refused, match="net1 is encrypted, and this node has no WireGuard"):
            swarm.container(swarm.hosts[2], "t2", at)
        with swarm.tap() as tap:
            swarm.tell(Topology(endpoints=(endpoint(net, "t2", 2, swarm.hosts[2]),)))
            assert ask(first.netns, second.addresses[0])[0] == second.name
            with pytest.raises(OSError):
                ask(first.netns, addresses(net, 2)[0], within_s=0.5)
            frames = tap.frames()

        assert not [each for each in frames if each.port == PORT]
        (problem,) = swarm.encryptions[1].problems(net.id)
        assert problem.startswith("node node3 is not reached: it has no WireGuard")
        assert swarm.encryptions[3].problems(net.id)[0].startswith("this node has no WireGuard")


def test_the_link_is_down_until_it_is_needed_and_again_after(two: EncryptedSwarm) -> None:
    host = two.hosts[0].netns
    listening = f":{ENCRYPTED_PORT} "
    assert listening not in ip(host, "-nlu", program="ss")
    with two.tap() as tap:
        first, second = pair(two)
        assert listening in ip(host, "-nlu", program="ss")
        ask(first.netns, second.addresses[0])
        tap.frames()

        # One side's container is gone, and with it the pair; then the network.
        two.tell(Topology(removed=(f"endpoint/net1/{second.name}",)))
        assert two.tunnel(two.hosts[0])[1] == {}
        two.tell(Topology(removed=(f"endpoint/net1/{first.name}", "network/net1", "key/1")))

    assert listening not in ip(host, "-nlu", program="ss")
    assert two.tunnel(two.hosts[0])[0].private_key
    assert two.encryptions[1].public_key


def test_what_was_wiped_is_made_anew_with_the_same_key_and_what_is_foreign_goes(
    two: EncryptedSwarm,
) -> None:
    first, second = pair(two)
    ask(first.netns, second.addresses[0])
    made, host = two.encryptions[1], two.hosts[0]
    before = two.tunnel(host)
    stranger = TunnelPeer(
        link=LINK, public_key=bytes(31) + b"\1", allowed=("240.0.0.9/32", "0.0.0.0/0")
    )
    with Socket(made.netns) as kernel:
        kernel.apply([Put(stranger), Put(Link(name="dummy0", kind="dummy"))])
        assert len(two.tunnel(host)[1]) == 2

        made.reconcile()

        assert two.tunnel(host) == before
        assert {each.name for each in kernel.links()} == {"lo", LINK}
        assert ask(first.netns, second.addresses[0])[0] == second.name

        with two.tap() as tap:
            kernel.apply([Remove(Link(name=LINK))])
            with pytest.raises(OSError):
                ask(first.netns, second.addresses[0], within_s=1)
            assert not [each for each in tap.frames() if each.port == PORT]

        made.reconcile()

        assert two.tunnel(host) == before
    two.runner.run(host.networks.reconcile())
    assert two.runner.run(host.networks.differences(network(1).id)) == ()
    assert ask(first.netns, second.addresses[0], within_s=30)[0] == second.name


def test_a_network_is_encrypted_again_after_its_namespace_was_wiped(two: EncryptedSwarm) -> None:
    """As after a reboot, but for the containers: another key, which others are told."""
    first, second = pair(two)
    ask(first.netns, second.addresses[0])
    host, key = two.hosts[0], two.encryptions[1].public_key
    two.runner.run(host.networks.close(removes=True))
    two.encryptions.pop(1).close(removes=True)

    two.start(host)
    peers = Topology(peers=tuple(map(two.peer, two.hosts)))
    two.tell(peers)
    two.tell_one(host, everything(two))
    two.runner.run(host.networks.reconcile({}))
    again = two.serve(network(1, encrypted=True), host, 2)

    assert two.encryptions[1].public_key not in {b"", key}
    assert len(two.tunnel(two.hosts[1])[1]) == 1
    assert ask(again.netns, second.addresses[0], within_s=30)[0] == second.name
    assert ask(second.netns, again.addresses[0])[0] == again.name


def test_a_kernel_that_gets_wireguard_later_is_noticed(kernel: Path) -> None:
    """Its key is told then, and what was heard before is done."""
    net = network(1, encrypted=True)
    with encrypted_swarm(kernel, hosts=2, without=(2,)) as swarm:
        swarm.introduce(net)
        first = swarm.serve(net, swarm.hosts[0], 0)
        host, late = swarm.hosts[1], swarm.encryptions[2]
        assert isinstance(late, Incapable)
        assert late.public_key == b""

        late.is_able = True
        late.reconcile()
        swarm.tell(Topology(peers=(swarm.peer(host),)))
        second = swarm.serve(net, host, 1)

        assert late.public_key
        assert swarm.changed == [2]
        assert ask(first.netns, second.addresses[0], within_s=30)[0] == second.name
