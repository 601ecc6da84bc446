"""Changes of one record, and what the kernel holds after any number of them."""

from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from agent.network.addressing import HOST_VIA, ROUTER_VIA, UPLINK
from agent.network.desired import Desired
from agent.network.kernel import (
    Address,
    AnyLink,
    Element,
    Forward,
    Link,
    Neighbour,
    Operation,
    Put,
    Remove,
    Route,
    Value,
    Veth,
    Vxlan,
    identity,
)
from agent.network.reconcile import plan
from agent.network.router import Attached, Site, of_site
from agent.network.skeleton import MARKS, NODES, SLOTS, VIPS, ZONES
from swarm.ids import NetworkId, NodeId, ServiceId, TaskId
from swarm.objects import Attachment, Network
from swarm.specs import NetworkDriver, NetworkSpec, Subnet
from swarm.topology import Endpoint, Peer, Record, VirtualService

HERE = NodeId("node1")
NET = NetworkId("net")


def site(**spec: object) -> Site:
    network = Network(
        id=NET,
        spec=NetworkSpec(name="web", **spec),
        vni=4097,
        subnets=(
            Subnet(subnet="10.0.1.0/24", gateway="10.0.1.1"),
            Subnet(subnet="fd00::/64", gateway="fd00::1"),
        ),
    )
    return Site(network=network, mtu=1450, number=1, vtep="192.0.2.1", port=4789)


def desired(**spec: object) -> Desired:
    return Desired(site(**spec), HERE, lambda peer: peer.address)


def peer(number: int, address: str = "") -> Peer:
    return Peer(
        node_id=NodeId(f"node{number}"), number=number, address=address or f"192.0.2.{number}"
    )


def endpoint(number: int, node: int = 2, service: int = 1, **fields: object) -> Endpoint:
    return Endpoint(
        network_id=NET,
        task_id=TaskId(f"task{number}"),
        service_id=ServiceId(f"service{service}"),
        node_id=NodeId(f"node{node}"),
        addresses=(f"10.0.1.{number + 10}", f"fd00::{number + 16:x}"),
        **{"is_serving": True, **fields},
    )


def service(number: int = 1) -> VirtualService:
    return VirtualService(
        network_id=NET,
        service_id=ServiceId(f"service{number}"),
        addresses=(f"10.0.1.{number + 200}", f"fd00::{number + 0x200:x}"),
    )


def attached(number: int) -> Attached:
    addresses = endpoint(number).addresses
    return Attached(attachment=Attachment(network_id=NET, addresses=addresses), name="eth0")


class Kernel:
    """Holds values as a kernel does: what hangs on a link goes with it, and needs it."""

    def __init__(self) -> None:
        self.values: dict[tuple[object, ...], Value] = {}

    def apply(self, operations: Iterable[Operation]) -> None:
        for operation in operations:
            value = operation.value
            if isinstance(operation, Remove):
                found = self.values.pop(identity(value), None)
                if isinstance(found, Link | Veth | Vxlan):
                    self._drop_with(found)
                continue
            link = getattr(value, "link", "")
            assert not link or ("link", link) in self.values, f"{value} has no link"
            self.values[identity(value)] = value

    def _drop_with(self, link: AnyLink) -> None:
        for key, value in list(self.values.items()):
            if getattr(value, "link", None) == link.name:
                del self.values[key]


def held(by: Desired) -> dict[tuple[object, ...], Value]:
    return {identity(value): value for value in by.values()}


def kinds(operations: Iterable[Operation]) -> list[str]:
    return [
        f"{type(each).__name__.lower()} {type(each.value).__name__.lower()}" for each in operations
    ]


def test_in_networks_of_one_node_the_way_to_the_gateway_is_the_way_to_the_host() -> None:
    here = site(driver=NetworkDriver.BRIDGE)
    own = structs.replace(here, network=structs.replace(here.network, id=NetworkId("a" * 64)))
    inside = structs.replace(own.network, spec=structs.replace(own.network.spec, internal=True))

    values = list(of_site(own))

    assert own.gateways == ("fd00::1",), "those of IPv6 stay the router's"
    way = Route(destination="10.0.1.1/32", link=UPLINK, via=HOST_VIA, is_onlink=True)
    assert way in values
    assert Address(link="lo", address=f"{ROUTER_VIA}/32") in values
    assert structs.replace(own, network=inside).gateways == ("10.0.1.1", "fd00::1")
    assert here.gateways == ("10.0.1.1", "fd00::1"), "in the swarm's it is every node's router"


