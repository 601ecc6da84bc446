from collections import Counter

from manager.decisions import CreateTask, Plan, UpdateMessage, commit_for
from manager.orchestrator.planning import plan_service
from manager.progress import measure
from manager.store import Absent
from swarm.ids import NodeId, TaskId
from swarm.specs import Availability, Placement, Resources, RestartPolicy, TaskSpec
from swarm.states import TaskState
from tests.manager.orchestrator.driving import WEB, Driven
from tests.manager.world import MEBI

CORE = TaskSpec(reservations=Resources(cpu_millis=1000))


def running(replicas: int, nodes: int = 3, task: TaskSpec | None = None) -> Driven:
    world = Driven()
    world.nodes(nodes)
    world.service(replicas=replicas, task=task)
    world.converge()
    return world


def test_a_hundred_replicas_on_four_nodes_are_created_placed_in_one_plan() -> None:
    world = Driven()
    world.nodes(4)
    world.service(replicas=100)

    plan = world.plan_once(WEB)

    assert len(plan.decisions) == 100
    assert all(isinstance(each, CreateTask) and each.task.node_id for each in plan.decisions)
    assert set(world.spread().values()) == {25}
    assert [task.slot for task in world.wanted()] == list(range(1, 101))
    assert len(world.view.tasks) == 100


def test_planning_again_decides_nothing() -> None:
    world = running(5)

    assert world.plan_once(WEB).decisions == ()


def test_growing_takes_the_smallest_free_slots() -> None:
    world = running(3)
    world.report(world.wanted()[1], TaskState.FAILED, exit_code=1)
    world.scale(WEB, 2)
    world.converge()
    assert [task.slot for task in world.wanted()] == [1, 3]

    world.scale(WEB, 5)
    world.converge()

    assert [task.slot for task in world.wanted()] == [1, 2, 3, 4, 5]
    assert world.states() == {"running": 5}


def test_a_slot_is_not_given_again_before_its_last_task_has_ended() -> None:
    world = running(2)
    world.scale(WEB, 1)
    world.plan()
    world.scale(WEB, 2)
    world.plan()

    assert [task.slot for task in world.wanted()] == [1, 3]


def test_shrinking_gives_up_waiting_then_idle_then_the_fullest_node() -> None:
    """Seven replicas: three on one node, two on another, one that failed, one that waits."""
    world = Driven()
    full = world.node("full", cpu_millis=3000)
    world.service(replicas=3, task=CORE)
    world.converge()
    world.node("half", cpu_millis=2000)
    world.scale(WEB, 5)
    world.converge()
    assert world.spread() == {"full": 3, "half": 2}
    failed = world.wanted()[4]
    world.report(failed, TaskState.FAILED, exit_code=1)
    world.scale(WEB, 7)
    world.converge()
    waiting = next(task for task in world.wanted() if not task.node_id)

    gone: list[int] = []
    for replicas in (6, 5, 4, 3):
        before = {task.slot for task in world.wanted()}
        world.scale(WEB, replicas)
        world.converge()
        gone += before - {task.slot for task in world.wanted()}

    assert gone == [waiting.slot, failed.slot, 3, 6]
    assert [task.node_id for task in world.wanted()] == [full, full, NodeId("half")]


def test_scaling_to_nothing_leaves_nothing() -> None:
    world = running(10)
    world.scale(WEB, 0)

    world.converge()

    assert not world.view.tasks
    assert not [key for key in world.keys if key.startswith(("tasks/", "observed/"))]


def test_a_removed_service_vanishes_with_its_tasks_reports_and_versions() -> None:
    world = running(3)
    world.new_version(WEB)
    world.converge()
    world.remove_service(WEB)

    world.converge()

    left = [key for key in world.keys if not key.startswith(("nodes/", "sessions/"))]
    assert left == []


def test_tasks_of_a_removed_service_on_a_lost_node_are_forgotten() -> None:
    world = running(3)
    world.disconnect(NodeId("n0001"))
    world.remove_service(WEB)

    world.converge()

    assert not world.view.tasks


def test_without_a_node_one_task_per_slot_waits_and_says_why() -> None:
    world = Driven()
    world.node("a", cpu_millis=2000)
    world.service(replicas=4, task=CORE)

    world.converge()

    waiting = [task for task in world.wanted() if not task.node_id]
    assert [task.slot for task in waiting] == [3, 4]
    reason = "no suitable node (insufficient cpu on 1 node)"
    assert {task.message for task in waiting} == {reason}
    assert measure(world.view, WEB).problems == (reason,)


