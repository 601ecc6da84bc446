"""What nodes are told of their networks: all of it at first, then what changed, no more, no less.

The table at the other end is the agents' own.
"""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from agent.topology import Table
from manager import layout
from manager.applied import Applied
from manager.dispatch.networks import Audience, Networks
from manager.dispatch.topology import Surroundings
from swarm.ids import NetworkId, NodeId, ServiceId, TaskId
from swarm.objects import (
    Attachment,
    Cluster,
    Node,
    NodeDescription,
    Sealed,
    ServiceEndpoint,
    Task,
    VirtualAddress,
)
from swarm.specs import (
    ClusterSpec,
    EndpointMode,
    EndpointSpec,
    NetworkAttachment,
    NetworkDriver,
    Port,
    PublishMode,
    TaskSpec,
)
from swarm.states import HealthState, TaskState
from swarm.topology import Endpoint, NetworkKey, Peer, Publication, Topology, VirtualService
from tests.manager.world import World
from tests.networks import attached

NET, OTHER, INGRESS = NetworkId("n-net"), NetworkId("n-other"), NetworkId("n-ingress")
WEB = ServiceId("s-web")
A, B, C = NodeId("a"), NodeId("b"), NodeId("c")


class Told(World):
    """A world whose manager has a session with each node, and the agents' tables."""

    def __init__(self) -> None:
        super().__init__()
        self.networks = Networks.of(self.view, unseal)
        self.sessions: dict[NodeId, Surroundings] = {}
        self.tables: dict[NodeId, Table] = {}
        self.audience = Audience()

    def write(self, *pairs: object, ahead: bool = False) -> Applied:
        applied = super().write(*pairs, ahead=ahead)
        if hasattr(self, "networks"):
            self.audience = self.networks.take(self.view, applied)
        return applied

    def session(self, node_id: NodeId) -> Topology:
        """Begin another session of a node."""
        self.sessions[node_id] = Surroundings(node_id, self.networks)
        told = self.sessions[node_id].open()
        self.tables.setdefault(node_id, Table()).take(told)
        return told

    def tell(self, node_id: NodeId) -> Topology | None:
        """Tell a node what has changed."""
        told = self.sessions[node_id].diff()
        if told is not None:
            self.tables[node_id].take(told)
        return told

    def catch_up(self) -> None:
        """Tell everybody, and find that they know what there is to know."""
        for node_id, session in self.sessions.items():
            self.tell(node_id)
            assert session.diff() is None
            self.tables[node_id].check()
            session.check(self.tables[node_id].records.values())

    def there(self, node_id: NodeId) -> Counter[str]:
        """How many records of each kind a node knows."""
        return Counter(key.split("/")[0] for key in self.tables[node_id].records)

    def start(
        self,
        name: str,
        node_id: NodeId,
        *networks: NetworkId,
        service_id: ServiceId = WEB,
        state: TaskState = TaskState.RUNNING,
    ) -> Task:
        task = Task(
            id=TaskId(name),
            service_id=service_id,
            service_name=service_id.removeprefix("s-"),
            slot=1,
            node_id=node_id,
            attachments=tuple(
                Attachment(network_id=each, addresses=(f"{each}-{name}",)) for each in networks
            ),
        )
        self.task(task)
        if state > TaskState.ASSIGNED:
            self.report(task, state)
        return task

    def endpoint(self, node_id: NodeId, task: Task, network: NetworkId = NET) -> Endpoint:
        return self.tables[node_id].endpoints(task.id)[network]


def unseal(number: int, sealed: Sealed) -> bytes | None:
    return sealed.ciphertext or None


def make(*nodes: NodeId) -> Told:
    world = Told()
    for node_id in nodes or (A, B, C):
        world.node(node_id)
        world.session(node_id)
    world.network("net")
    world.network("other", subnet="10.8.0.0/24")
    world.network("ingress", subnet="10.255.0.0/16", ingress=True)
    world.service(task=TaskSpec(networks=attached("n-net")))
    world.catch_up()
    return world


def test_a_node_hears_of_the_networks_of_its_tasks_and_of_no_others() -> None:
    world = make()
    world.start("t1", A, NET)
    world.start("t2", B, NET)
    world.start("t3", C, OTHER)
    world.catch_up()

    assert world.there(A) == {"network": 1, "peer": 2, "endpoint": 2, "service": 1}
    assert world.there(C) == {"network": 1, "peer": 1, "endpoint": 1}
    assert set(world.tables[B].records) == set(world.tables[A].records)


