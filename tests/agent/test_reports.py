"""When statuses travel, and that none is lost."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agent.reports import BURST_S, PREPARING_S, STARTING_S, WINDOW_S, Reports
from swarm.ids import TaskId
from swarm.objects import Observation
from swarm.states import HealthState, TaskState


def seen(name: str, state: TaskState) -> Observation:
    return Observation(task_id=TaskId(name), state=state)


def opened() -> Reports:
    reports = Reports()
    reports.opened()
    return reports


def test_a_quick_start_costs_one_report() -> None:
    reports = opened()

    reports.record(seen("a", TaskState.PREPARING), now=0.0)
    reports.record(seen("a", TaskState.STARTING), now=0.001)
    assert reports.batch(now=0.002) is None
    reports.record(seen("a", TaskState.RUNNING), now=0.005)

    batch = reports.batch(now=0.005)
    assert batch is not None
    assert [each.state for each in batch.statuses] == [TaskState.RUNNING]
    assert reports.next_deadline() is None


def test_a_slow_pull_shows_after_a_moment() -> None:
    reports = opened()

    reports.record(seen("a", TaskState.PREPARING), now=0.0)

    assert reports.next_deadline() == PREPARING_S
    batch = reports.batch(now=PREPARING_S)
    assert batch is not None
    assert batch.statuses[0].state is TaskState.PREPARING


def test_a_task_that_waits_for_its_turn_to_start_shows_after_a_second() -> None:
    """A hundred tasks are assigned at once: those at the end of the queue are no news yet."""
    reports = opened()

    reports.record(seen("a", TaskState.PREPARING), now=0.0)
    reports.record(seen("a", TaskState.STARTING), now=0.09)

    assert reports.batch(now=1.0) is None
    assert reports.batch(now=0.09 + STARTING_S) is not None


def test_a_check_that_fails_again_and_again_is_told_once_a_second() -> None:
    """Ten failures a second, of a thousand that it may have."""
    reports = opened()
    starting = replace(seen("a", TaskState.STARTING), health=HealthState.STARTING)

    for number in range(10):
        reports.record(replace(starting, failing_streak=number), now=number / 10)

    assert reports.next_deadline() == STARTING_S
    batch = reports.batch(now=STARTING_S)
    assert batch is not None
    assert batch.statuses[0].failing_streak == 9


def test_a_check_that_gives_up_is_told_at_once() -> None:
    reports = opened()
    failing = replace(seen("a", TaskState.RUNNING), health=HealthState.HEALTHY, failing_streak=1)
    reports.record(failing, now=0.0)
    assert reports.next_deadline() == STARTING_S

    reports.record(replace(failing, health=HealthState.UNHEALTHY, failing_streak=3), now=0.1)

    assert reports.next_deadline() == 0.1


def test_one_batch_flies_and_the_rest_travels_together() -> None:
    reports = opened()
    reports.record(seen("a", TaskState.RUNNING), now=0.0)
    first = reports.batch(now=0.0)

    reports.record(seen("b", TaskState.RUNNING), now=0.001)
    reports.record(seen("c", TaskState.FAILED), now=0.002)
    assert reports.batch(now=1.0) is None

    assert first is not None
    reports.acknowledged(first.sequence)
    second = reports.batch(now=1.0)
    assert second is not None
    assert [each.task_id for each in second.statuses] == ["b", "c"]


def test_a_burst_waits_a_few_milliseconds_between_batches() -> None:
    reports = opened()
    reports.record(seen("a", TaskState.RUNNING), now=0.0)
    reports.batch(now=0.0)
    reports.acknowledged(1)

    reports.record(seen("b", TaskState.RUNNING), now=0.001)

    assert reports.next_deadline() == WINDOW_S


def test_while_more_is_about_to_come_batches_are_further_apart_and_the_last_is_not_late() -> None:
    reports = opened()
    reports.expect(True)
    reports.record(seen("a", TaskState.RUNNING), now=0.0)
    assert reports.batch(now=0.0) is not None
    reports.acknowledged(1)

    reports.record(seen("b", TaskState.RUNNING), now=0.006)
    assert reports.next_deadline() == BURST_S
    reports.expect(False)

    assert reports.batch(now=0.006) is not None


def test_a_broken_session_loses_nothing_and_repeats_the_latest() -> None:
    reports = opened()
    for name in "ab":
        reports.record(seen(name, TaskState.RUNNING), now=0.0)
    reports.batch(now=0.0)
    reports.record(seen("a", TaskState.FAILED), now=0.1)

    reports.closed(now=0.2)
    assert reports.next_deadline() is None
    reports.opened()
    batch = reports.batch(now=0.3)

    assert batch is not None
    assert {each.task_id: each.state for each in batch.statuses} == {
        "a": TaskState.FAILED,
        "b": TaskState.RUNNING,
    }


def test_a_late_acknowledgement_of_an_older_batch_clears_nothing() -> None:
    reports = opened()
    reports.record(seen("a", TaskState.RUNNING), now=0.0)
    reports.batch(now=0.0)
    reports.closed(now=0.1)
    reports.opened()
    reports.batch(now=0.2)

    reports.acknowledged(1)

    assert [each.task_id for each in reports.unacknowledged()] == ["a"]


def test_forgotten_tasks_are_not_spoken_of() -> None:
    reports = opened()
    reports.record(seen("a", TaskState.RUNNING), now=0.0)

    reports.forget(TaskId("a"))

    assert reports.batch(now=1.0) is None
    assert reports.unacknowledged() == ()


STATES = st.sampled_from([TaskState.PREPARING, TaskState.RUNNING, TaskState.FAILED])
ACTS = st.one_of(
    st.tuples(st.just("record"), st.sampled_from("abc"), STATES),
    st.tuples(st.sampled_from(["batch", "ack", "lose"]), st.just(""), st.just(TaskState.NEW)),
)


@given(st.lists(ACTS, max_size=40))
def test_law_every_latest_status_is_committed_in_the_end(
    acts: list[tuple[str, str, TaskState]],
) -> None:
    """Batches are lost at random; the manager keeps what it committed."""
    reports, latest, committed = opened(), dict[str, TaskState](), dict[str, TaskState]()
    flying, now = None, 0.0

    for act, name, state in [*acts, ("lose", "", TaskState.NEW)]:
        now += 0.05
        if act == "record" and state >= latest.get(name, TaskState.NEW):
            latest[name] = state
            reports.record(seen(name, state), now=now)
        elif act == "batch":
            flying = reports.batch(now=now) or flying
        elif act == "ack" and flying is not None:
            committed |= {each.task_id: each.state for each in flying.statuses}
            reports.acknowledged(flying.sequence)
            flying = None
        elif act == "lose":
            reports.closed(now=now)
            reports.opened()
            flying = None
        reports.check()
    while batch := reports.batch(now=now + 1.0):
        now += 1.0
        committed |= {each.task_id: each.state for each in batch.statuses}
        reports.acknowledged(batch.sequence)

    assert committed == latest
