"""What encrypts networks: whom the link speaks with, and that the kernel follows every change."""

from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from agent.network.addressing import encrypted_mtu, inner_mtu
from agent.network.encryption import LINK, Encryption, Steps
from agent.network.encryption_keys import preshared_key, private_key, public_key
from agent.network.kernel import (
    Address,
    Link,
    Put,
    Route,
    RouteKind,
    Tunnel,
    TunnelActivity,
    TunnelPeer,
    Value,
    identity,
)
from agent.topology import Changes, Table
from swarm.ids import NetworkId, NodeId, TaskId
from swarm.objects import Network
from swarm.specs import NetworkSpec
from swarm.topology import Endpoint, NetworkKey, Peer, Record, Topology, key_of, topology_of

OWN = NodeId("node1")
PRIVATE = {number: private_key(bytes([number]) * 32) for number in range(1, 6)}
PUBLIC = {number: public_key(key) for number, key in PRIVATE.items()}


def net(name: str = "net", *, encrypted: bool = True, ingress: bool = False) -> Network:
    spec = NetworkSpec(name=name, encrypted=encrypted, ingress=ingress)
    return Network(id=NetworkId(name), spec=spec, vni=4097)


def peer(number: int, key: bytes | None = None, address: str = "") -> Peer:
    return Peer(
        node_id=NodeId(f"node{number}"),
        number=number,
        hostname=f"host{number}",
        address=address or f"192.0.2.{number}",
        public_key=PUBLIC[number] if key is None else key,
    )


def endpoint(node: int, task: str = "", network: str = "net") -> Endpoint:
    return Endpoint(
        network_id=NetworkId(network),
        task_id=TaskId(task or f"task{node}"),
        node_id=NodeId(f"node{node}"),
    )


def secret(number: int) -> NetworkKey:
    return NetworkKey(number=number, secret=bytes([number]) * 32)


class Kernel:
    """What the link's namespace holds, and how often prefixes were replaced."""

    def __init__(self) -> None:
        self.values: dict[tuple[object, ...], Value] = {}
        self.replaced = 0
        self.follow(Steps((Put(Link(name="lo")),)))

    def follow(self, steps: Steps) -> None:
        for each in steps.operations:
            key = identity(each.value)
            if isinstance(each, Put):
                self.replaced += isinstance(each.value, TunnelPeer) and key in self.values
                self.values[key] = each.value
            else:
                self.values.pop(key, None)
        for each in steps.refreshed:
            known = self.values[identity(each)]
            assert isinstance(known, TunnelPeer)
            assert known.allowed == each.allowed
            self.values[identity(each)] = each

    def peers(self) -> dict[bytes, TunnelPeer]:
        found = (each for each in self.values.values() if isinstance(each, TunnelPeer))
        return {each.public_key: each for each in found}

    def has(self, kind: type[Value]) -> list[Value]:
        return [each for each in self.values.values() if isinstance(each, kind)]


class Node:
    """This node, with a kernel that does what is planned."""

    def __init__(self) -> None:
        self.kernel = Kernel()
        self.encryption = Encryption(OWN)
        self.encryption.equip(PRIVATE[1])
        self.now = 1000.0

    def hear(
        self, *records: Record, gone: Iterable[Record] = (), port: int = 0, mtu: int = 1500
    ) -> Steps:
        changes = Changes(put=records, gone=tuple(gone), data_path_port=port)
        self.encryption.follow(changes)
        steps = self.encryption.plan(mtu, now=self.now)
        self.kernel.follow(steps)
        self.encryption.check()
        return steps


def ready(*records: Record) -> Node:
    """A node that shares an encrypted network with node 2."""
    node = Node()
    node.hear(net(), peer(1), peer(2), secret(7), endpoint(1), endpoint(2), *records, port=4789)
    return node