def test_a_change_costs_those_who_follow_it_one_record_and_nobody_else_anything() -> None:
    world = make()
    task = world.start("t1", A, NET)
    world.start("t2", B, NET)
    world.start("t3", C, OTHER)
    world.catch_up()

    world.task(structs.replace(task, desired=TaskState.SHUTDOWN))

    assert world.audience == Audience(frozenset({A, B}))
    assert world.tell(C) is None
    told = world.tell(B)
    assert told is not None
    assert [each.task_id for each in told.endpoints] == ["t1"]
    assert len(told.records()) == 1
    assert not told.removed


def test_tasks_without_networks_concern_nobody() -> None:
    world = make()

    world.start("t1", A)

    assert not world.audience
    world.catch_up()
    assert not world.tables[A].records


def test_an_endpoint_is_known_before_its_start_and_serves_while_it_runs_and_is_well() -> None:
    world = make()
    world.start("t0", B, NET)
    task = world.start("t1", A, NET, state=TaskState.ASSIGNED)
    seen: list[bool] = []

    def look() -> None:
        world.catch_up()
        seen.append(world.endpoint(B, task).is_serving)

    look()
    world.report(task, TaskState.STARTING)
    look()
    world.report(task, TaskState.RUNNING, health=HealthState.HEALTHY)
    look()
    world.report(task, TaskState.RUNNING, health=HealthState.UNHEALTHY)
    look()
    world.report(task, TaskState.RUNNING, health=HealthState.HEALTHY)
    look()
    world.task(structs.replace(task, desired=TaskState.SHUTDOWN))
    look()

    assert seen == [False, False, True, False, True, False]
    world.report(task, TaskState.SHUTDOWN)
    world.catch_up()
    assert not world.tables[B].endpoints(task.id)


def test_what_runs_on_a_node_that_is_down_does_not_serve_until_it_is_back() -> None:
    world = make()
    world.start("t0", B, NET)
    task = world.start("t1", A, NET)

    world.disconnect(A)
    assert B in world.audience.nodes
    world.catch_up()
    assert not world.endpoint(B, task).is_serving

    world.connect(A)
    world.catch_up()
    assert world.endpoint(B, task).is_serving


def test_an_endpoint_says_all_that_names_and_ways_are_made_of() -> None:
    world = make()
    task = world.start("t1", A, NET)
    own = structs.replace(task.attachments[0], aliases=("shop",))
    world.task(structs.replace(task, attachments=(own,)))
    world.catch_up()

    assert world.endpoint(A, task) == Endpoint(
        network_id=NET,
        task_id=task.id,
        task_name="web.1.t1",
        service_id=WEB,
        service_name="web",
        slot=1,
        node_id=A,
        addresses=("n-net-t1",),
        aliases=("shop",),
        is_serving=True,
    )


def test_a_node_whose_last_task_ended_forgets_the_network_and_its_peers() -> None:
    world = make()
    task = world.start("t1", A, NET)
    world.start("t2", B, NET)
    world.catch_up()

    world.report(task, TaskState.COMPLETE)
    world.catch_up()

    assert not world.tables[A].records
    assert world.there(B) == {"network": 1, "peer": 1, "endpoint": 1, "service": 1}


def test_a_peer_stays_known_through_another_network() -> None:
    world = make()
    first = world.start("t1", A, NET, OTHER)
    second = world.start("t2", B, NET)
    world.start("t3", B, OTHER)
    world.catch_up()

    world.report(second, TaskState.COMPLETE)
    world.catch_up()
    assert world.there(A)["peer"] == 2

    world.task(structs.replace(first, attachments=first.attachments[:1]))
    world.catch_up()
    assert "peer/b" not in world.tables[A].records


def test_a_node_that_moves_in_the_underlay_is_found_again() -> None:
    world = make()
    world.start("t1", A, NET)
    world.start("t2", B, NET)
    moved = structs.replace(
        world.view.nodes[B],
        description=NodeDescription(addr="10.0.0.2", data_path_addr="10.1.0.2", public_key=b"k"),
    )

    world.write((layout.node_key(B), moved))
    world.catch_up()

    known = world.tables[A].records["peer/b"]
    assert known == Peer(node_id=B, number=moved.number, address="10.1.0.2", public_key=b"k")


