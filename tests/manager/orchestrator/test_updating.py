from collections import Counter

import pytest

from manager.decisions import SetDesired, WriteLedger
from manager.progress import measure
from swarm.ids import NodeId
from swarm.objects import Task
from swarm.specs import (
    Availability,
    Placement,
    Resources,
    RestartCondition,
    RestartPolicy,
    TaskSpec,
    UpdatePolicy,
)
from swarm.states import TaskState
from tests.manager.orchestrator.driving import WEB, Driven


def running(
    replicas: int, update: UpdatePolicy, *, nodes: int = 3, task: TaskSpec | None = None
) -> Driven:
    world = Driven()
    world.nodes(nodes)
    world.service(replicas=replicas, update=update, task=task)
    world.converge()
    return world


def versions(world: Driven) -> Counter[int]:
    return Counter(task.spec_version for task in world.live())


def test_a_slot_is_stopped_then_started_anew_then_the_next_one_follows() -> None:
    """Two replicas, one at a time.

    1. Slot 1 is asked to stop; slot 2 runs on.
    2. Only when it has ended is its successor created.
    3. Only when that has been up for a second is slot 2 asked to stop.
    """
    world = running(2, UpdatePolicy(parallelism=1))
    first, second = world.wanted()
    world.new_version(WEB)

    plan = world.plan_once(WEB)
    written, stopped = plan.decisions
    assert isinstance(written, WriteLedger)
    assert stopped == SetDesired(first.id, TaskState.SHUTDOWN)
    world.plan()
    world.report(first, TaskState.SHUTDOWN)
    world.plan()
    (successor,) = (task for task in world.live() if task.spec_version == 2)
    assert successor.slot == 1
    assert world.view.tasks[second.id].desired is TaskState.RUNNING
    world.report(successor, TaskState.RUNNING)
    world.plan()
    assert world.view.tasks[second.id].desired is TaskState.RUNNING
    world.wait(1.0)
    assert world.view.tasks[second.id].desired is TaskState.SHUTDOWN
    world.converge()

    assert versions(world) == {2: 2}
    assert not measure(world.view, WEB).is_converged
    world.wait(5.0)
    assert measure(world.view, WEB).is_converged


@pytest.mark.parametrize(("parallelism", "at_once"), [(1, 1), (3, 3), (0, 10), (50, 10)])
def test_never_more_than_so_many_at_a_time_are_down(parallelism: int, at_once: int) -> None:
    world = running(10, UpdatePolicy(parallelism=parallelism))
    world.new_version(WEB)

    world.plan()
    assert len(world.live()) == 10 - at_once
    least = 10
    while world.obey() or versions(world) != {2: 10}:
        world.plan()
        world.wait(1.0)
        up = [task for task in world.live() if world.view.state(task) is TaskState.RUNNING]
        least = min(least, len(up))

    assert least == 10 - at_once
    assert versions(world) == {2: 10}
    assert world.view.versions_of(WEB).keys() == {1, 2}  # the history refers to the first


def test_a_scale_makes_no_new_version() -> None:
    world = running(2, UpdatePolicy())
    before = {task.id for task in world.wanted()}

    world.scale(WEB, 4)
    world.converge()

    assert before < {task.id for task in world.wanted()}


def test_the_delay_is_counted_from_when_the_last_one_came_up() -> None:
    world = running(3, UpdatePolicy(parallelism=1, delay_s=10.0))
    world.new_version(WEB)
    world.plan()
    world.obey()
    world.plan()
    world.obey()
    world.plan()
    assert versions(world) == {1: 2, 2: 1}
    up_at = world.now

    world.wait(10.9)
    assert versions(world) == {1: 2, 2: 1}
    world.wait(0.2)
    assert world.now - up_at == pytest.approx(11.1)
    assert versions(world) == {1: 1, 2: 1}
    for _ in range(4):
        world.converge()
        world.wait(11.0)

    assert versions(world) == {2: 3}
    assert not world.wakes


def test_a_version_that_does_not_come_up_stops_its_rollout() -> None:
    world = running(5, UpdatePolicy(parallelism=2))
    world.new_version(WEB)

    for _ in range(10):
        world.plan()
        world.obey(fails=lambda task: task.spec_version == 2)
        world.wait(10)

    assert versions(world)[1] == 3


