"""What a view knows of networks, and what it says has changed."""

from manager import layout
from swarm.ids import NetworkId, NodeId, ServiceId
from swarm.objects import (
    Network,
    Node,
    NodeDescription,
    Service,
    ServiceEndpoint,
    SpecVersion,
    VirtualAddress,
)
from swarm.specs import EndpointSpec, NetworkSpec, Port, Protocol, ServiceSpec, TaskSpec
from tests.manager.world import World
from tests.networks import attached

WEB = NetworkId("n1")
API = ServiceId("s1")


def network(network_id: str = "n1", *, ingress: bool = False) -> Network:
    return Network(id=NetworkId(network_id), spec=NetworkSpec(name=network_id, ingress=ingress))


def service(*networks: str, version: int = 1, port: int = 0) -> Service:
    ports = (Port(target=80, published=port),) if port else ()
    return Service(
        id=API,
        spec=ServiceSpec(
            name="api",
            task=TaskSpec(networks=attached(*networks)),
            endpoint=EndpointSpec(ports=ports),
        ),
        spec_version=version,
    )


def test_a_network_is_known_and_told_until_it_is_removed() -> None:
    world = World()

    made = world.write((layout.network_key(WEB), network()))
    gone = world.write((layout.network_key(WEB), None))

    assert made.networks == gone.networks == {WEB}
    assert [each.action for each in (*made.events, *gone.events)] == ["create", "remove"]
    assert not world.view.networks


def test_a_service_is_a_member_of_a_network_while_any_version_is() -> None:
    world = World()
    old = service("n1", "n2")
    world.write((layout.version_key(API, 1), SpecVersion.of(old)))
    world.write((layout.service_key(API), service("n2", version=2)))

    assert set(world.view.members(WEB)) == {API}
    world.view.check()
    world.write((layout.version_key(API, 1), None))
    assert not set(world.view.members(WEB))
    assert set(world.view.members(NetworkId("n2"))) == {API}
    world.write((layout.service_key(API), None))
    assert not set(world.view.members(NetworkId("n2")))
    world.view.check()


def test_who_publishes_is_a_member_of_the_ingress_network_whichever_it_is() -> None:
    world = World()
    world.write((layout.service_key(API), service(port=8080)))
    assert world.view.ingress is None

    world.write((layout.network_key(NetworkId("i1")), network("i1", ingress=True)))

    assert world.view.ingress == network("i1", ingress=True)
    assert set(world.view.members(NetworkId("i1"))) == {API}


def test_ports_are_found_by_number_whatever_their_address() -> None:
    world = World()
    ports = [Port(published=80, ip=ip) for ip in ("", "10.0.0.4", "fd00::4")]
    world.write(*((layout.name_key("port", layout.port_name(port)), API) for port in ports))

    found = world.view.port_holders(Protocol.TCP, 80)

    assert found == {"": API, "10.0.0.4": API, "fd00::4": API}
    world.write(*((layout.name_key("port", layout.port_name(port)), None) for port in ports))
    assert not world.view.port_holders(Protocol.TCP, 80)
    world.view.check()


def test_a_name_that_is_no_ports_is_kept_all_the_same() -> None:
    world = World()

    world.write(
        ("names/port/quic-80", API), ("names/port/tcp-", API), ("pools", "4099 10.0.2.0/24")
    )

    assert world.view.names["port", "quic-80"] == API
    assert world.view.pools == "4099 10.0.2.0/24"
    assert world.view.version("pools") == world.revision


def test_what_a_service_is_reached_by_is_told() -> None:
    world = World()

    made = world.write((layout.service_key(API), service("n1")))
    given = world.write((layout.endpoint_key(API), ServiceEndpoint(service_id=API)))
    gone = world.write((layout.endpoint_key(API), None))

    assert made.endpoints == given.endpoints == gone.endpoints == {API}
    assert API in given.progressed
    assert not given.services


def test_what_others_reach_a_node_by_is_told() -> None:
    world = World()
    told = NodeDescription(hostname="ant", addr="10.0.0.4")
    node = Node(id=NodeId("a"), description=told, number=1)

    joined = world.write((layout.node_key(node.id), node))
    same = world.write((layout.node_key(node.id), Node(id=node.id, description=told, number=1)))
    moved = world.write((layout.node_key(node.id), Node(id=node.id, number=1)))
    gone = world.write((layout.node_key(node.id), None))

    assert [bool(each.peers) for each in (joined, same, moved, gone)] == [True, False, True, True]


def test_a_service_that_lacks_an_address_or_a_port_is_planned_again_when_one_is_freed() -> None:
    """It may have no task that waits."""
    world = World()
    world.write((layout.service_key(API), service("n1", port=8080)))
    world.write((layout.endpoint_key(API), ServiceEndpoint(service_id=API)))

    freed = world.write((layout.endpoint_key(ServiceId("s2")), None), ("names/port/tcp-1", "s2"))
    assert API not in freed.services
    freed = world.write(("names/port/tcp-1", None))
    assert API in freed.services

    own = VirtualAddress(network_id=WEB, addresses=("10.0.0.2",))
    met = ServiceEndpoint(service_id=API, virtual_addresses=(own,), ports=(Port(target=80),))
    world.write((layout.endpoint_key(API), met), ("names/port/tcp-1", "s2"))
    assert API not in world.write(("names/port/tcp-1", None)).services
    world.view.check()
