"""A job runs every slot, or every node, to one good end."""

from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec import structs

from manager.decisions import RemoveTask, WriteLedger
from manager.orchestrator import job_slots
from swarm.ids import NodeId, ServiceId, TaskId
from swarm.objects import Run, Span, Task
from swarm.specs import (
    Availability,
    ContainerSpec,
    GlobalJob,
    Mount,
    ReplicatedJob,
    Resources,
    RestartCondition,
    RestartPolicy,
    TaskSpec,
)
from swarm.states import NodeState, RunState, TaskState
from tests.manager.orchestrator.driving import Driven

JOB = ServiceId("s-job")
ON_FAILURE = RestartPolicy(condition=RestartCondition.ON_FAILURE, delay_s=5.0)
NEVER = RestartPolicy(condition=RestartCondition.NONE)


def job(
    total: int = 3,
    at_once: int = 0,
    *,
    nodes: int = 3,
    restart: RestartPolicy = ON_FAILURE,
    mode: object = None,
) -> Driven:
    world = Driven()
    world.nodes(nodes)
    mode = mode or ReplicatedJob(total=total, max_concurrent=at_once)
    world.service("job", mode=mode, task=TaskSpec(restart=restart))
    world.plan()
    return world


def run_of(world: Driven) -> Run:
    (run,) = world.view.ledgers[JOB].runs
    return run


def live(world: Driven) -> list[Task]:
    return [task for task in world.live(JOB) if task.node_id]


def slots(tasks: list[Task]) -> list[int]:
    return sorted(task.slot for task in tasks)


def in_slot(world: Driven, slot: int) -> Task:
    (found,) = [task for task in world.live(JOB) if task.slot == slot]
    return found


def end(world: Driven, state: TaskState = TaskState.COMPLETE, *slots: int) -> None:
    for task in live(world):
        if not slots or task.slot in slots:
            world.report(task, state, exit_code=0 if state is TaskState.COMPLETE else 1)
    world.plan()


def test_slots_are_taken_in_order_as_places_come_free() -> None:
    world = job(total=6, at_once=2)
    assert slots(live(world)) == [1, 2]

    end(world, TaskState.COMPLETE, 1)
    assert slots(live(world)) == [2, 3]
    end(world)
    assert slots(live(world)) == [4, 5]
    end(world)
    end(world)

    assert not live(world)
    run = run_of(world)
    assert (run.state, run.done, run.completed, run.total) == (
        RunState.COMPLETE,
        (Span(1, 6),),
        6,
        6,
    )
    assert run.ended_at == world.now


def test_without_a_bound_all_slots_run_at_once() -> None:
    assert slots(live(job(total=5))) == [1, 2, 3, 4, 5]


def test_a_failed_attempt_is_followed_by_another_after_the_delay() -> None:
    world = job(total=2, at_once=1)

    end(world, TaskState.FAILED)
    assert not live(world), "slot 1 keeps its place while it waits"
    world.wait(5.0)

    (again,) = live(world)
    assert (again.slot, again.attempt) == (1, 2)


def test_restarting_on_any_end_means_on_failure_for_a_job() -> None:
    world = job(total=1, restart=RestartPolicy(condition=RestartCondition.ANY))

    end(world)
    world.wait(3600.0)

    assert run_of(world).state is RunState.COMPLETE
    assert len(world.view.tasks) == 1


def test_a_slot_whose_attempts_are_used_up_fails_and_the_others_go_on() -> None:
    restart = RestartPolicy(condition=RestartCondition.ON_FAILURE, delay_s=0.0, max_attempts=1)
    world = job(total=2, at_once=1, restart=restart)

    end(world, TaskState.FAILED)
    end(world, TaskState.FAILED)
    assert run_of(world).failed == (Span(1, 1),)
    assert slots(live(world)) == [2]
    assert run_of(world).message == "job.1 failed after 2 attempts: exit code 1"
    end(world)

    assert (run_of(world).state, run_of(world).completed) == (RunState.FAILED, 1)
    world.wait(3600.0)
    assert not live(world)


def test_a_slot_that_is_never_repeated_has_one_attempt_even_if_its_node_is_lost() -> None:
    world = job(total=1, restart=NEVER)
    (only,) = live(world)
    world.report(only, TaskState.RUNNING)

    world.disconnect(only.node_id)
    world.plan()
    assert not [task for task in world.view.tasks.values() if task.id != only.id]
    world.connect(only.node_id)
    end(world)

    assert run_of(world).state is RunState.COMPLETE