def test_a_reason_is_written_again_only_when_it_changes() -> None:
    world = Driven()
    world.node("a", memory_bytes=MEBI)
    spec = TaskSpec(reservations=Resources(memory_bytes=2 * MEBI))
    world.service(replicas=2, task=spec)
    world.converge()

    assert world.plan_once(WEB).decisions == ()
    world.set_node(NodeId("a"), availability=Availability.PAUSE)
    decisions = world.plan_once(WEB).decisions

    assert len(decisions) == 2
    assert all(isinstance(each, UpdateMessage) for each in decisions)
    assert {task.message for task in world.wanted()} == {
        "no suitable node (1 node paused or drained)"
    }


def test_what_waits_is_assigned_when_a_node_has_room() -> None:
    world = Driven()
    world.node("a", cpu_millis=1000)
    world.service(replicas=3, task=CORE)
    world.converge()
    waiting = {task.id for task in world.wanted() if not task.node_id}

    world.node("b", cpu_millis=1000)
    world.converge()

    placed = next(task for task in world.wanted() if task.node_id == "b")
    assert placed.id in waiting
    assert placed.message == ""
    assert world.view.state(placed) is TaskState.RUNNING
    assert len([task for task in world.wanted() if not task.node_id]) == 1


def test_room_that_another_service_frees_goes_to_who_waits() -> None:
    world = Driven()
    world.node("a", cpu_millis=1000)
    other = world.service("first", task=CORE)
    world.converge()
    world.service(replicas=1, task=CORE)
    world.converge()
    assert world.spread() == {"": 1}

    world.scale(other, 0)
    world.converge()

    assert world.spread() == {"a": 1}


def test_draining_a_node_moves_its_tasks_one_after_the_other_has_ended() -> None:
    """A node is drained.

    1. Its tasks are asked to stop; nothing replaces them yet.
    2. Once they have ended, replacements are created on the other nodes.
    """
    world = running(6)
    world.set_node(NodeId("n0001"), availability=Availability.DRAIN)

    world.plan()
    assert len(world.wanted()) == 4
    assert len(world.view.tasks) == 6
    world.converge()

    assert world.spread() == {"n0000": 3, "n0002": 3}


def test_a_paused_node_keeps_its_tasks_but_gets_no_new_ones() -> None:
    world = running(3)
    world.set_node(NodeId("n0001"), availability=Availability.PAUSE)
    world.scale(WEB, 7)

    world.converge()

    assert world.spread() == {"n0000": 3, "n0001": 1, "n0002": 3}


def test_a_node_that_no_longer_satisfies_a_constraint_loses_its_tasks() -> None:
    world = Driven()
    world.node("a", labels={"zone": "east"})
    world.node("b", labels={"zone": "east"})
    spec = TaskSpec(placement=Placement(constraints=("node.labels.zone==east",)))
    world.service(replicas=2, task=spec)
    world.converge()
    assert world.spread() == {"a": 1, "b": 1}

    world.set_node(NodeId("b"), labels={"zone": "west"})
    world.converge()

    assert world.spread() == {"a": 2}


def test_tasks_of_a_lost_node_are_replaced_at_once_and_asked_to_stop() -> None:
    """One of three nodes is cut off with two of six tasks, and comes back later.

    1. Replacements are placed in the very plan that learns of the loss.
    2. The old tasks are asked to stop in the same commit.
    3. When the node is back, its tasks stop; nothing else moves.
    """
    world = running(6)
    lost = [task for task in world.wanted() if task.node_id == "n0001"]
    world.disconnect(NodeId("n0001"))

    world.plan()

    assert world.spread() == {"n0000": 3, "n0002": 3}
    assert {world.view.tasks[task.id].desired for task in lost} == {TaskState.SHUTDOWN}
    world.converge()
    world.connect(NodeId("n0001"))
    world.converge()
    assert {world.view.state(task) for task in lost} == {TaskState.SHUTDOWN}
    assert world.spread() == {"n0000": 3, "n0002": 3}


def test_a_lost_task_that_fits_nowhere_else_stays_wanted_and_is_found_again() -> None:
    """The only node falls silent: a restart of everything would help nobody.

    1. The replacements wait, saying why.
    2. The node comes back with its tasks running.
    3. The waiting replacements go; the tasks were never stopped.
    """
    world = running(2, nodes=1)
    before = {task.id for task in world.wanted()}
    world.disconnect(NodeId("n0000"))
    world.plan()
    assert Counter(bool(task.node_id) for task in world.wanted()) == {True: 2, False: 2}
    assert "no suitable node (1 node not ready)" in measure(world.view, WEB).problems

    world.connect(NodeId("n0000"))
    world.converge()

    assert {task.id for task in world.wanted()} == before
    assert world.states() == {"running": 2}


def test_a_waiting_replacement_takes_the_first_room_and_only_then_stops_the_lost_task() -> None:
    world = running(1, nodes=1)
    old = world.wanted()[0]
    world.disconnect(NodeId("n0000"))
    world.plan()
    assert world.view.tasks[old.id].desired is TaskState.RUNNING

    world.node("late")
    world.converge()

    assert world.view.tasks[old.id].desired is TaskState.SHUTDOWN
    assert world.spread() == {"late": 1}


