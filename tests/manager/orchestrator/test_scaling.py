from hypothesis import given
from hypothesis import strategies as st

from manager.orchestrator.attempts import Attempt, Phase
from manager.orchestrator.scaling import free_slots, surplus
from swarm.ids import NodeId, ServiceId, TaskId
from swarm.objects import Task
from swarm.states import TaskState


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