def test_a_peer_in_an_encrypted_network_is_spoken_with_at_one_address() -> None:
    node = ready()

    (found,) = node.kernel.peers().values()
    assert found == TunnelPeer(
        link=LINK,
        public_key=PUBLIC[2],
        preshared_key=preshared_key(secret(7).secret, PUBLIC[1], PUBLIC[2]),
        endpoint="192.0.2.2",
        endpoint_port=4790,
        allowed=("240.0.0.2/32",),
    )
    assert node.kernel.has(Tunnel) == [Tunnel(link=LINK, private_key=PRIVATE[1], port=4790)]
    (address,) = node.kernel.has(Address)
    assert address == Address(link=LINK, address="240.0.0.1/8", has_prefix_route=True)


def test_what_is_encrypted_leaves_room_for_its_headers() -> None:
    node, wide = ready(), ready()
    wide.hear(peer(1, address="2001:db8::1"), mtu=9000)

    (link,) = (each for each in node.kernel.has(Link) if each.name == LINK)
    (other,) = (each for each in wide.kernel.has(Link) if each.name == LINK)

    assert (link.mtu, other.mtu) == (1440, 8920)
    assert inner_mtu(1500, is_ipv6_underlay=False, is_encrypted=True) == 1390
    assert inner_mtu(1500, is_ipv6_underlay=True, is_encrypted=True) == 1370
    assert encrypted_mtu(1500, is_ipv6_underlay=True) == 1420


def test_networks_in_clear_need_no_link() -> None:
    node = Node()
    node.hear(net(encrypted=False), peer(1), peer(2), endpoint(2), port=4789)

    (link,) = (each for each in node.kernel.has(Link) if each.name == LINK)
    assert not link.is_up
    assert not node.kernel.peers()
    assert not node.kernel.has(Address)


def test_the_port_is_known_before_the_link_is_up() -> None:
    """Else the kernel would open another one for a moment."""
    node = Node()
    steps = node.hear(net(), peer(1), endpoint(1), port=5000)

    values = [each.value for each in steps.operations]
    tunnel = Tunnel(link=LINK, private_key=PRIVATE[1], port=5001)
    up = next(each for each in values if isinstance(each, Link))
    assert up.is_up
    assert values.index(tunnel) < values.index(up)


def test_peers_go_with_the_last_endpoint_that_they_have_in_common() -> None:
    node = ready(endpoint(2, "second"), endpoint(3), peer(3))

    node.hear(gone=[endpoint(2)])
    assert node.kernel.peers().keys() == {PUBLIC[2], PUBLIC[3]}
    node.hear(gone=[endpoint(2, "second")])
    assert node.kernel.peers().keys() == {PUBLIC[3]}
    node.hear(gone=[endpoint(3), endpoint(1), net()])

    assert not node.kernel.peers()
    (link,) = (each for each in node.kernel.has(Link) if each.name == LINK)
    assert not link.is_up


def test_in_the_network_that_clients_come_in_through_all_nodes_are() -> None:
    node = Node()
    node.hear(net("ingress", ingress=True), *map(peer, range(1, 5)), secret(7), port=4789)

    assert node.kernel.peers().keys() == {PUBLIC[2], PUBLIC[3], PUBLIC[4]}


def test_a_node_that_booted_anew_has_another_key() -> None:
    node = ready()

    steps = node.hear(peer(2, PUBLIC[5]))

    assert node.kernel.peers().keys() == {PUBLIC[5]}
    # Its address is led to the new one before the old one goes.
    assert [type(each) is Put for each in steps.operations] == [True, False]


def test_without_a_secret_nobody_is_spoken_with() -> None:
    node = Node()
    node.hear(net(), peer(1), peer(2), endpoint(2), port=4789)

    assert not node.kernel.peers()
    assert any("no secret" in each for each in node.encryption.problems(NetworkId("net")))
    node.hear(secret(7))
    assert node.kernel.peers()
    assert not list(node.encryption.problems(NetworkId("net")))