def test_an_endpoint_is_one_route_for_each_family() -> None:
    router = desired()
    router.take([peer(2), endpoint(1)])

    operations = router.take([endpoint(2)])

    assert [each.value for each in operations] == [
        Route(destination="10.0.1.12/32", link="vx0", via="240.0.0.2", is_onlink=True),
        Route(destination="fd00::12/128", link="vx0", via="fe80::5357:0:2", is_onlink=True),
    ]
    assert kinds(router.take(gone=[endpoint(2)])) == ["remove route", "remove route"]


def test_the_first_endpoint_of_a_node_brings_the_node_along() -> None:
    router = desired()
    assert router.take([peer(2)]) == []

    operations = router.take([endpoint(1)])

    assert kinds(operations) == [
        "put neighbour",
        "put neighbour",
        "put forward",
        "put route",
        "put route",
    ]
    assert kinds(router.take(gone=[endpoint(1)])) == [
        "remove route",
        "remove route",
        "remove forward",
        "remove neighbour",
        "remove neighbour",
    ]


def test_endpoints_wait_for_a_node_that_nobody_told_of_yet() -> None:
    router = desired()
    assert router.take([endpoint(1)]) == []

    assert Forward(link="vx0", mac="02:53:57:00:00:02", vtep="192.0.2.2") in [
        each.value for each in router.take([peer(2)])
    ]
    assert {each.link for each in router.values() if isinstance(each, Route) and each.via} == {
        "vx0",
        "up0",
    }


def test_a_node_that_moves_costs_one_operation() -> None:
    router = desired()
    router.take([peer(2), *(endpoint(number) for number in range(50))])

    operations = router.take([peer(2, "192.0.2.99")])

    assert operations == [Put(Forward(link="vx0", mac="02:53:57:00:00:02", vtep="192.0.2.99"))]


def test_own_endpoints_are_no_routes_until_they_are_attached() -> None:
    router = desired()

    assert router.take([peer(1), endpoint(1, node=1)]) == []
    assert kinds(router.attach(TaskId("task1"), attached(1))) == [
        "put veth",
        "put neighbour",
        "put neighbour",
        "put route",
        "put route",
        "put element",
        "put element",
    ]


def test_a_service_that_loses_an_endpoint_changes_only_its_slots() -> None:
    router = desired()
    both = [endpoint(1), endpoint(2), endpoint(3, service=2)]
    router.take([peer(2), service(1), service(2), *both])

    operations = router.take([endpoint(2, is_serving=False)])

    slots = {each.value.of for each in operations if isinstance(each.value, Element)}
    assert slots == {SLOTS[False], SLOTS[True]}
    assert kinds(operations) == ["put element"] * len(operations)
    assert 0 < len(operations) <= 16


def test_what_leads_to_an_endpoint_is_there_before_connections_are_led_to_it() -> None:
    """And the other way round when it goes."""
    router = desired()
    router.take([peer(2), service(), endpoint(1)])

    coming = kinds(router.take([peer(3), endpoint(2, node=3)]))
    going = kinds(router.take(gone=[endpoint(2, node=3)]))

    assert coming.index("put element") > max(
        at for at, each in enumerate(coming) if each == "put route"
    )
    assert going.index("remove route") > max(
        at for at, each in enumerate(going) if each == "put element"
    )


def test_a_service_that_nobody_answers_for_is_refused_and_its_slots_go() -> None:
    router = desired()
    router.take([peer(2), service(), endpoint(1)])

    operations = router.take([endpoint(1, is_serving=False)])

    entrances = [each for each in operations if each.value.of in VIPS.values()]
    assert [each.value.data.chain for each in entrances] == ["nobody", "nobody"]
    assert kinds(operations).count("remove element") == 32


def test_a_bridge_knows_no_other_node() -> None:
    router = desired(driver=NetworkDriver.BRIDGE)

    operations = router.take([peer(2), service(), endpoint(1), endpoint(2, node=1)])

    assert {type(each.value) for each in operations} == {Element}
    assert not any(isinstance(each, Vxlan | Forward) for each in router.values())


def test_in_the_ingress_network_all_nodes_are_known_by_marks_and_zones() -> None:
    router = desired(ingress=True)

    assert kinds(router.take([peer(2)])) == [
        "put neighbour",
        "put neighbour",
        "put forward",
        "put element",
        "put element",
        "put element",
    ]
    elements = [each for each in router.values() if isinstance(each, Element)]
    assert [each.of for each in elements] == [MARKS, NODES, ZONES]


