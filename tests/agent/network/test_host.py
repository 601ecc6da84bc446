import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agent.network import addressing, fields, host_rules
from agent.network.host import Host
from agent.network.host_rules import Key
from agent.network.kernel import (
    Address,
    Element,
    Neighbour,
    Put,
    Remove,
    Route,
    Set,
    Value,
    identity,
)
from agent.network.uplinks import Uplink
from agent.topology import Changes
from swarm.ids import NetworkId, NodeId, ServiceId, TaskId
from swarm.objects import Network
from swarm.specs import NetworkDriver, NetworkSpec, Port, Protocol, PublishMode
from swarm.topology import Endpoint, Peer, Publication, Record, key_of

INGRESS = NetworkId("ingress1")
WEB, API = ServiceId("web"), ServiceId("api")


class Kernel:
    """What the operations of plans have made so far."""

    def __init__(self) -> None:
        self.values: dict[tuple[object, ...], Value] = {}
        self.count = 0

    def follow(self, host: Host) -> None:
        host.check()
        steps = host.plan()
        host.check()
        self.count = len(steps.operations)
        for operation in steps.operations:
            if isinstance(operation, Put):
                self.values[identity(operation.value)] = operation.value
            else:
                self.values.pop(identity(operation.value), None)
        assert self.values == {identity(each): each for each in host.wanted()}

    def of(self, wanted: Set) -> dict[bytes, Element]:
        elements = [each for each in self.values.values() if isinstance(each, Element)]
        return {each.key: each for each in elements if each.of == wanted}


def ingress(**fields: object) -> Network:
    return Network(id=INGRESS, vni=4097, spec=NetworkSpec(name="ingress", ingress=True))


def endpoint(task: str, last: int, *, service: ServiceId = WEB, **changes: object) -> Endpoint:
    made = Endpoint(
        network_id=INGRESS, task_id=TaskId(task), service_id=service, is_serving=True,
        addresses=(f"10.255.0.{last}", f"fd00::{last}"),
    )  # fmt: skip
    return replace(made, **changes)


def publication(*ports: Port, service: ServiceId = WEB) -> Publication:
    return Publication(service_id=service, ports=ports)


def port(published: int = 8080, target: int = 80, **fields: object) -> Port:
    return replace(Port(target=target, published=published), **fields)


def host_with(*records: Record) -> tuple[Host, Kernel]:
    host, kernel = Host(), Kernel()
    host.follow(Changes(put=(ingress(), *records)))
    kernel.follow(host)
    return host, kernel


def backends_of(kernel: Kernel, of: Set) -> set[str]:
    return {data.hex() for each in kernel.of(of).values() if isinstance(data := each.data, bytes)}


def backend(address: str, target: int = 80) -> str:
    return fields.joined(fields.address(address), fields.port(target)).hex()


def test_a_published_port_leads_to_the_addresses_and_target_of_every_endpoint() -> None:
    _, kernel = host_with(publication(port()), endpoint("t1", 5), endpoint("t2", 6))

    assert backends_of(kernel, host_rules.SLOTS4) == {backend("10.255.0.5"), backend("10.255.0.6")}
    assert backends_of(kernel, host_rules.SLOTS6) == {backend("fd00::5"), backend("fd00::6")}
    (led,) = kernel.of(host_rules.PORTS).values()
    assert led.data == fields.goto("share16")


def test_endpoints_that_do_not_serve_have_no_slots_but_the_port_stays_to_refuse() -> None:
    host, kernel = host_with(publication(port()), endpoint("t1", 5))

    host.follow(Changes(put=(endpoint("t1", 5, is_serving=False),)))
    kernel.follow(host)

    assert not kernel.of(host_rules.SLOTS4)
    assert kernel.of(host_rules.PORTS)


def test_an_endpoint_that_only_stops_serving_keeps_its_connections() -> None:
    host, _ = host_with(publication(port()), endpoint("t1", 5), endpoint("t2", 6))

    host.follow(Changes(put=(endpoint("t1", 5, is_serving=False),)))
    leaving = host.plan()
    host.follow(Changes(gone=(endpoint("t1", 5, is_serving=False),)))
    gone = host.plan()

    assert leaving.gone == ()
    assert gone.gone == (("10.255.0.5", "fd00::5"),)