def test_a_peer_that_cannot_be_encrypted_for_is_named_with_the_remedy() -> None:
    node = ready(peer(3, b""), endpoint(3), peer(4, b"short"), endpoint(4))

    assert node.kernel.peers().keys() == {PUBLIC[2]}
    assert list(node.encryption.problems(NetworkId("net"))) == [
        "node host3 (node3) is not reached: it has no WireGuard; load the kernel's module"
        " wireguard there, or place its tasks elsewhere",
        "node host4 (node4) is not reached: its public key has 5 bytes instead of 32",
    ]
    assert not list(node.encryption.problems(NetworkId("other")))
    node.hear(peer(3))
    assert len(node.kernel.peers()) == 2
    assert set(node.encryption.faults) == {"node4"}


def test_a_peer_with_an_address_that_is_none_is_named() -> None:
    node = ready(peer(3, address="elsewhere"), endpoint(3))

    (problem,) = node.encryption.problems(NetworkId("net"))
    assert "its data path address 'elsewhere' is none" in problem


def test_a_host_that_joined_again_is_the_later_node_until_the_other_is_gone() -> None:
    """Its kernel kept the key, so two nodes have it for a while."""
    node = ready(peer(3), endpoint(3), peer(4, PUBLIC[3]), endpoint(4))

    both = node.kernel.peers()
    (problem,) = node.encryption.problems(NetworkId("net"))
    node.hear(gone=[endpoint(4)])
    earlier = node.kernel.peers()
    node.hear(endpoint(4), gone=[endpoint(3), peer(3)])

    assert both[PUBLIC[3]].allowed == ("240.0.0.4/32",)
    assert "host3 (node3) is not reached: node node4 has the same key" in problem
    assert earlier[PUBLIC[3]].allowed == ("240.0.0.3/32",)
    assert node.kernel.peers()[PUBLIC[3]].allowed == ("240.0.0.4/32",)
    assert not node.encryption.faults


def test_who_this_node_was_before_is_no_peer() -> None:
    """The kernel would leave it out without a word."""
    node = ready(peer(3, PUBLIC[1]), endpoint(3))

    assert node.kernel.peers().keys() == {PUBLIC[2]}
    assert "this node's own key" in node.encryption.faults[NodeId("node3")]


def test_a_node_without_wireguard_says_so_and_plans_nothing() -> None:
    node = Node()
    node.encryption = Encryption(OWN)
    node.hear(net(), peer(1), peer(2), secret(7), endpoint(2), port=4789)

    assert not node.kernel.peers()
    (problem,) = node.encryption.problems(NetworkId("net"))
    assert problem.startswith("this node has no WireGuard")


def test_a_new_secret_leaves_prefixes_alone() -> None:
    """To replace them is to be without them for a moment."""
    node = ready(peer(3), endpoint(3))
    before = node.kernel.peers()

    steps = node.hear(secret(8))

    assert steps.operations == ()
    after = node.kernel.peers()
    assert all(after[key].preshared_key != before[key].preshared_key for key in before)
    assert {key: replace(x, preshared_key=b"") for key, x in after.items()} == {
        key: replace(x, preshared_key=b"") for key, x in before.items()
    }


def test_a_pair_that_gets_no_handshake_goes_back_to_the_secret_before() -> None:
    node = ready()
    node.hear(secret(8))
    assert node.encryption.is_in_doubt
    found = [TunnelActivity(handshake_at=1000.0, sent_bytes=sent) for sent in (1, 2)]
    node.encryption.look({PUBLIC[2]: found[0]}, now=1001.0)
    node.encryption.look({PUBLIC[2]: found[1]}, now=1300.0)

    node.hear()

    (old,) = node.kernel.peers().values()
    # Nothing was agreed on before, so it may be either: node 1's key decides who is patient.
    assert old.preshared_key == preshared_key(secret(7).secret, PUBLIC[1], PUBLIC[2])
    for at in (1310.0, 1320.0):
        node.encryption.look({PUBLIC[2]: TunnelActivity(handshake_at=at)}, now=at)
        node.hear()
    (new,) = node.kernel.peers().values()
    assert new.preshared_key == preshared_key(secret(8).secret, PUBLIC[1], PUBLIC[2])