def test_a_node_that_has_not_said_where_it_is_waits_until_it_has() -> None:
    """It joined a moment ago, and its agent opens its first session."""
    router, joined = desired(ingress=True), structs.replace(peer(2), address="")

    assert router.take([joined]) == []
    assert "put forward" in kinds(router.take([peer(2)]))


def test_an_internal_network_has_no_way_out() -> None:
    router = desired(internal=True)

    assert not any(getattr(each, "name", "") == "up0" for each in router.values())
    assert not any(
        each.destination in {"0.0.0.0/0", "::/0"}
        for each in router.values()
        if isinstance(each, Route)
    )


records = st.one_of(
    st.builds(peer, st.integers(1, 4), st.sampled_from(["", "192.0.2.77"])),
    st.builds(service, st.integers(1, 3)),
    st.builds(
        endpoint,
        st.integers(1, 8),
        st.integers(1, 4),
        st.integers(1, 3),
        is_serving=st.booleans(),
        weight=st.integers(0, 3),
    ),
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), records),
        st.tuples(st.just("gone"), records),
        st.tuples(st.just("attach"), st.integers(9, 12)),
        st.tuples(st.just("detach"), st.integers(9, 12)),
    ),
    max_size=40,
)
specs = st.sampled_from(
    [{}, {"ingress": True}, {"internal": True}, {"driver": NetworkDriver.BRIDGE}]
)


@given(steps, specs)
@settings(max_examples=200, deadline=None)
def test_law_changes_lead_where_a_fresh_start_would(
    steps: list[tuple[str, object]], spec: dict[str, object]
) -> None:
    """Whatever came before: what is held is what the latest records alone would make."""
    router, kernel = desired(**spec), Kernel()
    kernel.apply(plan(router.values(), ()))
    latest: dict[object, Record] = {}
    inside: dict[TaskId, Attached] = {}
    for what, value in steps:
        match what, value:
            case "put", record:
                record = steady(record, latest)
                latest[name(record)] = record
                kernel.apply(router.take([record]))
            case "gone", record:
                if old := latest.pop(name(record), None):
                    kernel.apply(router.take(gone=[old]))
            case "attach", number:
                inside[TaskId(f"task{number}")] = attached(number)
                kernel.apply(router.attach(TaskId(f"task{number}"), attached(number)))
            case "detach", number:
                inside.pop(TaskId(f"task{number}"), None)
                kernel.apply(router.detach(TaskId(f"task{number}")))

    fresh = desired(**spec)
    fresh.take(latest.values())
    for task_id, each in inside.items():
        fresh.attach(task_id, each)
    assert held(router) == held(fresh)
    assert kernel.values == held(fresh)


def name(record: Record) -> object:
    match record:
        case Peer():
            return record.node_id
        case Endpoint():
            return record.task_id
        case VirtualService():
            return record.service_id
        case _:
            raise AssertionError


def steady(record: Record, latest: dict[object, Record]) -> Record:
    """A task never changes its node or service."""
    old = latest.get(name(record))
    if isinstance(old, Endpoint) and isinstance(record, Endpoint):
        number = int(record.task_id.removeprefix("task"))
        return endpoint(
            number,
            int(old.node_id.removeprefix("node")),
            int(old.service_id.removeprefix("service")),
            is_serving=record.is_serving,
            weight=record.weight,
        )
    return record


@given(st.lists(records, max_size=20), st.lists(records, max_size=20))
@settings(max_examples=200, deadline=None)
def test_law_a_plan_leads_from_anything_to_what_is_desired_and_then_rests(
    wanted: list[Record], there: list[Record]
) -> None:
    router, other, kernel = desired(), desired(ingress=True), Kernel()
    router.take(wanted)
    other.take(there)
    kernel.apply(plan(other.values(), ()))

    kernel.apply(plan(router.values(), kernel.values.values()))

    assert kernel.values == held(router)
    assert plan(router.values(), kernel.values.values()) == []


def test_what_the_kernel_adds_by_itself_is_left_alone() -> None:
    own = Route(destination="240.0.0.0/8", link="vx0", protocol=2)

    assert plan((), [Link(name="lo"), own]) == []
    assert kinds(
        plan((), [Neighbour(link="vx0", address="10.0.0.1", mac="02:00:00:00:00:01")])
    ) == ["remove neighbour"]
