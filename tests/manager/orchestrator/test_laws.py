"""Laws that hold after any history, checked on random ones."""

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from swarm.ids import NodeId, ServiceId, TaskId
from swarm.objects import Task
from swarm.specs import (
    Availability,
    FailureAction,
    Global,
    Placement,
    Replicated,
    Resources,
    RestartPolicy,
    TaskSpec,
    UpdatePolicy,
)
from swarm.states import NodeState, TaskState
from tests.manager.orchestrator.driving import WEB, Driven

EVERYWHERE = ServiceId("s-agent")
NODES = [NodeId(name) for name in "abcd"]
ENDS = st.sampled_from([TaskState.FAILED, TaskState.COMPLETE, TaskState.REJECTED])


class AnyHistory(RuleBasedStateMachine):
    """Nodes come and go, operators change their minds, tasks fail; the planners cope."""

    def __init__(self) -> None:
        super().__init__()
        self.world = Driven()
        self.furthest: dict[TaskId, TaskState] = {}
        self.abandoned: set[TaskId] = set()
        for number, node in enumerate(NODES):
            zone = "east" if number % 2 else "west"
            self.world.node(node, cpu_millis=3000, labels={"zone": zone})
        self.world.service(
            replicas=4,
            task=TaskSpec(
                reservations=Resources(cpu_millis=1000),
                restart=RestartPolicy(delay_s=2.0),
            ),
            update=UpdatePolicy(parallelism=2, failure_action=FailureAction.CONTINUE),
        )
        self.world.service(
            "agent",
            mode=Global(),
            task=TaskSpec(reservations=Resources(cpu_millis=500)),
            update=UpdatePolicy(failure_action=FailureAction.CONTINUE),
        )

    @rule(service=st.sampled_from([WEB, EVERYWHERE]))
    def plan_one(self, service: ServiceId) -> None:
        self.world.dirty.discard(service)
        self.world.plan_once(service)

    @rule()
    def plan_all(self) -> None:
        self.world.plan()

    @rule(data=st.data())
    def one_agent_moves(self, data: st.DataObject) -> None:
        tasks = [task for task in self._tasks() if self._reachable(task)]
        if not tasks:
            return
        task = data.draw(st.sampled_from(tasks), label="task")
        if task.desired > TaskState.RUNNING:
            self.world.report(task, TaskState.SHUTDOWN)
        elif self.world.view.state(task) < TaskState.RUNNING:
            self.world.report(task, TaskState.RUNNING)
        else:
            self.world.report(task, data.draw(ENDS, label="end"), exit_code=1)

    @rule()
    def all_agents_obey(self) -> None:
        self.world.obey()

    @rule(node=st.sampled_from(NODES), there=st.booleans())
    def connect(self, node: NodeId, there: bool) -> None:
        if there:
            self.world.connect(node)
        else:
            self.world.disconnect(node)

    @rule(node=st.sampled_from(NODES))
    def doubt(self, node: NodeId) -> None:
        self.world.doubt(node)

    @rule(node=st.sampled_from(NODES), availability=st.sampled_from(list(Availability)))
    def change_node(self, node: NodeId, availability: Availability) -> None:
        self.world.set_node(node, availability=availability)

    @rule(replicas=st.integers(0, 9))
    def scale(self, replicas: int) -> None:
        self.world.scale(WEB, replicas)

    @rule(zone=st.sampled_from(["", "east"]), service=st.sampled_from([WEB, EVERYWHERE]))
    def update(self, zone: str, service: ServiceId) -> None:
        constraints = ("node.labels.zone==east",) if zone else ()
        force = self.world.view.services[service].spec.task.force_update + 1
        placement = Placement(constraints=constraints)
        self.world.new_version(service, placement=placement, force_update=force)

    @rule(seconds=st.floats(0.1, 30.0))
    def time_passes(self, seconds: float) -> None:
        self.world.wait(seconds)

    @invariant()
    def no_node_is_overcommitted(self) -> None:
        assert (self.world.fleet.cpu_free() >= 0).all()

    @invariant()
    def one_task_may_run_per_replica(self) -> None:
        """What runs or may start is one per slot, or per node, unless its node was down."""
        self.abandoned |= {
            task.id
            for task in self._tasks()
            if self.world.view.node_state(task.node_id) is NodeState.DOWN
        }
        running = Counter(
            (task.service_id, task.slot, "" if task.slot else task.node_id)
            for task in self._tasks()
            if task.node_id
            and not self.world.view.state(task).is_terminal
            and task.id not in self.abandoned
        )
        assert all(count == 1 for count in running.values()), running

    @invariant()
    def no_task_moves_backwards(self) -> None:
        for task in self._tasks():
            state = self.world.view.state(task)
            assert state >= self.furthest.get(task.id, TaskState.NEW)
            self.furthest[task.id] = state

    def teardown(self) -> None:
        """Once faults stop, everything is as wanted."""
        for node in NODES:
            self.world.set_node(node, availability=Availability.ACTIVE)
            self.world.connect(node)
        for _ in range(30):
            self.world.converge()
            self.world.wait(10.0)
        mode = self.world.view.services[WEB].spec.mode
        assert isinstance(mode, Replicated)
        placed = [task for task in self.world.live() if task.node_id]
        room = 2 * (2 if self._is_confined(WEB) else 4)
        assert len(placed) >= min(mode.replicas, room)
        assert len(self.world.live()) == mode.replicas
        hosts = {"b", "d"} if self._is_confined(EVERYWHERE) else {"a", "b", "c", "d"}
        assert set(self.world.spread(EVERYWHERE)) - {""} <= hosts
        assert sum(self.world.spread(EVERYWHERE).values()) == len(hosts)
        for service in (WEB, EVERYWHERE):
            version = self.world.view.services[service].spec_version
            versions = {task.spec_version for task in self.world.live(service)}
            fits = "" not in self.world.spread(service)
            assert versions <= {version} or not fits  # what does not fit stops its rollout

    def _is_confined(self, service: ServiceId) -> bool:
        return bool(self.world.view.services[service].spec.task.placement.constraints)

    def _tasks(self) -> list[Task]:
        return sorted(self.world.view.tasks.values(), key=lambda task: task.id)

    def _reachable(self, task: Task) -> bool:
        state = self.world.view.node_state(task.node_id)
        return state is NodeState.READY and not self.world.view.state(task).is_terminal


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
