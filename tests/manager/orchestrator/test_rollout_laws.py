"""Laws of rollouts, checked on every plan of random histories.

Versions are good or crash, nodes vanish and are drained, operators change their minds. The
count of what runs is taken before a plan, and what the plan stops is taken off it.
"""

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec import structs

from manager import layout
from manager.control import services
from manager.decisions import Evict, Plan, RemoveTask, SetDesired, WriteLedger
from manager.orchestrator.attempts import Phase, attempts_of
from manager.orchestrator.draining import Whereabouts
from manager.orchestrator.planning import plan_service
from swarm.ids import NodeId, TaskId
from swarm.objects import Rollout, Task
from swarm.specs import (
    Availability,
    FailureAction,
    Replicated,
    Resources,
    RestartPolicy,
    ServiceSpec,
    TaskSpec,
    UpdateOrder,
    UpdatePolicy,
)
from swarm.states import NodeState, RolloutState, TaskState
from tests.manager.orchestrator.driving import WEB, Driven

NODES = [NodeId(name) for name in "abcd"]
WAITING = (RolloutState.CANARY, RolloutState.PAUSED, RolloutState.ROLLBACK_PAUSED)
POLICIES = st.builds(
    UpdatePolicy,
    parallelism=st.integers(0, 3),
    delay_s=st.sampled_from([0.0, 0.0, 3.0]),
    order=st.sampled_from(list(UpdateOrder)),
    monitor_s=st.sampled_from([0.0, 0.5, 2.0]),
    max_failure_ratio=st.sampled_from([0.0, 0.0, 0.3]),
    failure_action=st.sampled_from(list(FailureAction)),
    canary=st.sampled_from([0, 0, 1, 2]),
)


class Checked(Driven):
    """A world whose plans are checked before they are carried out."""

    def plan_once(self, service_id: object) -> Plan:
        plan = plan_service(self.view, WEB, fleet=self.fleet, now=self.now)
        check_floor(self, plan)
        return super().plan_once(WEB)


def check_floor(world: Driven, plan: Plan) -> None:
    """A rollout never stops a running task when too few others run."""
    service = world.view.services[WEB]
    stops = {
        each.task_id
        for each in plan.decisions
        if isinstance(each, SetDesired) and each.desired > TaskState.RUNNING
    }
    before = up(world)
    after = {task.slot for task in before if task.id not in stops}
    evicted = {each.task_id for each in plan.decisions if is_eviction(each)}
    rolled = {
        task.slot
        for task in before
        if task.id in stops - evicted
        and task.slot not in after
        and task.spec_version != service.spec_version
        and not is_given_up(plan, task)
    }
    if not rolled:
        return
    written = [each.ledger for each in plan.decisions if isinstance(each, WriteLedger)]
    ledger = written[0] if written else world.view.ledgers.get(WEB)
    rollout = ledger.rollout if ledger is not None else None
    is_present = rollout is not None and rollout.spec_version == service.spec_version
    is_back = rollout is not None and is_present and rollout.state.is_rollback
    policy = service.spec.rollback if is_back else service.spec.update
    forgiven = set(rollout.failed) if rollout is not None and is_present else set()
    tried = {task.slot for task in world.view.tasks_of(WEB).values() if task.node_id}
    mode = service.spec.mode
    assert isinstance(mode, Replicated)
    if not policy.parallelism:
        return
    given_up = {task.slot for task in world.view.tasks_of(WEB).values() if is_given_up(plan, task)}
    down = {
        slot
        for slot in tried - after - given_up
        if str(slot) not in forgiven and in_use(world, slot)
    }
    assert len(down) <= policy.parallelism, (down, rolled, rollout)


def is_given_up(plan: Plan, task: Task) -> bool:
    gone = (SetDesired(task.id, TaskState.REMOVE), RemoveTask(task.id))
    return any(each in plan.decisions for each in gone)


def in_use(world: Driven, slot: int) -> bool:
    """Whether the slot is not given up by scaling."""
    return any(
        task.slot == slot and task.desired < TaskState.REMOVE
        for task in world.view.tasks_of(WEB).values()
    )


def is_eviction(decision: object) -> bool:
    return isinstance(decision, SetDesired) and bool(decision.eviction)


def up(world: Driven) -> list[Task]:
    return [
        each.task
        for each in attempts_of(world.view, WEB)
        if each.phase is Phase.LIVE and each.state is TaskState.RUNNING
    ]


