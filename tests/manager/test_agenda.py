from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from manager.agenda import Agenda, Due, priorities
from manager.applied import Applied
from swarm.ids import ServiceId
from swarm.specs import TaskSpec
from tests.manager.world import World

A, B = ServiceId("a"), ServiceId("b")


def test_services_are_planned_in_turn_and_once_each() -> None:
    agenda = Agenda()
    agenda.add([B, A])
    agenda.add([B])

    assert [agenda.next(now=0.0) for _ in range(3)] == [Due(B), Due(A), None]


def test_time_alone_calls_for_a_plan_when_it_was_asked_to() -> None:
    agenda = Agenda()
    agenda.wake(A, 5.0)

    assert agenda.next(now=4.9) is None
    assert agenda.next_deadline() == 5.0
    assert agenda.next(now=5.0) == Due(A)
    assert agenda.next_deadline() is None


def test_a_plan_for_another_reason_gives_up_the_time_it_had_asked_for() -> None:
    agenda = Agenda()
    agenda.wake(A, 5.0)
    agenda.add([A])
    agenda.next(now=1.0)

    assert agenda.next_deadline() is None
    assert agenda.next(now=6.0) is None


def test_the_time_that_was_asked_for_last_counts() -> None:
    agenda = Agenda()
    agenda.wake(A, 5.0)
    agenda.wake(A, 9.0)

    assert agenda.next(now=6.0) is None
    assert agenda.next(now=9.0) == Due(A)


def test_work_that_is_due_has_no_deadline_to_wait_for() -> None:
    agenda = Agenda()
    agenda.wake(B, 5.0)
    agenda.add([A])

    assert agenda.next_deadline() == 0.0


actions = st.tuples(
    st.sampled_from(["add", "wake", "take"]), st.sampled_from([A, B]), st.floats(0, 9)
)


@given(st.lists(actions, max_size=40))
def test_law_what_was_asked_for_comes_up_and_nothing_else(
    story: list[tuple[str, ServiceId, float]],
) -> None:
    agenda, now = Agenda(), 0.0
    due, wake_at = set[ServiceId](), dict[ServiceId, float]()

    for action, service_id, seconds in story:
        if action == "add":
            agenda.add([service_id])
            due.add(service_id)
        elif action == "wake":
            agenda.wake(service_id, now + seconds)
            wake_at[service_id] = now + seconds
        else:
            now += seconds
            due |= {each for each, at in wake_at.items() if at <= now}
            taken = agenda.next(now=now)
            assert (taken is not None) is bool(due)
            if taken is not None:
                assert taken.service_id in due
                due.discard(taken.service_id)
                wake_at.pop(taken.service_id, None)
        agenda.check()


def test_a_touch_of_some_slots_calls_for_them_alone() -> None:
    agenda = Agenda()
    agenda.note(Applied(services=frozenset({A, B}), slots={A: frozenset({3})}))
    agenda.add_slots(A, [4])

    assert agenda.next(now=0.0) == Due(A, frozenset({3, 4}))
    assert agenda.next(now=0.0) == Due(B)
    assert agenda.next(now=0.0) is None


def test_the_whole_includes_every_slot() -> None:
    agenda = Agenda()
    agenda.add([A])
    agenda.add_slots(A, [1])
    assert agenda.next(now=0.0) == Due(A)

    agenda.add_slots(A, [1])
    agenda.add([A])
    assert agenda.next(now=0.0) == Due(A)


def test_a_slot_that_is_planned_gives_up_its_own_time_only() -> None:
    agenda = Agenda()
    agenda.wake(A, 5.0, slot=1)
    agenda.wake(A, 6.0, slot=2)
    agenda.add_slots(A, [1])

    assert agenda.next(now=1.0) == Due(A, frozenset({1}))
    assert agenda.next_deadline() == 6.0
    assert agenda.next(now=6.0) == Due(A, frozenset({2}))


def test_a_plan_of_the_whole_gives_up_the_times_of_all_slots() -> None:
    agenda = Agenda()
    agenda.wake(A, 5.0, slot=1)
    agenda.wake(A, 6.0)
    agenda.add([A])
    agenda.next(now=1.0)

    assert agenda.next_deadline() is None


def test_services_of_higher_priority_come_first() -> None:
    agenda = Agenda(priorities=lambda service_id: (50,) if service_id == B else (0,))
    agenda.add([A, B])

    assert [agenda.next(now=0.0) for _ in range(2)] == [Due(B, None, 50), Due(A, None, 0)]


slotted = st.tuples(
    st.sampled_from(["add", "slots", "wake", "next"]),
    st.sampled_from([A, B]),
    st.integers(0, 3),
    st.floats(0, 9),
)


@given(st.lists(slotted, max_size=40))
def test_law_no_slot_that_was_asked_for_is_forgotten(
    history: list[tuple[str, ServiceId, int, float]],
) -> None:
    agenda = Agenda()
    owed: set[tuple[ServiceId, int]] = set()
    for action, service_id, slot, at in history:
        match action:
            case "add":
                agenda.add([service_id])
                owed.add((service_id, 0))
            case "slots":
                agenda.add_slots(service_id, [slot + 1])
                owed.add((service_id, slot + 1))
            case "wake":
                agenda.wake(service_id, at, slot=slot)
            case _:
                due = agenda.next(now=at)
                if due is not None:
                    slots = due.slots
                    owed = {
                        each
                        for each in owed
                        if each[0] != due.service_id or (slots is not None and each[1] not in slots)
                    }
        agenda.check()
    while (due := agenda.next(now=9.0)) is not None:
        slots = due.slots
        owed = {
            each
            for each in owed
            if each[0] != due.service_id or (slots is not None and each[1] not in slots)
        }
    assert not owed
    assert agenda.next_deadline() is None


def test_a_service_whose_versions_differ_in_priority_has_a_turn_at_each() -> None:
    """Found by seeds 7372 and 20130 of the simulation: two services drove each other out for ever.

    1. A rollout leads from a version of priority 50 to one of priority 0, and waits for room.
    2. A task of either version ends in favour of another service of priority 10, or the other
       way round, and with its end both services are due.
    3. Planned by one priority of both, one of its tasks would be in that place before the one
       that it was cleared for, and would have to give way again.
    """
    world = World()
    middle = world.service("middle", task=TaskSpec(priority=10))
    both = world.service("both", task=TaskSpec(priority=50))
    world.new_version(both, priority=0)

    agenda = Agenda(priorities=partial(priorities, world.view))
    agenda.add_slots(both, [3])
    agenda.add([middle])

    assert [agenda.next(now=0.0) for _ in range(4)] == [
        Due(both, frozenset({3}), 50),
        Due(middle, None, 10),
        Due(both, frozenset({3}), 0),
        None,
    ]
