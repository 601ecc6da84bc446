from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from manager import layout
from manager.scheduler.asks import Ask
from manager.scheduler.fleet import Fleet
from manager.scheduler.placement import place
from manager.scheduler.preempting import preempted_by
from swarm.ids import NetworkId, NodeId, ServiceId, TaskId
from swarm.objects import Task
from swarm.specs import (
    Affinity,
    Availability,
    GenericResource,
    Placement,
    Resources,
    Taint,
    TaskSpec,
)
from swarm.states import TaskState
from tests.manager.world import MEBI, World

GPU = GenericResource(kind="gpu", count=1)
SPEC = TaskSpec(
    reservations=Resources(cpu_millis=500, memory_bytes=64 * MEBI, generic=(GPU,)),
    placement=Placement(affinities=(Affinity(service="db", anti=True),)),
)


def make_task(
    name: str, node: str, desired: TaskState = TaskState.RUNNING, *names: str, eviction: str = ""
) -> Task:
    return Task(
        id=TaskId(name),
        service_id=ServiceId("s-web"),
        service_name="web",
        node_id=NodeId(node),
        desired=desired,
        eviction=eviction,
        claims=(GenericResource(kind="gpu", names=names),) if names else (),
    )


def test_reservations_count_until_the_task_has_ended() -> None:
    world = World()
    world.node("a", cpu_millis=2000)
    world.service(task=SPEC)
    task = make_task("t1", "a")
    fleet = Fleet.of(world.view)

    fleet.sync(world.view, world.task(task))
    assert fleet.cpu_free()[0] == 1500
    assert fleet.tasks[0] == 1

    fleet.sync(world.view, world.task(make_task("t1", "a", TaskState.SHUTDOWN)))
    assert fleet.cpu_free()[0] == 1500
    assert fleet.tasks[0] == 0

    fleet.sync(world.view, world.report(task, TaskState.SHUTDOWN))
    assert fleet.cpu_free()[0] == 2000
    fleet.check(world.view)


def test_what_was_booked_can_be_taken_back() -> None:
    world = World()
    world.nodes(3)
    fleet = Fleet.of(world.view)
    ask = Ask(service_id=ServiceId("s-web"), name="web", cpu_millis=1000)
    placed = place(fleet, ask, 100)
    assert len(placed.nodes) == 12

    fleet.book(ask, placed.rows[placed.rows >= 0])
    assert place(fleet, ask, 1).nodes == ()
    assert fleet.tasks.sum() == 12

    fleet.book(ask, placed.rows[placed.rows >= 0], -1)
    fleet.check(world.view)


def test_a_table_of_more_nodes_than_it_was_made_for_grows() -> None:
    world = World()
    fleet = Fleet.of(world.view)
    fleet.attribute("node.hostname")
    for number in range(40):
        name = f"n{number:02d}"
        node = world.node(name, ready=False)
        fleet.sync(world.view, world.connect(node))

    fleet.check(world.view)
    assert len(fleet.rows) == 40
    row = fleet.rows[NodeId("n39")]
    assert fleet.attribute("node.hostname").at(row) == "host-n39"
    assert [fleet.order[fleet.rows[NodeId(f"n{n:02d}")]] for n in range(40)] == list(range(40))


def test_the_columns_of_attributes_follow_their_nodes() -> None:
    world = World()
    node = world.node("a", labels={"zone": "East"})
    fleet = Fleet.of(world.view)
    assert fleet.attribute("node.labels.zone").at(fleet.rows[node]) == "east"

    fleet.sync(world.view, world.set_node(node, labels={"zone": "west"}))

    assert fleet.attribute("node.labels.zone").at(fleet.rows[node]) == "west"


NAMES = st.sampled_from(["t1", "t2", "t3", "t4"])
NODES = st.sampled_from(["a", "b", "c"])


class AnyHistory(RuleBasedStateMachine):
    """Whatever happens, the table kept change by change equals one made anew."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.world.service(task=SPEC)
        self.fleet = Fleet.of(self.world.view)
        self.fleet.attribute("node.labels.zone")

    @rule(
        name=NODES,
        cpu=st.integers(0, 4),
        gpus=st.sampled_from([(), ("g1",), ("g1", "g2")]),
        zone=st.sampled_from(["", "x", "y"]),
    )
    def put_node(self, name: str, cpu: int, gpus: tuple[str, ...], zone: str) -> None:
        other = World()
        other.node(
            name,
            cpu_millis=cpu * 1000,
            labels={"zone": zone} if zone else {},
            generic=(GenericResource(kind="gpu", count=len(zone), names=gpus),),
            taints=(Taint(key="k"),) if cpu == 1 else (),
            volumes=gpus,
            public_key=zone.encode(),
        )
        node = other.view.nodes[NodeId(name)]
        self._sync((layout.node_key(node.id), node))

    @rule(name=NODES)
    def drop_node(self, name: str) -> None:
        self._sync((layout.node_key(NodeId(name)), None))

    @rule(name=NODES, encrypted=st.booleans())
    def put_network(self, name: str, encrypted: bool) -> None:
        other = World()
        network = other.view.networks[other.network(name, encrypted=encrypted)]
        self._sync((layout.network_key(network.id), network))

    @rule(name=NODES)
    def drop_network(self, name: str) -> None:
        self._sync((layout.network_key(NetworkId(f"n-{name}")), None))

    @rule(name=NODES)
    def connect(self, name: str) -> None:
        self.fleet.sync(self.world.view, self.world.connect(NodeId(name)))

    @rule(name=NODES)
    def disconnect(self, name: str) -> None:
        self._sync((layout.session_key(NodeId(name)), None))

    @rule(name=NODES, availability=st.sampled_from(list(Availability)))
    def change_node(self, name: str, availability: Availability) -> None:
        if NodeId(name) in self.world.view.nodes:
            applied = self.world.set_node(NodeId(name), availability=availability)
            self.fleet.sync(self.world.view, applied)

    @rule(
        name=NAMES,
        node=st.sampled_from(["", "a", "b", "c"]),
        desired=st.sampled_from([TaskState.RUNNING, TaskState.SHUTDOWN, TaskState.REMOVE]),
        names=st.sampled_from([(), ("g1",), ("g2", "g3")]),
        eviction=st.sampled_from(["", preempted_by("db"), "drained"]),
    )
    def put_task(
        self, name: str, node: str, desired: TaskState, names: tuple[str, ...], eviction: str
    ) -> None:
        applied = self.world.task(make_task(name, node, desired, *names, eviction=eviction))
        self.fleet.sync(self.world.view, applied)

    @rule(name=NAMES)
    def drop_task(self, name: str) -> None:
        self._sync((layout.task_key(ServiceId("s-web"), TaskId(name)), None))

    @precondition(lambda self: self.world.view.tasks)
    @rule(name=NAMES, state=st.sampled_from(list(TaskState)))
    def report(self, name: str, state: TaskState) -> None:
        task = self.world.view.tasks.get(TaskId(name))
        if task is not None and task.node_id:
            self.fleet.sync(self.world.view, self.world.report(task, state))

    def _sync(self, *pairs: tuple[str, object]) -> None:
        self.fleet.sync(self.world.view, self.world.write(*pairs))

    @invariant()
    def table_agrees(self) -> None:
        self.fleet.check(self.world.view)

    @invariant()
    def copy_agrees(self) -> None:
        self.fleet.copied(self.world.view.tasks).check(self.world.view)


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
