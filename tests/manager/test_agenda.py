from hypothesis import given
from hypothesis import strategies as st

from manager.agenda import Agenda, Due, urgency
from manager.applied import Applied
from swarm.ids import ServiceId
from swarm.specs import TaskSpec
from tests.manager.world import World

A, B = ServiceId("a"), ServiceId("b")


def test_services_are_planned_in_turn_and_once_each() -> None:
    agenda = Agenda()
    agenda.add([B, A])
    agenda.add([B])

    assert [agenda.take(now=0.0) for _ in range(3)] == [B, A, None]


def test_time_alone_calls_for_a_plan_when_it_was_asked_to() -> None:
    agenda = Agenda()
    agenda.wake(A, 5.0)

    assert agenda.take(now=4.9) is None
    assert agenda.next_deadline() == 5.0
    assert agenda.take(now=5.0) == A
    assert agenda.next_deadline() is None


def test_a_plan_for_another_reason_gives_up_the_time_it_had_asked_for() -> None:
    agenda = Agenda()
    agenda.wake(A, 5.0)
    agenda.add([A])
    agenda.take(now=1.0)

    assert agenda.next_deadline() is None
    assert agenda.take(now=6.0) is None


def test_the_time_that_was_asked_for_last_counts() -> None:
    agenda = Agenda()
    agenda.wake(A, 5.0)
    agenda.wake(A, 9.0)

    assert agenda.take(now=6.0) is None
    assert agenda.take(now=9.0) == A


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
            taken = agenda.take(now=now)
            assert (taken in due) if due else (taken is None)
            if taken is not None:
                due.discard(taken)
                wake_at.pop(taken, None)
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
    agenda = Agenda(priority=lambda service_id: 50 if service_id == B else 0)
    agenda.add([A, B])

    assert [agenda.next(now=0.0) for _ in range(2)] == [Due(B), Due(A)]


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


def test_a_service_is_as_urgent_as_an_earlier_version_of_which_it_still_starts_tasks() -> None:
    """Found by seed 7372 of the simulation: two services drove each other out for ever.

    1. A rollback leads from a version of high priority to one of none, and waits for room.
    2. Meanwhile a task of the high version makes one of another service give way.
    3. By its present version the service would be planned after the other, whose next task
       would be in the place that the first was stopped for.
    """
    world = World()
    low = world.service("low", task=TaskSpec(priority=10))
    back = world.service("back", task=TaskSpec(priority=50))
    before = urgency(world.view, back)
    world.new_version(back, priority=0)

    assert before == 50
    assert urgency(world.view, back) == 50 > urgency(world.view, low)
    assert urgency(world.view, ServiceId("gone")) == 0