def test_a_newer_version_replaces_first_what_does_not_run() -> None:
    """A bad version is being rolled out; a good one follows."""
    world = running(4, UpdatePolicy(parallelism=1))
    world.new_version(WEB)
    world.plan()
    for _ in range(3):
        world.obey(fails=lambda task: task.spec_version == 2)
        world.plan()
        world.wait(10)
    assert versions(world)[1] == 3

    world.new_version(WEB)
    world.plan()
    assert versions(world) == {1: 3}
    world.converge()

    assert versions(world) == {3: 4}


def test_a_version_that_fits_nowhere_does_not_take_the_whole_service_down() -> None:
    world = running(3, UpdatePolicy(parallelism=1))
    world.new_version(WEB, reservations=Resources(cpu_millis=1_000_000))

    world.converge()

    assert versions(world) == {1: 2, 2: 1}
    waiting = next(task for task in world.wanted() if not task.node_id)
    assert waiting.message.startswith("no suitable node (insufficient cpu")


def test_replicas_that_never_had_a_node_do_not_hold_a_rollout_up() -> None:
    world = Driven()
    world.node("a", cpu_millis=2000)
    spec = TaskSpec(reservations=Resources(cpu_millis=1000))
    world.service(replicas=3, task=spec, update=UpdatePolicy(parallelism=1))
    world.converge()
    world.new_version(WEB)

    world.converge()

    placed = [task for task in world.wanted() if task.node_id]
    assert {task.spec_version for task in world.wanted()} == {2}
    assert len(placed) == 2


def test_what_ended_well_runs_again_in_a_new_version() -> None:
    once = TaskSpec(restart=RestartPolicy(condition=RestartCondition.NONE))
    world = running(3, UpdatePolicy(parallelism=1), task=once)
    for task in world.wanted():
        world.report(task, TaskState.COMPLETE)
    world.plan()
    world.new_version(WEB)

    world.plan()
    assert len(world.live()) == 1
    world.converge()

    assert versions(world) == {2: 3}


def test_old_versions_are_forgotten_when_no_task_refers_to_them() -> None:
    world = running(1, UpdatePolicy())
    world.history_limit(2)
    for _ in range(3):
        world.new_version(WEB)
        world.converge()
        world.wait(60)

    assert sorted(world.view.versions_of(WEB)) == [3, 4]


def test_a_drained_node_in_the_middle_of_a_rollout_does_not_stop_it() -> None:
    world = running(6, UpdatePolicy(parallelism=2))
    world.new_version(WEB)
    world.plan()
    world.set_node(NodeId("n0001"), availability=Availability.DRAIN)

    world.converge()

    assert versions(world) == {2: 6}
    assert world.spread() == {"n0000": 3, "n0002": 3}


def test_new_constraints_move_replicas_in_their_turn() -> None:
    world = Driven()
    world.node("a", labels={"zone": "west"})
    world.node("b", labels={"zone": "east"})
    world.service(replicas=4, update=UpdatePolicy(parallelism=1))
    world.converge()
    world.new_version(WEB, placement=Placement(constraints=("node.labels.zone==east",)))

    world.plan()
    assert len(world.live()) == 3
    world.converge()

    assert world.spread() == {"b": 4}


def test_a_rollout_goes_on_while_a_node_is_lost() -> None:
    world = running(6, UpdatePolicy(parallelism=1))
    world.new_version(WEB)
    world.plan()
    world.disconnect(NodeId("n0002"))

    world.converge()

    assert versions(world) == {2: 6}
    assert world.spread() == {"n0000": 3, "n0001": 3}


def test_a_new_version_starts_with_a_clean_history_of_restarts() -> None:
    world = running(1, UpdatePolicy(), task=TaskSpec(restart=RestartPolicy(max_attempts=1)))
    for _ in range(2):
        world.report(world.live()[0], TaskState.FAILED, exit_code=1)
        world.plan()
        world.wait(10)
        world.converge()
    assert not world.live()

    world.new_version(WEB)
    world.converge()

    fresh: Task = world.live()[0]
    assert fresh.restarts == ()
    assert fresh.attempt == 3