def test_a_slot_that_is_never_repeated_fails_with_its_node() -> None:
    world = job(total=1, restart=NEVER)
    (only,) = live(world)
    world.disconnect(only.node_id)

    world.write((f"nodes/{only.node_id}", None))
    world.plan()

    assert run_of(world).state is RunState.FAILED
    assert not live(world)


def test_a_lost_attempt_is_replaced_and_stopped_once_it_is_back() -> None:
    world = job(total=1)
    (first,) = live(world)
    world.report(first, TaskState.RUNNING)

    world.disconnect(first.node_id)
    world.plan()
    (second,) = [task for task in live(world) if task.id != first.id]
    world.connect(first.node_id)
    world.plan()

    assert world.view.tasks[first.id].desired is TaskState.SHUTDOWN
    assert second.attempt == 2


def test_a_lost_attempt_that_had_completed_ends_its_slot_and_stops_the_replacement() -> None:
    """A good end is a good end, whenever we hear of it.

    1. The task completes, and its node is cut off before it can say so.
    2. Another attempt starts elsewhere.
    3. The node is back and reports: the slot is done, and the other attempt is not needed.
    """
    world = job(total=1)
    (first,) = live(world)
    world.disconnect(first.node_id)
    world.plan()
    (second,) = [task for task in live(world) if task.id != first.id]
    world.report(second, TaskState.RUNNING)

    world.connect(first.node_id)
    world.report(first, TaskState.COMPLETE)
    world.plan()

    assert run_of(world).done == (Span(1, 1),)
    assert world.view.tasks[second.id].desired is TaskState.SHUTDOWN


def test_a_slot_that_completed_on_a_node_that_left_does_not_run_again() -> None:
    world = job(total=2, at_once=1)
    (first,) = live(world)
    end(world)

    world.disconnect(first.node_id)
    world.write((f"nodes/{first.node_id}", None))
    world.plan()

    assert first.id not in world.view.tasks
    assert slots(live(world)) == [2]
    assert run_of(world).done == (Span(1, 1),)


def test_a_drained_node_hands_its_slots_on() -> None:
    world = job(total=1)
    (first,) = live(world)
    world.report(first, TaskState.RUNNING)

    world.set_node(first.node_id, availability=Availability.DRAIN)
    world.plan()
    assert not live(world), "nothing starts while it may still run"
    world.obey()
    world.plan()

    (second,) = live(world)
    assert second.node_id != first.node_id


def test_a_new_version_starts_over_once_the_old_one_has_stopped() -> None:
    world = job(total=3, at_once=1)
    end(world)
    (second,) = live(world)
    world.report(second, TaskState.RUNNING)

    world.new_version(JOB)
    world.plan()
    assert not live(world)
    world.obey()
    world.plan()

    (fresh,) = live(world)
    assert (fresh.slot, fresh.spec_version) == (1, 2)
    assert {task.spec_version for task in world.view.tasks.values()} == {2}
    assert run_of(world).done == ()


def test_a_job_that_is_over_goes_on_when_it_gets_more_slots() -> None:
    world = job(total=2)
    end(world)

    world.set_service(JOB, mode=ReplicatedJob(total=3))
    world.plan()

    assert slots(live(world)) == [3]
    assert run_of(world).state is RunState.RUNNING
    end(world)
    assert run_of(world).state is RunState.COMPLETE


def test_slots_beyond_a_smaller_total_are_stopped() -> None:
    world = job(total=3)

    world.set_service(JOB, mode=ReplicatedJob(total=1))
    world.plan()
    world.obey()
    world.plan()

    assert slots(live(world)) == [1]


def test_a_slot_without_room_waits_and_says_why() -> None:
    world = Driven()
    world.service("job", mode=ReplicatedJob(total=2, max_concurrent=1))
    world.plan()
    (waiting,) = world.wanted(JOB)
    assert waiting.message == "no suitable node (the swarm has no nodes)"

    world.node("a")
    world.plan()

    (placed,) = live(world)
    assert placed.id == waiting.id


def test_a_slot_goes_back_to_where_its_volume_is() -> None:
    world = Driven()
    world.nodes(3)
    mount = Mount(source="data-{{.Task.Slot}}", target="/data")
    spec = TaskSpec(restart=ON_FAILURE, container=ContainerSpec(mounts=(mount,)))
    world.service("job", mode=ReplicatedJob(total=1), task=spec)
    world.plan()
    (first,) = live(world)

    end(world, TaskState.FAILED)
    world.disconnect(first.node_id)
    world.plan()
    world.wait(5.0)
    (waiting,) = world.live(JOB)
    assert not waiting.node_id
    assert "data-1" in waiting.message
    world.connect(first.node_id)
    world.plan()

    assert [task.node_id for task in live(world)] == [first.node_id]