def test_a_node_that_was_removed_is_no_peer_and_its_tasks_are_nowhere() -> None:
    world = make()
    world.start("t1", A, NET)
    task = world.start("t2", B, NET)
    del world.sessions[B]

    world.write((layout.node_key(B), None))
    world.catch_up()
    assert world.there(A) == {"network": 1, "peer": 1, "endpoint": 1, "service": 1}

    world.write((layout.node_key(B), Node(id=B, number=7)))
    world.catch_up()
    assert world.endpoint(A, task).node_id == B


def test_a_services_name_addresses_and_aliases_are_told_where_it_is() -> None:
    world = make()
    world.start("t1", A, NET)
    alias = NetworkAttachment(target="n-net", aliases=("shop",))
    world.new_version(WEB, networks=(alias,))
    address = VirtualAddress(network_id=NET, addresses=("10.9.0.2",))
    world.write(
        (layout.endpoint_key(WEB), ServiceEndpoint(service_id=WEB, virtual_addresses=(address,)))
    )
    world.catch_up()

    assert world.tables[A].records["service/n-net/s-web"] == VirtualService(
        network_id=NET,
        service_id=WEB,
        service_name="web",
        addresses=("10.9.0.2",),
        aliases=("shop",),
    )

    world.set_service(WEB, endpoint=EndpointSpec(mode=EndpointMode.DNSRR))
    world.catch_up()
    known = world.tables[A].records["service/n-net/s-web"]
    assert isinstance(known, VirtualService)
    assert known.addresses == ()

    world.remove_service(WEB)
    world.catch_up()
    assert "service/n-net/s-web" not in world.tables[A].records


def published(world: Told, *ports: Port) -> None:
    world.write((layout.endpoint_key(WEB), ServiceEndpoint(service_id=WEB, ports=ports)))


def test_what_is_published_is_told_to_every_node_with_those_who_answer() -> None:
    world = make()
    task = world.start("t1", A, INGRESS)
    world.catch_up()
    assert world.there(B) == {}

    own = Port(target=81, published=81, mode=PublishMode.HOST)
    published(world, Port(target=80, published=8080), own)
    assert world.audience.is_all
    world.catch_up()

    assert world.tables[B].records["publication/s-web"] == Publication(
        service_id=WEB, service_name="web", ports=(Port(target=80, published=8080),)
    )
    assert world.endpoint(B, task, INGRESS).is_serving
    assert world.there(B) == {"network": 1, "peer": 2, "endpoint": 1, "publication": 1}

    world.write((layout.endpoint_key(WEB), None))
    world.catch_up()
    assert world.there(B) == {}


def test_a_node_with_a_published_task_knows_every_node_and_others_only_such_nodes() -> None:
    world = make(A, B, C, NodeId("d"))
    world.start("t1", A, INGRESS)
    published(world, Port(target=80, published=8080))
    world.catch_up()

    assert world.there(A)["peer"] == 4
    assert {key for key in world.tables[B].records if key.startswith("peer/")} == {
        "peer/a",
        "peer/b",
    }

    world.node("e")
    world.catch_up()
    assert world.there(A)["peer"] == 5


def test_nobody_asks_for_a_service_in_the_ingress_network() -> None:
    world = make()
    world.set_service(WEB, endpoint=EndpointSpec(ports=(Port(target=80, published=8080),)))
    world.new_version(WEB)
    world.start("t1", A, INGRESS, NET)
    published(world, Port(target=80, published=8080))
    world.catch_up()

    services = [key for key in world.tables[A].records if key.startswith("service/")]
    assert services == ["service/n-net/s-web"]


def test_an_ingress_network_that_is_made_anew_takes_the_place_of_the_old_one() -> None:
    world = make()
    published(world, Port(target=80, published=8080))
    world.catch_up()

    world.write((layout.network_key(INGRESS), None))
    world.catch_up()
    assert world.there(B) == {}

    world.network("second", subnet="10.254.0.0/16", ingress=True)
    world.catch_up()
    assert "network/n-second" in world.tables[B].records
    assert world.there(B)["publication"] == 1


def test_of_a_network_that_ends_at_its_nodes_each_knows_its_own_tasks() -> None:
    world = make()
    network = world.view.networks[OTHER]
    spec = structs.replace(network.spec, driver=NetworkDriver.BRIDGE)
    world.write((layout.network_key(OTHER), structs.replace(network, spec=spec)))
    world.start("t1", A, OTHER)
    world.catch_up()

    world.start("t2", B, OTHER)

    assert A not in world.audience.nodes
    world.catch_up()
    assert world.there(A) == world.there(B) == {"network": 1, "peer": 1, "endpoint": 1}


