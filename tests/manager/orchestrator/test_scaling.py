import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from manager import layout
from manager.control import services
from manager.decisions import Plan, WriteLedger, commit_for
from manager.orchestrator.attempts import Attempt, Phase
from manager.orchestrator.planning import plan_service
from manager.orchestrator.scaling import free_slots, surplus
from swarm.ids import NodeId, ServiceId, TaskId
from swarm.objects import Ledger, Task
from swarm.specs import Autoscale, Replicated, RestartPolicy, ServiceSpec, TaskSpec
from swarm.states import TaskState
from tests.manager.orchestrator.driving import WEB, Driven


def attempt(slot: int, node: str, phase: Phase, state: TaskState) -> Attempt:
    task = Task(id=TaskId(f"t{slot}"), service_id=ServiceId("s"), slot=slot, node_id=NodeId(node))
    return Attempt(task=task, state=state, phase=phase)


def up(slot: int, node: str) -> Attempt:
    return attempt(slot, node, Phase.LIVE, TaskState.RUNNING)


def test_nothing_is_given_up_while_there_are_too_few() -> None:
    assert surplus({1: [up(1, "a")]}, 2) == []


def test_the_fullest_node_gives_first_and_its_highest_slot() -> None:
    slots = {slot: [up(slot, node)] for slot, node in ((1, "a"), (2, "b"), (3, "a"), (4, "a"))}

    assert surplus(slots, 2) == [4, 3]
    assert surplus(slots, 1) == [4, 3, 2]


def test_what_waits_goes_before_what_starts_and_that_before_what_runs() -> None:
    slots = {
        1: [attempt(1, "", Phase.WAITING, TaskState.PENDING)],
        2: [attempt(2, "a", Phase.LIVE, TaskState.STARTING)],
        3: [up(3, "a")],
        4: [],
    }

    assert surplus(slots, 1) == [1, 4, 2]


@given(st.sets(st.integers(1, 12)), st.integers(0, 8))
def test_law_free_slots_are_the_smallest_that_nothing_bears(taken: set[int], count: int) -> None:
    found = free_slots(taken, count)

    assert len(found) == count
    assert not taken & set(found)
    assert all(slot in taken or slot in found for slot in range(1, max(found, default=0)))


@given(
    st.dictionaries(
        st.integers(1, 12),
        st.tuples(st.sampled_from("abc"), st.sampled_from([Phase.LIVE, Phase.ENDED])),
    ),
    st.integers(0, 12),
)
def test_law_exactly_the_surplus_is_given_up(
    places: dict[int, tuple[str, Phase]], replicas: int
) -> None:
    slots = {
        slot: [attempt(slot, node, phase, TaskState.RUNNING)]
        for slot, (node, phase) in places.items()
    }

    gone = surplus(slots, replicas)

    assert len(set(gone)) == len(gone) == max(0, len(slots) - replicas)
    running = [slot for slot in slots if places[slot][1] is Phase.LIVE]
    assert not set(gone) & set(running) or set(slots) - set(running) <= set(gone)


def scaled(world: Driven, replicas: int) -> None:
    """Have the service's use call for so many, as autoscaling writes it."""
    world.now += 1.0
    ledger = Ledger(service_id=WEB, replicas=replicas, scaled_at=world.now)
    world.perform(Plan(service_id=WEB, decisions=(WriteLedger(ledger),)))


def test_a_slot_that_autoscaling_gave_up_comes_back_as_another_task() -> None:
    """Found by seed 7096 of the simulation: a task that had ended was to run again.

    1. A service scales itself from three replicas to two, and one task is removed.
    2. It scales itself back. Nobody changed the service, so nothing but that is new.
    3. The slot's first attempt is another task: agents know the old one, which has ended.
    4. A commit made before it scaled itself must not be done after that.
    """
    world = Driven()
    world.node("a")
    policy = Autoscale(least=1, most=3, cpu_percent=50.0)
    spec = ServiceSpec(name="web", mode=Replicated(replicas=3), autoscale=policy)
    world.commit_group(services.create(world.view, spec, WEB, now=world.now))
    world.converge()
    before = {task.id for task in world.wanted()}

    scaled(world, 2)
    world.converge()
    scaled(world, 3)
    plan = plan_service(world.view, WEB, fleet=world.fleet, now=world.now)
    late = commit_for(world.view, plan, now=world.now)
    scaled(world, 2)
    with pytest.raises(AssertionError, match=layout.ledger_key(WEB)):
        world.commit_group(late)
    scaled(world, 3)
    world.converge()

    (new,) = (task.id for task in world.wanted() if task.slot == 3)
    assert new not in before


def test_a_slot_is_given_up_as_a_whole() -> None:
    """Found by seed 12399 of the simulation: a replica was started beside itself.

    1. The first replica fell once and runs again. The other one has just fallen.
    2. The first is given up, but only a part of that is committed: the attempt that fell is
       still known.
    3. Were the other one given up instead, the first would be begun anew beside itself.
    """
    world = Driven()
    world.node("a")
    world.service(replicas=2, task=TaskSpec(restart=RestartPolicy(delay_s=5.0)))
    world.converge()
    fallen, other = world.live()
    world.report(fallen, TaskState.FAILED)
    world.plan()
    world.wait(5.0)
    world.converge()
    (again,) = (task for task in world.live() if task.slot == fallen.slot)
    world.report(other, TaskState.FAILED)
    world.scale(WEB, 1)
    world.task(structs.replace(again, desired=TaskState.REMOVE))
    world.plan()
    world.wait(5.0)

    assert {task.slot for task in world.live()} == {other.slot}
    assert fallen.id not in world.view.tasks
    assert again.id in world.view.tasks
