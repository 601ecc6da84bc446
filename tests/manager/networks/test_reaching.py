"""How a service is reached: the same address for life, and ports that nobody else has."""

from collections import Counter

from manager import layout
from manager.decisions import Plan, RemoveEndpoint, WriteEndpoint
from manager.networks.reaching import FIRST_PORT, LAST_PORT, Reach, plan_reach
from swarm.ids import NetworkId, NodeId, ServiceId, TaskId
from swarm.objects import Attachment, Ledger, Rollout, Task
from swarm.specs import (
    ClusterSpec,
    EndpointMode,
    EndpointSpec,
    Port,
    Protocol,
    PublishMode,
    TaskSpec,
)
from swarm.states import TaskState
from tests.manager.orchestrator.driving import Driven
from tests.networks import attached

WEB = ServiceId("s-web")


class Reached(Driven):
    """A world in which services are reached as was decided."""

    def reach(self, service_id: ServiceId = WEB) -> Reach:
        """Decide, commit what was decided, and find nothing more to decide."""
        found = self._reached(service_id)
        if found.decision is not None:
            self.perform(Plan(service_id=service_id, decisions=(found.decision,)))
            assert self._reached(service_id).decision is None
        self.view.check()
        self.addresses.check(self.view)
        return found

    def _reached(self, service_id: ServiceId) -> Reach:
        self.addresses.begin()
        return plan_reach(self.view, service_id, self.addresses)

    def vips(self, service_id: ServiceId = WEB) -> dict[NetworkId, tuple[str, ...]]:
        endpoint = self.view.endpoints.get(service_id)
        return {e.network_id: e.addresses for e in endpoint.virtual_addresses} if endpoint else {}

    def ports(self, service_id: ServiceId = WEB) -> list[int]:
        return [each.published for each in self.view.endpoints[service_id].ports]

    def task_in(self, network: NetworkId, address: str, service_id: ServiceId = WEB) -> Task:
        task = Task(
            id=TaskId(f"t-{address}"),
            service_id=service_id,
            node_id=NodeId("a"),
            attachments=(Attachment(network_id=network, addresses=(address,)),),
        )
        self.task(task)
        return task


def make(*networks: str, **fields: object) -> Reached:
    world = Reached()
    world.node("a")
    for number, name in enumerate(("back", "front")):
        world.network(name, subnet=f"10.{number}.0.0/29")
    world.network("ingress", subnet="10.255.0.0/24", ingress=True)
    world.service(task=TaskSpec(networks=attached(*networks)), endpoint=EndpointSpec(**fields))
    return world


def published(*ports: Port) -> dict[str, object]:
    return {"ports": ports}


def test_a_service_has_an_address_of_its_own_in_each_of_its_networks() -> None:
    world = make("n-back", "n-front")

    world.reach()

    assert world.vips() == {"n-back": ("10.0.0.2",), "n-front": ("10.1.0.2",)}


def test_a_service_without_networks_or_ports_has_no_endpoint() -> None:
    world = make()

    assert world.reach() == Reach()
    assert not world.view.endpoints


def test_nobody_has_an_address_of_its_own_where_what_is_published_comes_in() -> None:
    world = make("n-back", **published(Port(target=80, published=8080)))

    world.reach()

    assert list(world.vips()) == ["n-back"]
    assert world.ports() == [8080]


def test_an_update_leaves_the_address_as_it_is_and_a_new_network_adds_one() -> None:
    world = make("n-back")
    world.reach()
    before = world.vips()

    world.new_version(WEB, networks=attached("n-front", "n-back"))
    world.reach()

    assert world.vips()[NetworkId("n-back")] == before[NetworkId("n-back")]
    assert set(world.vips()) == {"n-back", "n-front"}


def test_an_address_is_given_up_after_the_last_task_in_that_network() -> None:
    world = make("n-back")
    world.reach()
    task = world.task_in(NetworkId("n-back"), "10.0.0.3")
    world.new_version(WEB, networks=attached("n-front"))

    world.reach()
    assert set(world.vips()) == {"n-back", "n-front"}

    world.report(task, TaskState.SHUTDOWN)
    world.reach()
    assert set(world.vips()) == {"n-front"}


def test_an_address_stays_while_a_rollout_may_start_tasks_there_again() -> None:
    world = make("n-back")
    world.reach()
    before = world.vips()[NetworkId("n-back")]
    world.new_version(WEB, networks=attached("n-front"))
    world.write((layout.ledger_key(WEB), Ledger(service_id=WEB, rollout=Rollout(spec_version=2))))

    world.reach()

    assert world.vips()[NetworkId("n-back")] == before


def test_with_dnsrr_a_service_has_no_address_of_its_own() -> None:
    world = make("n-back", mode=EndpointMode.DNSRR)
    assert world.reach() == Reach()

    world.set_service(WEB, endpoint=EndpointSpec())
    world.reach()
    world.set_service(WEB, endpoint=EndpointSpec(mode=EndpointMode.DNSRR))
    world.reach()

    assert not world.view.endpoints