def test_a_removed_job_leaves_nothing() -> None:
    world = job(total=3)
    end(world, TaskState.COMPLETE, 1)

    world.remove_service(JOB)
    world.plan()
    world.obey()
    world.plan()

    assert not world.view.tasks
    assert not world.view.versions_of(JOB)


# -- large jobs --------------------------------------------------------------------------


def test_a_large_job_creates_no_more_tasks_than_may_run() -> None:
    world = job(total=100_000, at_once=50, nodes=10)

    assert len(world.view.tasks) == 50
    assert world.view.ledgers[JOB].runs[0].total == 100_000


def test_of_slots_that_are_over_only_the_latest_tasks_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(job_slots, "KEPT_ENDS", 10)
    world = job(total=200, at_once=5)

    while run_of(world).state is RunState.RUNNING:
        end(world)
        world.wait(1.0)
        ended = [t for t in world.view.tasks.values() if world.view.state(t).is_terminal]
        assert len(ended) <= 10 + 5 * job_slots.YOUNG_S, "the young ones are kept a while"
    world.wait(job_slots.YOUNG_S)

    assert run_of(world).done == (Span(1, 200),)
    assert slots(list(world.view.tasks.values())) == list(range(191, 201))


def test_what_decides_is_written_before_tasks_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(job_slots, "KEPT_ENDS", 0)
    world = job(total=2, at_once=1)
    done: set[int] = set()

    for _ in range(2):
        end(world)
        world.wait(job_slots.YOUNG_S)
    for plan in world.plans:
        for decision in plan.decisions:
            if isinstance(decision, WriteLedger):
                for span in decision.ledger.runs[0].done:
                    done |= set(range(span.first, span.last + 1))
        removed = [each for each in plan.decisions if isinstance(each, RemoveTask)]
        assert not removed or done

    assert not world.view.tasks
    assert run_of(world).state is RunState.COMPLETE


# -- one on every node -------------------------------------------------------------------


def test_a_global_job_runs_once_on_every_node_and_on_those_that_join() -> None:
    world = job(mode=GlobalJob())
    assert len(live(world)) == 3
    end(world)
    assert (run_of(world).state, run_of(world).completed) == (RunState.COMPLETE, 3)

    world.node("late")
    world.plan()

    (late,) = live(world)
    assert late.node_id == "late"
    end(world)
    assert (run_of(world).state, run_of(world).completed) == (RunState.COMPLETE, 4)


def test_a_global_job_tries_again_on_the_same_node() -> None:
    world = job(mode=GlobalJob(), nodes=1)

    end(world, TaskState.FAILED)
    world.wait(5.0)

    (again,) = live(world)
    assert again.attempt == 2
    end(world)
    world.wait(3600.0)
    assert run_of(world).state is RunState.COMPLETE
    assert not live(world)


def test_a_global_job_is_over_without_nodes_that_are_down_and_goes_on_when_they_return() -> None:
    world = job(mode=GlobalJob())
    away = live(world)[0]
    world.report(away, TaskState.RUNNING)
    world.disconnect(away.node_id)

    for task in live(world):
        if task.id != away.id:
            world.report(task, TaskState.COMPLETE)
    world.plan()
    assert run_of(world).state is RunState.COMPLETE
    world.connect(away.node_id)
    world.plan()

    assert run_of(world).state is RunState.RUNNING
    assert [task.id for task in live(world)] == [away.id]


def test_a_global_job_waits_for_room_and_keeps_its_task_when_the_reason_changes() -> None:
    world = Driven()
    world.node("a", cpu_millis=1000, memory_bytes=1000)

    spec = TaskSpec(reservations=Resources(cpu_millis=2000, memory_bytes=900))
    world.service("job", mode=GlobalJob(), task=spec)
    world.plan()
    (waiting,) = world.wanted(JOB)
    assert "cpu" in waiting.message

    node = world.view.nodes[NodeId("a")]

    told = structs.replace(node.description, resources=Resources(cpu_millis=4000, memory_bytes=100))
    world.write(("nodes/a", structs.replace(node, description=told)))
    world.plan()
    assert "memory" in world.view.tasks[waiting.id].message
    told = structs.replace(
        node.description, resources=Resources(cpu_millis=4000, memory_bytes=1000)
    )
    world.write(("nodes/a", structs.replace(node, description=told)))
    world.plan()

    assert world.view.tasks[waiting.id].node_id == "a"