class AnyRollout(RuleBasedStateMachine):
    """One service with some policy, and everything that may happen to it."""

    def __init__(self) -> None:
        super().__init__()
        self.world = Checked()
        self.abandoned: set[TaskId] = set()
        self.crashing: set[int] = set()
        self.places = 0
        for node in NODES:
            self.world.node(node, cpu_millis=6000)

    @initialize(update=POLICIES, rollback=POLICIES, replicas=st.integers(1, 6))
    def begin(self, update: UpdatePolicy, rollback: UpdatePolicy, replicas: int) -> None:
        task = TaskSpec(reservations=Resources(cpu_millis=1000), restart=RestartPolicy(delay_s=1.0))
        spec = ServiceSpec(
            name="web",
            mode=Replicated(replicas=replicas),
            task=task,
            update=update,
            rollback=rollback,
        )
        commit = services.create(self.world.view, spec, WEB, now=self.world.now)
        self.world.commit_group(commit)
        self.world.converge()

    @rule(crashes=st.booleans())
    def update(self, crashes: bool) -> None:
        spec = self._service().spec
        force = self._service().revision  # never what it was before
        task = structs.replace(spec.task, force_update=force)
        self._change(structs.replace(spec, task=task))
        if crashes:
            self.crashing.add(self._service().spec_version)

    @rule(policy=POLICIES)
    def change_policy(self, policy: UpdatePolicy) -> None:
        self._change(structs.replace(self._service().spec, update=policy))

    @rule()
    def roll_back(self) -> None:
        service = self._service()
        if service.previous_spec not in (None, service.spec):
            commit = services.rollback(self.world.view, WEB, 0, None, now=self.world.now)
            self.world.commit_group(commit)

    @rule()
    def promote(self) -> None:
        if self._is_held():
            commit = services.promote(self.world.view, WEB, now=self.world.now)
            self.world.commit_group(commit)

    @rule(replicas=st.integers(1, 8))
    def scale(self, replicas: int) -> None:
        self._change(structs.replace(self._service().spec, mode=Replicated(replicas=replicas)))

    @rule()
    def plan(self) -> None:
        self.world.plan()

    @rule(data=st.data())
    def one_agent_moves(self, data: st.DataObject) -> None:
        """An old task may fall as well; one of a bad version always does in the end."""
        tasks = [task for task in self._tasks() if self._moves(task)]
        if not tasks:
            return
        task = data.draw(st.sampled_from(tasks), label="task")
        if task.desired > TaskState.RUNNING:
            self.world.report(task, TaskState.SHUTDOWN)
        elif self.world.view.state(task) < TaskState.RUNNING:
            self.world.report(task, TaskState.RUNNING)
        else:
            self.world.report(task, TaskState.FAILED, exit_code=1)

    @rule(seconds=st.sampled_from([0.1, 0.6, 1.0, 3.0, 10.0]))
    def live(self, seconds: float) -> None:
        """Agents obey, bad versions crash, and time passes."""
        self.world.plan()
        self.world.obey(fails=lambda task: task.spec_version in self.crashing)
        self.world.plan()
        self.world.wait(seconds)

    @rule(node=st.sampled_from(NODES), there=st.booleans())
    def connect(self, node: NodeId, there: bool) -> None:
        if there:
            self.world.connect(node)
        else:
            self.world.disconnect(node)

    @rule(node=st.sampled_from(NODES), availability=st.sampled_from(list(Availability)))
    def change_node(self, node: NodeId, availability: Availability) -> None:
        self.world.set_node(node, availability=availability)

    @rule(data=st.data())
    def evict(self, data: st.DataObject) -> None:
        tasks = [each for each in self.world.live() if each.node_id and not each.eviction]
        if tasks:
            task = data.draw(st.sampled_from(tasks), label="evicted")
            self.world.perform(Plan(service_id=WEB, decisions=(Evict(task.id, "to rebalance"),)))

    @invariant()
    def two_at_most_run_of_a_slot_and_one_unless_they_start_first(self) -> None:
        self.abandoned |= {
            task.id
            for task in self._tasks()
            if self.world.view.node_state(task.node_id) is NodeState.DOWN
        }
        wanted = Counter(
            task.slot
            for task in self._tasks()
            if task.desired <= TaskState.RUNNING
            and not self.world.view.state(task).is_terminal
            and task.id not in self.abandoned
        )
        assert all(count <= 2 for count in wanted.values()), wanted

    @invariant()
    def not_too_many_are_wanted(self) -> None:
        """One more for each place, each that has to leave its node, each failure forgiven.

        Places that a policy once gave are not taken back when an operator gives fewer.
        """
        service = self.world.view.services.get(WEB)
        if service is None:
            return
        policies = (service.spec.update, service.spec.rollback)
        self.places = max(self.places, *(each.parallelism or 99 for each in policies))
        if self.world.dirty:
            return
        stays = Whereabouts(self.world.view, service).may_stay
        live = [
            task
            for task in self.world.live()
            if self.world.view.node_state(task.node_id) is not NodeState.DOWN
        ]
        rollout = self._rollout()
        forgiven = len(rollout.failed) if rollout is not None else 0
        leaving = sum(not stays(task) for task in live)
        assert len(live) <= self._replicas() + self.places + leaving + forgiven

    def teardown(self) -> None:
        """Once nothing fails and somebody promotes, the version that is wanted is everywhere."""
        if WEB not in self.world.view.services:
            return
        self.crashing = set()
        for node in NODES:
            self.world.set_node(node, availability=Availability.ACTIVE)
            self.world.connect(node)
        for _ in range(60):
            self.promote()
            self.world.converge()
            if not self.world.wakes and not self._is_held():
                break
            self.world.wait(10.0)
        version = self._service().spec_version
        assert {task.spec_version for task in self.world.live()} == {version}
        assert len(up(self.world)) == self._replicas()
        rollout = self._rollout()
        assert rollout is None or rollout.spec_version != version or rollout.state.is_over

    def _change(self, spec: ServiceSpec) -> None:
        version = self.world.view.version(layout.service_key(WEB))
        commit = services.update(self.world.view, WEB, version, spec, now=self.world.now)
        self.world.commit_group(commit)

    def _service(self):
        return self.world.view.services[WEB]

    def _replicas(self) -> int:
        mode = self._service().spec.mode
        assert isinstance(mode, Replicated)
        return mode.replicas

    def _rollout(self) -> Rollout | None:
        ledger = self.world.view.ledgers.get(WEB)
        return ledger.rollout if ledger is not None else None

    def _is_held(self) -> bool:
        rollout = self._rollout()
        version = self._service().spec_version
        is_present = rollout is not None and rollout.spec_version == version
        return rollout is not None and is_present and rollout.state in WAITING

    def _tasks(self) -> list[Task]:
        return sorted(self.world.view.tasks.values(), key=lambda task: task.id)

    def _moves(self, task: Task) -> bool:
        state = self.world.view.node_state(task.node_id)
        return state is NodeState.READY and not self.world.view.state(task).is_terminal


TestAnyRollout = AnyRollout.TestCase
TestAnyRollout.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