def test_a_guest_is_told_of_like_a_task_and_follows_its_network() -> None:
    world = make()
    task = world.start("t1", A, NET)
    world.guest("c1", NET, node_id=B)
    world.catch_up()
    assert world.there(B)["network"] == 0, "without addresses it is nowhere yet"

    world.guest("c1", NET, "10.9.0.9", node_id=B)
    assert {A, B} <= world.audience.nodes
    world.catch_up()

    assert world.tables[A].endpoints(TaskId("c1"))[NET] == Endpoint(
        network_id=NET,
        task_id=TaskId("c1"),
        task_name="name-of-c1",
        node_id=B,
        addresses=("10.9.0.9",),
        is_serving=True,
    )
    assert world.endpoint(B, task).addresses == ("n-net-t1",)
    assert world.there(B)["network"] == 1

    world.disconnect(B)
    world.catch_up()
    assert not world.tables[A].endpoints(TaskId("c1"))[NET].is_serving
    world.write((layout.guest_key(TaskId("c1"), NET), None))
    world.catch_up()
    assert not world.tables[A].endpoints(TaskId("c1"))
    assert world.there(B)["network"] == 0


def test_a_guest_whose_node_joined_anew_is_told_of_at_the_new_one_alone() -> None:
    world = make()
    world.guest("c1", NET, "10.9.0.9", node_id=B)
    world.write((layout.node_key(B), None))

    world.guest("c1", NET, "10.9.0.9", node_id=C)
    world.catch_up()

    assert world.there(B)["network"] == 0
    assert world.tables[C].endpoints(TaskId("c1"))[NET].node_id == C
    world.networks.check(world.view)


def test_a_guest_that_moves_leaves_nothing_where_it_was() -> None:
    world = make()
    world.guest("c1", NET, "10.9.0.9", node_id=B)

    world.guest("c1", NET, "10.9.0.9", node_id=C)
    world.catch_up()

    assert world.there(B)["network"] == 0
    world.networks.check(world.view)


def test_keys_go_to_nodes_with_encrypted_networks_only() -> None:
    world = make()
    network = world.view.networks[OTHER]
    spec = structs.replace(network.spec, encrypted=True)
    world.write((layout.network_key(OTHER), structs.replace(network, spec=spec)))
    world.start("t1", A, NET)
    world.start("t2", B, OTHER)
    world.write(("keys/7", Sealed(ciphertext=b"secret")), ("keys/8", Sealed()))
    world.catch_up()

    assert world.there(A)["key"] == 0
    assert world.tables[B].records["key/7"] == NetworkKey(number=7, secret=b"secret")
    assert "key/8" not in world.tables[B].records

    world.write(("keys/7", None), ("keys/9", Sealed(ciphertext=b"next")))
    world.catch_up()
    assert [key for key in world.tables[B].records if key.startswith("key/")] == ["key/9"]


def test_a_new_session_begins_with_everything_and_only_then_tells_what_changes() -> None:
    world = make()
    world.start("t1", A, NET)
    world.catch_up()
    before = dict(world.tables[A].records)
    world.start("t2", B, NET)

    told = world.session(A)

    assert told.is_complete
    assert told.data_path_port == 4789
    assert world.tables[A].records.keys() > before.keys()
    assert world.tell(A) is None


def test_the_port_of_the_data_path_is_told_when_it_changes() -> None:
    world = make()

    world.write((layout.CLUSTER, Cluster(id="c", spec=ClusterSpec(data_path_port=4800))))

    assert world.audience.is_all
    assert world.tell(A) == Topology(data_path_port=4800)
    assert world.tell(A) is None


def test_a_session_that_fell_too_far_behind_begins_anew() -> None:
    world = make()
    world.start("t0", A, NET)
    world.start("t1", B, NET)
    world.catch_up()
    for number in range(500):
        task = world.start(f"x{number}", B, NET)
        world.write((layout.task_key(task.service_id, task.id), None))

    told = world.tell(A)

    assert told is not None
    assert told.is_complete
    world.catch_up()


TASKS = ("start", "run", "sick", "end", "stop", "remove")
SERVICES = ("service", "unservice", "endpoint", "unendpoint")
GUESTS = ("guest", "unguest")
NODES = ("lose", "back", "leave", "join")
NETWORKS = ("network", "unnetwork", "key")


