import pytest
from msgspec import structs

from manager import layout
from swarm.ids import ClusterId, NodeId
from swarm.objects import Cluster, Node
from swarm.specs import (
    Availability,
    ClusterSpec,
    Global,
    GlobalJob,
    Mode,
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


@pytest.mark.parametrize("mode", [Global(), GlobalJob()])
def test_an_attempt_that_waits_does_not_have_the_one_before_it_forgotten(mode: Mode) -> None:
    """Found by seeds 198 and 741 of the simulation: a task got the id of one that had run before.

    1. No history is kept, and the only attempt on a node fails.
    2. Its successor waits for room, without the node's name.
    3. Were the first forgotten, the node's next attempt would be the first again, with its id.
    """
    world = Driven()
    world.write(
        (layout.CLUSTER, Cluster(id=ClusterId("c"), spec=ClusterSpec(task_history_limit=0)))
    )
    node = world.node("a", cpu_millis=1000)
    reserved = TaskSpec(
        reservations=Resources(cpu_millis=1000), restart=RestartPolicy(delay_s=20.0)
    )
    world.service(mode=mode, task=reserved)
    world.plan()
    (first,) = world.wanted()
    world.report(first, TaskState.FAILED)
    world.write((layout.node_key(node), shrunk(world, node)))

    world.wait(30.0)
    world.plan()

    assert first.id in world.view.tasks
    assert [task.attempt for task in world.wanted() if task.id != first.id] == [2]


def shrunk(world: Driven, node_id: NodeId) -> Node:
    node = world.view.nodes[node_id]
    described = structs.replace(node.description, resources=Resources(cpu_millis=10))
    return structs.replace(node, description=described)