def test_one_endpoint_more_of_a_hundred_costs_its_own_slots_not_all_of_them() -> None:
    crowd = [endpoint(f"t{at}", at) for at in range(1, 101)]
    host, kernel = host_with(publication(port()), *crowd)
    slots = len(kernel.of(host_rules.SLOTS4))

    host.follow(Changes(put=(endpoint("t101", 101),)))
    kernel.follow(host)

    assert slots == 1024
    assert kernel.count <= 2 * 6 * (slots // 101 + 1)


def test_a_change_of_one_service_says_nothing_about_others() -> None:
    others = [
        each
        for at in range(2, 200)
        for each in (
            publication(port(8000 + at), service=ServiceId(f"s{at}")),
            endpoint(f"t{at}", at, service=ServiceId(f"s{at}")),
        )
    ]
    host, kernel = host_with(*others, publication(port(80)), endpoint("t1", 1))

    host.follow(Changes(gone=(endpoint("t1", 1),)))
    kernel.follow(host)

    assert kernel.count == 2 * 16


def test_weights_are_shares_of_new_connections() -> None:
    _, kernel = host_with(
        publication(port()), endpoint("stable", 5, weight=9), endpoint("canary", 6, weight=1)
    )

    slots = [each.data for each in kernel.of(host_rules.SLOTS4).values()]

    share = sum(data == bytes.fromhex(backend("10.255.0.6")) for data in slots) / len(slots)
    assert share == pytest.approx(0.1, abs=0.03)


def test_a_port_of_one_address_is_apart_from_the_same_port_of_all() -> None:
    _, kernel = host_with(
        publication(port(ip="192.0.2.1")),
        publication(port(ip="2001:db8::1"), service=API),
        endpoint("t1", 5),
        endpoint("t2", 6, service=API),
    )

    assert not kernel.of(host_rules.PORTS)
    (led4,) = kernel.of(host_rules.PORTS4).values()
    (led6,) = kernel.of(host_rules.PORTS6).values()
    assert host_rules.port_of(led4) == Key("tcp", 8080, "192.0.2.1")
    assert host_rules.port_of(led6) == Key("tcp", 8080, "2001:db8::1")
    assert backends_of(kernel, host_rules.SLOTS_AT4) == {backend("10.255.0.5")}
    assert backends_of(kernel, host_rules.SLOTS_AT6) == {backend("fd00::6")}


def test_who_has_a_port_is_whoever_has_it_on_one_of_the_same_addresses() -> None:
    host = Host()
    host.follow(Changes(put=(ingress(), publication(port(8081)))))
    host.publish(TaskId("c1"), ("172.17.0.2",), {Key("tcp", 8080, "127.0.0.1"): 80})

    def beside(key: Key, owner: str = "") -> list[str]:
        return list(host.owners_beside(key, TaskId(owner)))

    assert beside(Key("tcp", 8080)) == ["c1"]
    assert beside(Key("tcp", 8080, "127.0.0.1")) == ["c1"]
    assert beside(Key("tcp", 8080, "10.0.0.1")) == []
    assert beside(Key("udp", 8080)) == []
    assert beside(Key("tcp", 8080), "c1") == []
    assert beside(Key("tcp", 8081, "10.0.0.1")) == [WEB]


def test_in_the_nodes_own_networks_the_host_has_the_gateways_address() -> None:
    host = Host()
    uplink = Uplink(
        network_id=NetworkId("bridge"),
        link="sw-00000001",
        subnets=("172.17.0.0/16",),
        mtu=1500,
        gateways=("172.17.0.1",),
    )

    host.connect(uplink)
    host.plan()

    own = Address(link="sw-00000001", address="172.17.0.1/32", on_link_only=True)
    assert own in list(host.wanted())
    host.disconnect(NetworkId("bridge"))
    assert Remove(own) in host.plan().operations


def test_ports_of_a_node_itself_are_not_published_with_the_service() -> None:
    _, kernel = host_with(publication(port(mode=PublishMode.HOST)), endpoint("t1", 5))

    assert not kernel.of(host_rules.PORTS)


def test_a_port_that_another_program_has_is_left_to_it_until_it_lets_go() -> None:
    host, kernel = host_with(endpoint("t1", 5))
    host.follow(Changes(put=(publication(port()),)))
    assert host.contested() == (("tcp", 8080),)

    host.judge(("tcp", 8080), {"": "nginx has it"})
    kernel.follow(host)
    withheld = kernel.of(host_rules.PORTS)
    host.judge(("tcp", 8080), {})
    kernel.follow(host)

    assert not withheld
    assert kernel.of(host_rules.PORTS)
    assert not host.refusals


def test_a_port_that_was_led_before_a_restart_is_not_given_up_to_who_took_it_since() -> None:
    host, kernel = Host(), Kernel()
    host.inherit(frozenset({Key("tcp", 8080)}))
    host.follow(Changes(put=(ingress(), publication(port()), endpoint("t1", 5))))

    host.judge(("tcp", 8080), {"": "nginx has it"})
    kernel.follow(host)

    assert kernel.of(host_rules.PORTS)
    assert host.refusals == {Key("tcp", 8080): "nginx has it"}


@pytest.mark.parametrize("is_new_first", [True, False])
def test_a_port_that_moves_to_another_service_ends_there_whichever_word_comes_first(
    is_new_first: bool,
) -> None:
    host, kernel = host_with(publication(port()), endpoint("t1", 5), endpoint("t2", 6, service=API))
    taken = Changes(put=(publication(port(), service=API),))
    released = Changes(put=(publication(),))

    for changes in (taken, released) if is_new_first else (released, taken):
        host.follow(changes)
        kernel.follow(host)

    assert backends_of(kernel, host_rules.SLOTS4) == {backend("10.255.0.6")}


def test_datagrams_are_looked_after_when_their_port_is_led_anew() -> None:
    host, _ = host_with(endpoint("t1", 5))

    host.follow(Changes(put=(publication(port(5353, protocol=Protocol.UDP), port(80)),)))
    begun = host.plan()
    host.follow(Changes(gone=(publication(),)))
    ended = host.plan()

    assert begun.reordered == ended.reordered == {5353}


def test_a_router_is_reached_through_its_link_by_next_hops_nobody_is_asked_about() -> None:
    host, kernel = Host(), Kernel()
    subnets = ("10.0.1.0/24", "fd00:1::/64")

    host.connect(Uplink(network_id=INGRESS, link="sw-00000001", subnets=subnets, mtu=1450))
    kernel.follow(host)

    links = list(kernel.values.values())
    assert (
        Route(
            destination="10.0.1.0/24", link="sw-00000001", via=addressing.ROUTER_VIA, is_onlink=True
        )
        in links
    )
    assert (
        Neighbour(link="sw-00000001", address=addressing.ROUTER_VIA6, mac=addressing.ROUTER_MAC)
        in links
    )
    assert kernel.of(host_rules.UPLINKS)
    host.disconnect(INGRESS)
    kernel.follow(host)
    assert not kernel.values
    assert not host


def test_what_hung_on_a_link_is_put_again_when_the_link_was_made_again() -> None:
    host, kernel = Host(), Kernel()
    uplink = Uplink(network_id=INGRESS, link="sw-00000001", subnets=("10.0.1.0/24",), mtu=1450)
    host.connect(uplink)
    kernel.follow(host)
    first = kernel.count

    host.connect(uplink)
    kernel.follow(host)

    assert kernel.count == first


def test_only_networks_with_a_tunnel_are_guarded_and_encrypted_ones_twice() -> None:
    bridge = NetworkSpec(name="local", driver=NetworkDriver.BRIDGE)
    _, kernel = host_with(
        Network(id=NetworkId("n2"), vni=4098, spec=NetworkSpec(name="x", encrypted=True)),
        Network(id=NetworkId("n3"), vni=4099, spec=bridge),
    )

    vnis = {int.from_bytes(key, "big") for key in kernel.of(host_rules.NETWORKS)}
    encrypted = {int.from_bytes(key, "big") for key in kernel.of(host_rules.ENCRYPTED)}

    assert vnis == {4097, 4098}
    assert encrypted == {4098}


def test_an_address_stays_a_peers_while_one_of_two_nodes_has_it() -> None:
    old = Peer(node_id=NodeId("old"), number=1, address="192.0.2.7")
    new = Peer(node_id=NodeId("new"), number=2, address="192.0.2.7")
    host, kernel = host_with(old)

    host.follow(Changes(put=(new,)))
    kernel.follow(host)
    host.follow(Changes(gone=(old,)))
    kernel.follow(host)

    assert fields.address("192.0.2.7") in kernel.of(host_rules.PEERS4)
    host.follow(Changes(gone=(new,)))
    kernel.follow(host)
    assert not kernel.of(host_rules.PEERS4)


RECORDS = st.one_of(
    st.builds(
        lambda who, last, **changes: endpoint(who[0], last, service=who[1], **changes),
        st.sampled_from([("t1", WEB), ("t2", WEB), ("t3", API)]),
        st.integers(1, 4),
        is_serving=st.booleans(),
        weight=st.integers(0, 3),
    ),
    st.builds(
        lambda service, ports: publication(*ports, service=service),
        st.sampled_from([WEB, API]),
        st.lists(
            st.builds(
                port,
                st.sampled_from([80, 81]),
                st.sampled_from([1, 2]),
                ip=st.sampled_from(["", "192.0.2.1"]),
            ),
            max_size=3,
        ),
    ),
    st.builds(
        lambda node, last: Peer(node_id=NodeId(node), number=1, address=f"192.0.2.{last}"),
        st.sampled_from(["n1", "n2"]),
        st.integers(1, 2),
    ),
)


@given(st.lists(st.tuples(st.sampled_from(["put", "gone", "refuse", "free"]), RECORDS)))
def test_law_after_every_change_the_kernel_holds_what_is_wanted(
    story: list[tuple[str, Record]],
) -> None:
    """`Kernel.follow` asserts it, and that the parts agree, after every step."""
    host, kernel = host_with()
    known: dict[str, Record] = {}
    for verb, record in story:
        key = key_of(record)
        if verb == "put":
            known[key] = record
            host.follow(Changes(put=(record,)))
        elif verb == "gone" and key in known:
            host.follow(Changes(gone=(known.pop(key),)))
        else:
            for number in (80, 81):
                refused = {ip: "taken" for ip in host.claimed(("tcp", number))}
                host.judge(("tcp", number), refused if verb == "refuse" else {})
        kernel.follow(host)
