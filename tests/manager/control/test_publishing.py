import pytest
from msgspec import structs

from manager import layout
from manager.control.publishing import added_ports, check_ports, taking
from manager.store import Absent, Commit, Delete, Put, Unchanged
from swarm.errors import Refused
from swarm.ids import ServiceId
from swarm.specs import (
    ClusterSpec,
    EndpointSpec,
    Port,
    Protocol,
    PublishMode,
    ServiceSpec,
    TaskSpec,
)
from tests.manager.world import World
from tests.networks import attached

WEB, API = ServiceId("s-web"), ServiceId("s-api")
PORT = Port(target=80, published=8080)
ON_ONE = structs.replace(PORT, ip="10.1.2.3")
KEY, KEY_ON_ONE = "names/port/tcp-8080", "names/port/tcp-8080-10.1.2.3"
MARK = "names/port-mark/tcp-8080"


def publishing(*ports: Port, networks: tuple[str, ...] = ()) -> ServiceSpec:
    return ServiceSpec(
        name="web", task=TaskSpec(networks=attached(*networks)), endpoint=EndpointSpec(ports=ports)
    )


def take(
    world: World,
    before: ServiceSpec | None,
    after: ServiceSpec | None,
    *,
    service_id: ServiceId = WEB,
) -> Commit:
    return taking(world.view, Commit(), service_id, before, after)


def apply(world: World, commit: Commit) -> None:
    """Let the view see it."""
    world.write(
        *(
            (each.key, each.value.decode() if isinstance(each, Put) else None)
            for each in commit.operations
        )
    )


def holds(world: World, commit: Commit) -> bool:
    """Whether it would be accepted now."""
    versions = {each.key: world.view.version(each.key) for each in commit.compares}
    return all(
        versions[each.key] == (each.mod_revision if isinstance(each, Unchanged) else 0)
        for each in commit.compares
    )


def test_a_port_is_taken_by_its_name_unless_somebody_has_it() -> None:
    commit = take(World(), None, publishing(PORT))

    assert commit.operations == (Put(KEY, WEB.encode()),)
    assert Absent(KEY) in commit.compares


def test_what_is_left_open_or_not_for_every_node_takes_no_name() -> None:
    spec = publishing(
        structs.replace(PORT, published=0), structs.replace(PORT, mode=PublishMode.HOST)
    )

    assert take(World(), None, spec) == Commit()
    assert take(World(), None, publishing(PORT, networks=("host",))) == Commit()


def test_an_update_takes_what_is_new_and_gives_up_what_is_gone() -> None:
    world = World()
    world.service("web")
    apply(world, take(world, None, publishing(PORT)))
    other = structs.replace(PORT, published=9090)

    commit = take(world, publishing(PORT), publishing(other))

    assert set(commit.operations) == {Put("names/port/tcp-9090", WEB.encode()), Delete(KEY)}
    assert take(world, publishing(PORT), publishing(PORT)) == Commit()
    assert take(world, publishing(PORT), None).operations == (Delete(KEY),)


def test_what_somebody_else_has_is_never_given_up() -> None:
    world = World()
    world.write((KEY, API))

    assert take(world, publishing(PORT), None) == Commit()


@pytest.mark.parametrize(
    ("first", "second"), [(PORT, PORT), (PORT, ON_ONE), (ON_ONE, PORT), (ON_ONE, ON_ONE)]
)
def test_of_two_that_take_a_port_at_once_one_fails(first: Port, second: Port) -> None:
    world = World()
    late = take(world, None, publishing(second), service_id=API)

    apply(world, take(world, None, publishing(first)))

    assert not holds(world, late)


def test_one_port_on_two_addresses_is_two() -> None:
    world = World()
    other = structs.replace(PORT, ip="10.1.2.4")
    late = take(world, None, publishing(other), service_id=API)

    apply(world, take(world, None, publishing(ON_ONE)))

    assert holds(world, late)
    check_ports(world.view, API, publishing(other))


@pytest.mark.parametrize(
    ("key", "port", "where"),
    [(KEY, PORT, ""), (KEY, ON_ONE, ""), (KEY_ON_ONE, PORT, " on 10.1.2.3")],
)
def test_a_port_that_is_taken_is_refused_and_says_by_whom(key: str, port: Port, where: str) -> None:
    world = World()
    world.service("api")
    world.write((key, API))

    with pytest.raises(Refused) as caught:
        check_ports(world.view, None, publishing(port))

    assert caught.value.message == (
        f"endpoint.ports[0].published: 8080/tcp is already published{where} by service api"
    )
    check_ports(world.view, API, publishing(port))
    check_ports(world.view, None, publishing(structs.replace(port, protocol=Protocol.UDP)))


def test_all_that_are_taken_are_counted() -> None:
    world = World()
    for number in (8080, 8081):
        world.write((layout.name_key("port", f"tcp-{number}"), API))

    with pytest.raises(Refused, match=r"by service s-api \(and 1 more ports are taken\)"):
        check_ports(world.view, None, publishing(PORT, structs.replace(PORT, published=8081)))


@pytest.mark.parametrize("mode", PublishMode)
def test_what_nodes_send_each_other_containers_packets_by_is_nobodys(mode: PublishMode) -> None:
    world = World()
    world.cluster(ClusterSpec(data_path_port=7000))
    port = Port(target=80, published=7000, protocol=Protocol.UDP, mode=mode)

    for number in (7000, 7001):
        with pytest.raises(Refused, match=rf"ports\[1\].published: {number}/udp carries"):
            check_ports(world.view, None, publishing(PORT, structs.replace(port, published=number)))

    check_ports(world.view, None, publishing(structs.replace(port, protocol=Protocol.TCP)))
    check_ports(world.view, None, publishing(structs.replace(port, published=7002)))


def test_nodes_are_asked_about_ports_that_are_new() -> None:
    on_node = Port(target=53, published=53, mode=PublishMode.HOST)
    after = publishing(PORT, on_node, structs.replace(PORT, published=0))

    assert added_ports(None, after) == ((0,), (1,))
    assert added_ports(publishing(PORT), after) == ((), (1,))