# -- laws --------------------------------------------------------------------------------

TOTAL, AT_ONCE = 8, 3
NODES = [NodeId(name) for name in "abc"]


class AnyJob(RuleBasedStateMachine):
    """Nodes come and go, tasks end as they like, and every slot completes at most once."""

    def __init__(self) -> None:
        super().__init__()
        self.world = Driven()
        self.completed: Counter[tuple[int, int]] = Counter()
        self.once: set[TaskId] = set()
        self.abandoned: set[TaskId] = set()
        for node in NODES:
            self.world.node(node)

    @initialize(restart=st.sampled_from([ON_FAILURE, NEVER]))
    def begin(self, restart: RestartPolicy) -> None:
        self.restart = restart
        mode = ReplicatedJob(total=TOTAL, max_concurrent=AT_ONCE)
        self.world.service("job", mode=mode, task=TaskSpec(restart=restart))

    @rule()
    def plan(self) -> None:
        self.world.plan()

    @rule(data=st.data())
    def one_ends(self, data: st.DataObject) -> None:
        tasks = [task for task in self._placed() if self._is_reachable(task)]
        if not tasks:
            return
        task = data.draw(st.sampled_from(tasks))
        if task.desired > TaskState.RUNNING:
            self.world.report(task, TaskState.SHUTDOWN)
            return
        ends = [TaskState.COMPLETE, TaskState.FAILED, TaskState.RUNNING]
        state = data.draw(st.sampled_from(ends))
        self.world.report(task, state, exit_code=int(state is TaskState.FAILED))
        if state is TaskState.COMPLETE and task.id not in self.abandoned:
            self.completed[task.spec_version, task.slot] += 1

    @rule(node=st.sampled_from(NODES), there=st.booleans())
    def connect(self, node: NodeId, there: bool) -> None:
        if there:
            self.world.connect(node)
        else:
            self.world.disconnect(node)

    @rule(node=st.sampled_from(NODES), availability=st.sampled_from(list(Availability)))
    def change_node(self, node: NodeId, availability: Availability) -> None:
        self.world.set_node(node, availability=availability)

    @rule(node=st.sampled_from(NODES))
    def doubt(self, node: NodeId) -> None:
        self.world.doubt(node)

    @rule()
    def new_version(self) -> None:
        if self.world.view.services[JOB].spec_version < 3:
            self.world.new_version(JOB)

    @rule(seconds=st.floats(0.1, 20.0))
    def time_passes(self, seconds: float) -> None:
        self.world.wait(seconds)

    @invariant()
    def no_slot_completes_twice(self) -> None:
        """But for attempts whose nodes were down: nobody could ask them."""
        self.abandoned |= {
            task.id
            for task in self._placed()
            if self.world.view.node_state(task.node_id) is NodeState.DOWN
        }
        assert all(count == 1 for count in self.completed.values())

    @invariant()
    def no_more_run_than_may(self) -> None:
        running = [
            task
            for task in self._placed()
            if not self.world.view.state(task).is_terminal and task.id not in self.abandoned
        ]
        assert len(running) <= AT_ONCE

    @invariant()
    def what_is_never_repeated_has_one_attempt(self) -> None:
        if self.restart is NEVER:
            assert all(task.attempt == 1 for task in self._placed())

    def teardown(self) -> None:
        """Once faults stop, the job is over."""
        for node in NODES:
            self.world.set_node(node, availability=Availability.ACTIVE)
            self.world.connect(node)
        for _ in range(4 * TOTAL):
            self.world.plan()
            for task in self._placed():
                if self._is_reachable(task):
                    is_wanted = task.desired <= TaskState.RUNNING
                    state = TaskState.COMPLETE if is_wanted else TaskState.SHUTDOWN
                    self.world.report(task, state)
            self.world.wait(20.0)
        (run,) = self.world.view.ledgers[JOB].runs
        assert run.state is not RunState.RUNNING
        assert run.state is RunState.COMPLETE or self.restart is NEVER

    def _placed(self) -> list[Task]:
        tasks = sorted(self.world.view.tasks.values(), key=lambda task: task.id)
        return [task for task in tasks if task.node_id]

    def _is_reachable(self, task: Task) -> bool:
        state = self.world.view.node_state(task.node_id)
        return state is NodeState.READY and not self.world.view.state(task).is_terminal


TestAnyJob = AnyJob.TestCase
TestAnyJob.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