def test_without_a_free_address_the_service_says_so_and_keeps_what_it_has() -> None:
    world = make("n-back", "n-front")
    for last in range(2, 7):
        world.task_in(NetworkId("n-back"), f"10.0.0.{last}", ServiceId("s-other"))

    found = world.reach()

    assert found.shortage is not None
    assert found.shortage.reason.startswith("network back (10.0.0.0/29) has no free address")
    assert set(world.vips()) == {"n-front"}


def test_a_removed_service_is_reached_until_its_last_task_is_gone() -> None:
    world = make("n-back", **published(Port(target=80)))
    world.reach()
    (name,) = [n for kind, n in world.view.names if kind == "port"]
    task = world.task_in(NetworkId("n-back"), "10.0.0.3")
    world.remove_service(WEB)

    assert world.reach().decision is None
    world.report(task, TaskState.COMPLETE)
    found = world.reach()

    assert found.decision == RemoveEndpoint(WEB, (name,))
    assert not world.view.endpoints
    assert not world.view.port_holders(Protocol.TCP, int(name.split("-")[1]))


def test_an_open_port_gets_a_number_that_nobody_has_and_keeps_it() -> None:
    world = make(**published(Port(target=80), Port(target=80, protocol=Protocol.UDP)))

    world.reach()
    first = world.ports()
    world.set_service(
        WEB,
        endpoint=EndpointSpec(ports=(*ports_of(world), Port(target=81))),
    )
    world.reach()

    assert all(FIRST_PORT <= each <= LAST_PORT for each in first)
    assert world.ports()[:2] == first
    assert len(set(world.ports())) == 3
    assert all(
        world.view.names["port", f"{word}-{n}"] == WEB
        for word, n in zip(("tcp", "udp", "tcp"), world.ports(), strict=True)
    )


def ports_of(world: Reached) -> tuple[Port, ...]:
    return world.view.services[WEB].spec.endpoint.ports


def test_ports_of_many_services_are_all_different() -> None:
    world = Reached()
    for number in range(60):
        world.service(f"s{number}", endpoint=EndpointSpec(ports=(Port(target=80),) * 3))
        world.reach(ServiceId(f"s-s{number}"))

    found = Counter(p.published for e in world.view.endpoints.values() for p in e.ports)
    assert set(found.values()) == {1}
    assert sum(found.values()) == 180


def test_a_port_that_somebody_has_on_one_address_is_not_chosen() -> None:
    world = make(**published(Port(target=80)))
    world.reach()
    (chosen,) = world.ports()
    other = make(**published(Port(target=80)))
    other.write((layout.name_key("port", f"tcp-{chosen}-10.0.0.4"), "s-other"))

    other.reach()

    assert other.ports() != [chosen]


def test_a_port_that_nodes_have_for_themselves_is_not_chosen() -> None:
    udp = Port(target=80, protocol=Protocol.UDP)
    world = make(**published(udp))
    world.reach()
    (chosen,) = world.ports()
    other = make(**published(udp))
    other.cluster(ClusterSpec(data_path_port=chosen - 1))

    other.reach()

    assert other.ports()[0] not in (chosen - 1, chosen)


def test_a_port_that_is_published_no_more_is_free() -> None:
    world = make(**published(Port(target=80), Port(target=81)))
    world.reach()
    kept, freed = world.ports()

    world.set_service(WEB, endpoint=EndpointSpec(ports=(Port(target=80),)))
    world.reach()

    assert world.ports() == [kept]
    assert not world.view.port_holders(Protocol.TCP, freed)


def test_a_port_that_becomes_fixed_at_its_number_stays_the_services() -> None:
    world = make(**published(Port(target=80)))
    world.reach()
    (number,) = world.ports()

    world.set_service(WEB, endpoint=EndpointSpec(ports=(Port(target=80, published=number),)))
    found = world.reach()

    assert found == Reach()
    assert world.view.port_holders(Protocol.TCP, number) == {"": WEB}


def test_a_fixed_port_of_another_service_is_not_taken_from_it() -> None:
    world = make(**published(Port(target=80, published=8080), Port(target=81, published=8081)))
    world.service("other")
    world.write((layout.name_key("port", "tcp-8080"), "s-other"))

    found = world.reach()

    assert found.shortage is not None
    assert found.shortage.reason == "port 8080/tcp is already published by service other"
    assert isinstance(found.decision, WriteEndpoint)
    assert world.ports() == [8081]


def test_ports_of_single_nodes_are_nobodys_but_their_tasks() -> None:
    world = make(**published(Port(target=80, published=8080, mode=PublishMode.HOST)))

    assert world.reach() == Reach()
