import pytest
from msgspec import structs

from manager import layout
from manager.decisions import AssignTask, CreateTask, SetDesired
from manager.orchestrator.draft import IN_TURN
from manager.orchestrator.planning import plan_service
from swarm.ids import NodeId, ServiceId
from swarm.specs import (
    ContainerSpec,
    Global,
    GlobalJob,
    Mode,
    Mount,
    Replicated,
    ReplicatedJob,
    Resources,
    TaskSpec,
    UpdatePolicy,
)
from swarm.states import TaskState
from tests.manager.orchestrator.driving import Driven

LOW, HIGH = ServiceId("s-low"), ServiceId("s-high")
HALF = TaskSpec(reservations=Resources(cpu_millis=500))
WHOLE = TaskSpec(reservations=Resources(cpu_millis=1000), priority=10)


def full() -> Driven:
    world = Driven()
    world.node("a", cpu_millis=1000)
    world.service("low", replicas=2, task=HALF)
    world.converge()
    return world


def test_a_service_of_higher_priority_takes_the_place_of_others() -> None:
    """Two small tasks fill the only node, and a large one is more important.

    1. The plan that finds no room stops both, and its own task waits and says so.
    2. One of them has ended: its slot waits, although half of the node is free.
    3. Both have ended: the important task starts.
    """
    world = full()

    world.service("high", task=WHOLE)
    world.plan_once(HIGH)
    (waiting,) = world.live(HIGH)
    victims = list(world.view.tasks_of(LOW).values())
    assert waiting.node_id == ""
    assert waiting.message == "preempts 2 tasks on host-a"
    assert {each.desired for each in victims} == {TaskState.SHUTDOWN}
    assert {each.eviction for each in victims} == {"preempted by high"}

    world.report(victims[0], TaskState.SHUTDOWN)
    world.plan()
    assert world.live(HIGH)[0].message == "preempts 1 task on host-a"
    assert {each.node_id for each in world.live(LOW)} == {""}

    world.converge()
    assert world.spread(HIGH) == {"a": 1}
    assert {each.node_id for each in world.live(LOW)} == {""}


def test_who_waits_for_a_place_does_not_take_another() -> None:
    world = full()
    world.node("b", cpu_millis=1000)
    world.service("other", replicas=2, task=HALF)
    world.converge()
    world.service("high", task=WHOLE)
    world.plan_once(HIGH)

    again = plan_service(world.view, HIGH, fleet=world.fleet, now=world.now)

    assert again.decisions == ()


def test_room_goes_first_to_the_version_that_others_give_way_to() -> None:
    """Found by seed 7372 of the simulation: two services drove each other out for ever.

    1. A task of version 1, of high priority, and one of version 2, of none, wait for a node.
    2. There is room for one. Were that given to version 2, any service in between would take
       it, and give way to version 1 again.
    """
    world = Driven()
    world.service("high", replicas=2, task=WHOLE, update=UpdatePolicy(canary=1))
    world.plan()
    world.new_version(HIGH, priority=0)
    world.plan()
    assert sorted(task.spec_version for task in world.live(HIGH)) == [1, 2]

    world.node("a", cpu_millis=1000)
    world.converge()

    assert [task.spec_version for task in world.live(HIGH) if task.node_id] == [1]


@pytest.mark.parametrize("mode", [Replicated(replicas=2), Global(), ReplicatedJob(), GlobalJob()])
@pytest.mark.parametrize("cpu_millis", [500, 1000])
def test_nothing_starts_before_the_turn_of_its_priority(mode: Mode, cpu_millis: int) -> None:
    """Neither what waits for a node already, nor what has yet to be made."""
    world = full()
    task = TaskSpec(reservations=Resources(cpu_millis=cpu_millis), priority=10)
    world.service("high", mode=mode, task=task)
    if cpu_millis > 500:
        world.plan_once(HIGH)  # they wait for their room
        for victim in world.view.tasks_of(LOW).values():
            world.report(victim, TaskState.SHUTDOWN)

    early = plan_service(world.view, HIGH, fleet=world.fleet, now=world.now, least_priority=11)
    in_turn = plan_service(world.view, HIGH, fleet=world.fleet, now=world.now, least_priority=10)

    if cpu_millis > 500:
        assert early.decisions == ()
        assert any(isinstance(each, AssignTask) for each in in_turn.decisions)
    else:
        created = [each for each in early.decisions if isinstance(each, CreateTask)]
        assert not any(isinstance(each, SetDesired | AssignTask) for each in early.decisions)
        assert {each.task.message for each in created} == {IN_TURN}
        assert {each.task.node_id for each in created} == {""}
        assert any(isinstance(each, SetDesired) for each in in_turn.decisions)


def test_equals_are_left_alone() -> None:
    world = full()

    world.service("high", task=structs.replace(WHOLE, priority=0))
    world.plan()

    assert world.spread(LOW) == {"a": 2}
    (waiting,) = world.live(HIGH)
    assert waiting.message == "no suitable node (insufficient cpu on 1 node)"


def test_a_global_service_makes_itself_room_on_each_node() -> None:
    world = full()
    world.node("b", cpu_millis=1000)

    world.service("high", task=WHOLE, mode=Global())
    world.converge()

    assert world.spread(HIGH) == {"a": 1, "b": 1}
    assert {each.node_id for each in world.live(LOW)} == {""}


def test_a_task_follows_its_volume_and_waits_while_its_node_is_down() -> None:
    """A slot with a volume of its own was on `a`, which is down.

    1. It fails on `a`, and the next attempt is there again although `b` is emptier.
    2. While `a` is down, the slot waits and says where its volume is.
    3. `a` has left the swarm: the slot starts anywhere.
    """
    mount = Mount(source="data-{{.Task.Slot}}", target="/data")
    world = Driven()
    a = world.node("a")
    world.service("low", task=TaskSpec(container=ContainerSpec(mounts=(mount,))))
    world.converge()
    world.node("b")

    world.obey(fails=lambda task: True)
    world.plan()
    world.wait(10)
    world.converge()
    assert world.spread(LOW) == {"a": 1}

    world.disconnect(a)
    world.give_up(NodeId("a"))
    world.plan()
    waiting = [task for task in world.live(LOW) if not task.node_id]
    assert [task.message for task in waiting] == [
        "no suitable node (volume data-1 lives on host-a, which is down)"
    ]

    world.write((layout.node_key(a), None))
    world.converge()
    assert world.spread(LOW)["b"] == 1