def test_a_lost_task_that_ended_after_all_is_closed_when_its_replacement_waits() -> None:
    """The node is back without its containers while the replacement waits for room."""
    world = running(1, nodes=1, task=CORE)
    old = world.wanted()[0]
    world.disconnect(NodeId("n0000"))
    world.plan()
    world.connect(NodeId("n0000"))
    world.report(old, TaskState.FAILED)

    world.converge()

    assert world.view.tasks[old.id].desired is TaskState.SHUTDOWN
    assert len(world.wanted()) == 1


def test_nodes_in_doubt_keep_their_tasks() -> None:
    world = running(3)
    world.disconnect(NodeId("n0001"))
    world.doubt(NodeId("n0001"))

    world.plan()

    assert world.spread() == {"n0000": 1, "n0001": 1, "n0002": 1}
    world.give_up(NodeId("n0001"))
    world.plan()
    assert "n0001" not in world.spread()


def test_a_replacement_that_waits_is_kept_while_its_predecessor_is_in_doubt() -> None:
    """A new leader must neither place it nor throw it away: it knows too little."""
    world = running(1, nodes=1)
    world.disconnect(NodeId("n0000"))
    world.plan()
    world.node("other")
    world.doubt(NodeId("n0000"))

    world.plan()

    assert Counter(task.node_id for task in world.wanted()) == {"n0000": 1, "": 1}


def test_tasks_of_a_node_that_left_the_swarm_are_forgotten_and_replaced() -> None:
    world = running(3)
    world.write(("nodes/n0001", None), ("sessions/n0001", None))

    world.converge()

    assert world.spread() == {"n0000": 2, "n0002": 1}
    assert not world.view.tasks_on(NodeId("n0001"))
    assert not world.view.observations_on(NodeId("n0001"))


def test_two_attempts_of_a_slot_are_one_too_many() -> None:
    world = running(1)
    first = world.wanted()[0]
    extra = type(first)(
        id=TaskId("zz"),
        service_id=WEB,
        slot=1,
        node_id=NodeId("n0001"),
        attempt=2,
        created_at=world.now,
    )
    world.task(extra)

    world.converge()

    assert [task.id for task in world.wanted()] == [first.id]


def test_the_history_of_a_slot_is_limited_and_its_oldest_go_first() -> None:
    world = running(1)
    for _ in range(8):
        world.wait(10)
        world.report(world.live()[0], TaskState.FAILED, exit_code=1)
        world.plan()
        world.wait(10)
        world.converge()

    tasks = sorted(world.view.tasks.values(), key=lambda task: task.attempt)
    assert [task.attempt for task in tasks] == [5, 6, 7, 8, 9]
    reported = [key for key in world.keys if key.startswith("observed/")]
    assert len(reported) == 5


def test_a_history_of_nothing_still_keeps_what_decides_on_the_next_attempt() -> None:
    world = running(1)
    world.history_limit(0)
    world.wait(60)
    world.report(world.live()[0], TaskState.FAILED, exit_code=1)

    world.plan()
    assert world.states() == {"failed": 1}
    world.wait(6)
    world.converge()

    assert world.states() == {"running": 1}


def test_a_plan_that_is_made_again_names_the_same_tasks() -> None:
    """A commit was given up; its successor must not hold beside it, should it be done late."""
    world = running(2)
    world.scale(WEB, 4)
    given_up = plan_service(world.view, WEB, fleet=world.fleet, now=world.now)
    late = commit_for(world.view, given_up, now=world.now)
    world.now += 1

    again = world.plan_once(WEB)

    def names(plan: Plan) -> set[str]:
        return {each.task.id for each in plan.decisions if isinstance(each, CreateTask)}

    assert names(given_up) == names(again)
    assert {compare.key for compare in late.compares if isinstance(compare, Absent)} == {
        f"tasks/{WEB}/{name}" for name in names(again)
    }


def test_young_attempts_are_kept_beyond_the_history_for_a_while() -> None:
    world = running(1, task=TaskSpec(restart=RestartPolicy(delay_s=0.0)))
    world.history_limit(1)
    for _ in range(3):
        world.now += 2
        world.report(world.live()[0], TaskState.FAILED, exit_code=1)
        world.converge()
    assert len(world.view.tasks) == 4

    world.wait(60)

    assert world.states() == {"running": 1}


def test_a_report_of_a_task_that_is_no_more_is_forgotten() -> None:
    world = running(1)
    task = world.wanted()[0]
    world.scale(WEB, 0)
    world.converge()

    world.report(task, TaskState.SHUTDOWN)
    world.plan()

    assert not world.view.observations_on(task.node_id)
