from swarm.ids import NodeId
from swarm.specs import (
    Availability,
    Global,
    Placement,
    Resources,
    RestartCondition,
    RestartPolicy,
    TaskSpec,
    UpdatePolicy,
)
from swarm.states import TaskState
from tests.manager.orchestrator.driving import WEB, Driven


def running(task: TaskSpec | None = None, *, nodes: int = 3) -> Driven:
    world = Driven()
    world.nodes(nodes)
    world.service(mode=Global(), task=task, update=UpdatePolicy(parallelism=1))
    world.converge()
    return world


def test_every_node_runs_one_and_so_does_one_that_joins() -> None:
    world = running()
    assert world.spread() == {"n0000": 1, "n0001": 1, "n0002": 1}

    world.node("late")
    world.converge()

    assert world.spread()["late"] == 1
    assert {task.slot for task in world.wanted()} == {0}


def test_constraints_say_which_nodes_and_are_followed_when_they_change() -> None:
    world = Driven()
    world.node("a", labels={"disk": "ssd"})
    world.node("b")
    spec = TaskSpec(placement=Placement(constraints=("node.labels.disk==ssd",)))
    world.service(mode=Global(), task=spec)
    world.converge()
    assert world.spread() == {"a": 1}

    world.set_node(NodeId("a"), labels={})
    world.set_node(NodeId("b"), labels={"disk": "ssd"})
    world.converge()

    assert world.spread() == {"b": 1}


def test_what_ended_well_on_a_node_that_is_no_longer_meant_is_no_longer_wanted() -> None:
    world = Driven()
    world.node("a", labels={"disk": "ssd"})
    once = TaskSpec(restart=RestartPolicy(condition=RestartCondition.ON_FAILURE))
    world.service(mode=Global(), task=once)
    world.converge()
    world.report(world.wanted()[0], TaskState.COMPLETE)

    world.new_version(WEB, placement=Placement(constraints=("node.labels.disk!=ssd",)))
    world.converge()

    assert not world.wanted()


def test_a_drained_node_runs_none_until_it_is_active_again() -> None:
    world = running()
    world.set_node(NodeId("n0001"), availability=Availability.DRAIN)
    world.converge()
    assert world.spread() == {"n0000": 1, "n0002": 1}

    world.set_node(NodeId("n0001"), availability=Availability.ACTIVE)
    world.converge()

    assert world.spread()["n0001"] == 1


def test_a_paused_node_keeps_its_task_through_a_rollout() -> None:
    world = running()
    world.set_node(NodeId("n0001"), availability=Availability.PAUSE)
    world.new_version(WEB)

    world.converge()

    assert {task.node_id: task.spec_version for task in world.live()} == {
        "n0000": 2,
        "n0001": 1,
        "n0002": 2,
    }


def test_a_task_on_a_lost_node_is_not_moved_and_found_again() -> None:
    world = running()
    before = {task.id for task in world.wanted()}
    world.disconnect(NodeId("n0001"))
    world.converge()
    assert {task.id for task in world.wanted()} == before

    world.connect(NodeId("n0001"))
    world.converge()

    assert {task.id for task in world.wanted()} == before
    assert world.states() == {"running": 3}


def test_a_failed_task_is_replaced_on_its_own_node() -> None:
    world = running(TaskSpec(restart=RestartPolicy(delay_s=0.0)))
    failed = world.wanted()[0]
    world.now += 60
    world.report(failed, TaskState.FAILED, exit_code=1)

    world.plan()

    (replacement,) = (task for task in world.live() if task.attempt == 2)
    assert replacement.node_id == failed.node_id


def test_a_rollout_goes_from_node_to_node() -> None:
    world = running()
    world.new_version(WEB)
    world.plan()
    assert len(world.live()) == 2

    world.converge()

    assert {task.spec_version for task in world.live()} == {2}
    assert len(world.live()) == 3


def test_a_node_without_room_is_named_once_and_served_when_it_has_some() -> None:
    world = Driven()
    world.node("a", cpu_millis=2000)
    world.node("b", cpu_millis=500)
    spec = TaskSpec(reservations=Resources(cpu_millis=1000))
    world.service(mode=Global(), task=spec)
    world.converge()
    (waiting,) = (task for task in world.wanted() if not task.node_id)
    assert waiting.message == "no suitable node (insufficient cpu on node host-b)"

    larger = Driven()
    larger.node("b", cpu_millis=4000)
    world.write(("nodes/b", larger.view.nodes[NodeId("b")]))
    world.converge()

    assert world.spread() == {"a": 1, "b": 1}
    assert world.view.tasks[waiting.id].node_id == "b"


def test_the_wait_for_a_node_that_leaves_is_over() -> None:
    world = Driven()
    world.node("b", cpu_millis=500)
    world.service(mode=Global(), task=TaskSpec(reservations=Resources(cpu_millis=1000)))
    world.converge()
    assert len(world.view.tasks) == 1

    world.write(("nodes/b", None), ("sessions/b", None))
    world.converge()

    assert not world.view.tasks


def test_a_service_that_is_removed_is_stopped_everywhere() -> None:
    world = running()
    world.remove_service(WEB)
    world.plan()
    assert {task.desired for task in world.view.tasks.values()} == {TaskState.REMOVE}

    world.converge()

    assert not world.view.tasks


def test_a_node_keeps_a_history_of_its_own() -> None:
    world = running(TaskSpec(restart=RestartPolicy(delay_s=1.0)), nodes=2)
    for _ in range(7):
        failing = next(task for task in world.live() if task.node_id == "n0000")
        world.wait(60)
        world.report(failing, TaskState.FAILED, exit_code=1)
        world.plan()
        world.wait(60)
        world.converge()

    assert len(world.view.tasks_on(NodeId("n0000"))) == 5
    assert len(world.view.tasks_on(NodeId("n0001"))) == 1