def test_what_is_right_is_left_alone_and_only_what_is_wrong_mended() -> None:
    node = ready(peer(3), endpoint(3))
    held = list(node.kernel.values.values())
    assert not node.encryption.mend(held, is_all=True)
    stranger = TunnelPeer(link=LINK, public_key=b"s" * 32, allowed=("0.0.0.0/0",))
    roamed = replace(node.kernel.peers()[PUBLIC[2]], endpoint="192.0.2.99")
    stolen = replace(node.kernel.peers()[PUBLIC[3]], allowed=("240.0.0.3/32", "240.0.0.9/32"))
    others = [each for each in held if not isinstance(each, TunnelPeer)]
    kernels_own = Route(destination="240.0.0.1/32", link=LINK, kind=RouteKind.LOCAL, protocol=2)
    found = [*others, stranger, roamed, stolen, kernels_own, Link(name="eth9", kind="dummy")]

    steps = node.encryption.mend(found, is_all=True)
    gently = node.encryption.mend(found, is_all=False)

    assert steps.refreshed == (node.kernel.peers()[PUBLIC[2]],)
    assert [each.value for each in steps.operations if isinstance(each, Put)] == [
        node.kernel.peers()[PUBLIC[3]]
    ]
    gone = [each.value for each in steps.operations if not isinstance(each, Put)]
    assert {identity(each) for each in gone} == {
        identity(stranger),
        ("link", "eth9"),
    }
    assert all(isinstance(each, Put) for each in gently.operations)


RECORDS = st.one_of(
    st.sampled_from([net(), net("clear", encrypted=False), net("door", ingress=True)]),
    st.builds(
        peer,
        st.integers(1, 5),
        st.sampled_from([None, None, b"", b"short", PUBLIC[5], PUBLIC[1]]),
        st.sampled_from(["", "2001:db8::7", "nowhere"]),
    ),
    st.builds(
        endpoint,
        st.integers(1, 5),
        st.sampled_from("abc"),
        st.sampled_from(["net", "clear", "door"]),
    ),
    st.builds(secret, st.integers(1, 4)),
)
MESSAGES = st.lists(st.tuples(st.lists(RECORDS, max_size=6), st.booleans()), max_size=12)


def topology(records: Iterable[Record], *, is_complete: bool, removed: tuple[str, ...]) -> Topology:
    latest = {key_of(each): each for each in records}.values()
    return topology_of(latest, removed=removed, data_path_port=4789, is_complete=is_complete)


@settings(deadline=None, max_examples=300)
@given(MESSAGES, st.data())
def test_law_step_by_step_is_as_all_at_once(
    messages: list[tuple[list[Record], bool]], data: st.DataObject
) -> None:
    """Whatever came in which order, the kernel holds what the last records ask for."""
    node, table = Node(), Table()
    node.hear()
    for records, is_complete in messages:
        known = sorted(table.records)
        removed = data.draw(st.lists(st.sampled_from(known), max_size=3)) if known else []
        changes = table.take(topology(records, is_complete=is_complete, removed=tuple(removed)))
        node.hear(*changes.put, gone=changes.gone, port=changes.data_path_port)

    fresh = Node()
    fresh.hear(
        *Table().take(topology(table.records.values(), is_complete=True, removed=())).put,
        port=table.data_path_port,
    )
    assert node.kernel.values == fresh.kernel.values
    assert node.encryption.faults == fresh.encryption.faults
    assert not node.encryption.mend(node.kernel.values.values(), is_all=True)
    prefixes = [each.allowed for each in node.kernel.peers().values()]
    assert len(set(prefixes)) == len(prefixes)