def happens_to_tasks(world: Told, what: str, step: int, data: st.DataObject) -> None:
    node_id = data.draw(st.sampled_from([A, B, C]))
    if what == "start":
        if node_id in world.view.nodes:
            networks = data.draw(st.lists(st.sampled_from([NET, OTHER, INGRESS]), unique=True))
            world.start(f"t{step}", node_id, *networks, state=TaskState.ASSIGNED)
        return
    if not world.view.tasks:
        return
    task = world.view.tasks[data.draw(st.sampled_from(sorted(world.view.tasks)))]
    match what:
        case "run":
            world.report(task, TaskState.RUNNING)
        case "sick":
            world.report(task, TaskState.RUNNING, health=HealthState.UNHEALTHY)
        case "end":
            world.report(task, TaskState.FAILED)
        case "stop":
            world.task(structs.replace(task, desired=TaskState.SHUTDOWN))
        case _:
            world.write((layout.task_key(WEB, task.id), None))


def happens_to_services(world: Told, what: str, step: int, data: st.DataObject) -> None:
    ports = (Port(target=80, published=step + 1),) if data.draw(st.booleans()) else ()
    match what:
        case "service":
            networks = data.draw(st.lists(st.sampled_from(["n-net", "n-other"]), unique=True))
            world.service(
                task=TaskSpec(networks=attached(*networks)), endpoint=EndpointSpec(ports=ports)
            )
        case "unservice":
            if WEB in world.view.services:
                world.remove_service(WEB)
        case "endpoint":
            network = data.draw(st.sampled_from([NET, OTHER, INGRESS]))
            own = VirtualAddress(network_id=network, addresses=(f"10.0.0.{step}",))
            made = ServiceEndpoint(service_id=WEB, virtual_addresses=(own,), ports=ports)
            world.write((layout.endpoint_key(WEB), made))
        case _:
            world.write((layout.endpoint_key(WEB), None))


def happens_to_nodes(world: Told, what: str, step: int, data: st.DataObject) -> None:
    node_id = data.draw(st.sampled_from([A, B, C]))
    match what:
        case "lose":
            world.disconnect(node_id)
        case "back":
            if node_id in world.view.nodes:
                world.connect(node_id)
        case "leave":
            world.write((layout.node_key(node_id), None), (layout.session_key(node_id), None))
        case _:
            told = NodeDescription(addr=f"10.2.0.{step}")
            world.write((layout.node_key(node_id), Node(id=node_id, number=step, description=told)))


def happens_to_guests(world: Told, what: str, step: int, data: st.DataObject) -> None:
    name, network = f"c{step % 3}", data.draw(st.sampled_from([NET, OTHER]))
    if what == "unguest":
        world.write((layout.guest_key(TaskId(name), network), None))
        return
    addresses = data.draw(st.sampled_from([(), (f"{network}-{name}",)]))
    node_id = data.draw(st.sampled_from([A, B, C]))
    world.guest(name, network, *addresses, node_id=node_id)


def happens_to_networks(world: Told, what: str, step: int, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["net", "other", "ingress"]))
    match what:
        case "network":
            world.network(name, ingress=name == "ingress", encrypted=data.draw(st.booleans()))
        case "unnetwork":
            world.write((layout.network_key(NetworkId(f"n-{name}")), None))
        case _:
            world.write((f"keys/{step % 3}", Sealed(ciphertext=bytes([step + 1]))))


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_law_who_hears_when_called_knows_exactly_what_the_view_says(data: st.DataObject) -> None:
    """Whatever happens, in whatever order: a node that is not called has nothing to hear, and
    when those that were called are told at last, each knows what a new session would be told.
    """
    world, lagging = make(), set[NodeId]()
    kinds = {TASKS: happens_to_tasks, SERVICES: happens_to_services}
    kinds |= {NODES: happens_to_nodes, NETWORKS: happens_to_networks, GUESTS: happens_to_guests}
    whats = [(what, happen) for names, happen in kinds.items() for what in names]
    for step in range(data.draw(st.integers(1, 30))):
        world.audience = Audience()
        what, happen = data.draw(st.sampled_from(whats))
        happen(world, what, step, data)
        called = {A, B, C} if world.audience.is_all else {A, B, C} & world.audience.nodes
        lagging |= called
        if data.draw(st.booleans()):
            told = data.draw(st.sampled_from([A, B, C]))
            data.draw(st.sampled_from([world.tell, world.session]))(told)
            lagging.discard(told)
        for each in {A, B, C} - lagging:
            assert world.sessions[each].diff() is None, (what, each)
        world.networks.check(world.view)
    world.catch_up()
