"""A schedule fires each time it is due, once, whoever leads and whatever clock they have."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from manager import layout
from manager.orchestrator.schedules import (
    begun,
    fire,
    fired,
    next_firing,
    without_history,
)
from swarm.ids import NodeId, ServiceId
from swarm.objects import Ledger, Run, Service, Task
from swarm.specs import (
    Catchup,
    Concurrency,
    Placement,
    ReplicatedJob,
    Resources,
    Schedule,
    ServiceSpec,
    TaskSpec,
)
from swarm.states import RunState, TaskState
from tests.manager.orchestrator.driving import Driven

JOB = ServiceId("s-job")
MINUTELY = Schedule(expression="* * * * *")
NOON = datetime(2026, 5, 6, 12, tzinfo=ZoneInfo("UTC")).timestamp()


def service(schedule: Schedule | None = MINUTELY, version: int = 1) -> Service:
    spec = ServiceSpec(name="job", mode=ReplicatedJob(), schedule=schedule)
    return Service(id=JOB, spec=spec, spec_version=version)


def started(schedule: Schedule = MINUTELY, *, at: float = NOON) -> Ledger:
    return begun(service(schedule), Ledger(service_id=JOB), now=at)


def due_times(ledger: Ledger) -> list[float]:
    return [run.due_at - NOON for run in ledger.runs]


def ended(ledger: Ledger, number: int, state: RunState = RunState.COMPLETE) -> Ledger:
    runs = tuple(
        structs.replace(run, state=state) if run.number == number else run for run in ledger.runs
    )
    return structs.replace(ledger, runs=runs)


def test_a_schedule_counts_from_when_it_was_first_seen() -> None:
    ledger = started(at=NOON + 30)

    assert fired(service(), ledger, now=NOON + 59) is ledger
    ledger = fired(service(), ledger, now=NOON + 60)

    (run,) = ledger.runs
    assert (run.number, run.due_at, run.started_at) == (1, NOON + 60, NOON + 60)
    assert (ledger.fired_until, ledger.last_run) == (NOON + 60, 1)
    assert next_firing(MINUTELY, ledger) == NOON + 120


def test_a_changed_schedule_starts_from_now_and_keeps_its_runs() -> None:
    ledger = fired(service(), started(), now=NOON + 60)
    hourly = Schedule(expression="@hourly")

    changed = begun(service(hourly), ledger, now=NOON + 3590)

    assert changed.runs == ledger.runs
    assert next_firing(hourly, changed) == NOON + 3600
    assert next_firing(hourly, ledger) is None, "it has not begun to count"


def test_a_change_of_anything_else_misses_no_firing() -> None:
    ledger = started()
    patient = structs.replace(MINUTELY, keep_completed=9, concurrency=Concurrency.FORBID)

    assert begun(service(patient, version=2), ledger, now=NOON + 61) is ledger


def test_a_run_is_of_the_version_of_when_it_fired() -> None:
    ledger = fired(service(version=4), started(), now=NOON + 60)

    assert ledger.runs[0].spec_version == 4


@pytest.mark.parametrize(
    ("catchup", "late_s", "expected"),
    [
        (Catchup.LATEST, 185.0, [180.0]),
        (Catchup.ALL, 185.0, [60.0, 120.0, 180.0]),
        (Catchup.NONE, 185.0, [180.0]),
        (Catchup.NONE, 211.0, []),
        (Catchup.LATEST, 211.0, [180.0]),
        (Catchup.ALL, 60.0 * 1000, [60.0 * each for each in range(901, 1001)]),
    ],
)
def test_missed_firings_are_made_up_for_as_the_schedule_says(
    catchup: Catchup, late_s: float, expected: list[float]
) -> None:
    wish = structs.replace(MINUTELY, catchup=catchup)

    ledger = fired(service(wish), started(wish), now=NOON + late_s)

    assert due_times(ledger) == expected
    assert fired(service(wish), ledger, now=NOON + late_s) is ledger
    assert ledger.fired_until == NOON + late_s // 60 * 60


def test_forbidding_two_at_once_records_what_was_skipped() -> None:
    wish = structs.replace(MINUTELY, concurrency=Concurrency.FORBID)
    ledger = fired(service(wish), started(wish), now=NOON + 60)

    ledger = fired(service(wish), ledger, now=NOON + 120)
    ledger = fired(service(wish), ended(ledger, 1), now=NOON + 180)

    assert [(run.number, run.state) for run in ledger.runs] == [
        (1, RunState.COMPLETE),
        (2, RunState.SKIPPED),
        (3, RunState.RUNNING),
    ]
    assert ledger.runs[1].message == "run 1 was still going on"


def test_replacing_ends_the_run_before() -> None:
    wish = structs.replace(MINUTELY, concurrency=Concurrency.REPLACE)
    ledger = fired(service(wish), started(wish), now=NOON + 60)

    ledger = fired(service(wish), ledger, now=NOON + 120)

    assert [run.state for run in ledger.runs] == [RunState.REPLACED, RunState.RUNNING]
    assert ledger.runs[0].ended_at == NOON + 120


def test_a_run_that_waits_only_for_lost_nodes_does_not_hold_up_the_next() -> None:
    wish = structs.replace(MINUTELY, concurrency=Concurrency.FORBID)
    ledger = fired(service(wish), started(wish), now=NOON + 60)

    ledger = fired(service(wish), ledger, now=NOON + 120, abandoned={1})

    assert [run.state for run in ledger.runs] == [RunState.FAILED, RunState.RUNNING]
    assert ledger.runs[0].message == "its nodes are down"


def test_history_is_kept_for_each_way_to_end() -> None:
    states = [RunState.FAILED, RunState.COMPLETE, RunState.SKIPPED, RunState.RUNNING] * 3
    runs = tuple(Run(number=n, state=state) for n, state in enumerate(states, 1))
    wish = structs.replace(MINUTELY, keep_completed=2, keep_failed=1)

    kept = without_history(wish, Ledger(service_id=JOB, runs=runs))

    assert [run.number for run in kept.runs] == [4, 6, 8, 9, 10, 11, 12]


@given(
    steps=st.lists(st.floats(-400.0, 400.0), max_size=40),
    schedule=st.sampled_from(
        [MINUTELY, Schedule(expression="*/7 * * * *"), Schedule(expression="@every 45s")]
    ),
)
def test_law_each_due_time_fires_once_whatever_the_clocks_do(
    steps: list[float], schedule: Schedule
) -> None:
    """Leaders change and their clocks differ: time goes back and forth."""
    schedule = structs.replace(schedule, catchup=Catchup.ALL)
    one = service(schedule)
    ledger = started(schedule)
    now = latest = NOON
    for step in steps:
        now += step
        latest = max(latest, now)
        before = ledger.last_run
        ledger = fired(one, begun(one, ledger, now=now), now=now)
        new = [run for run in ledger.runs if run.number > before]
        assert all(run.due_at <= run.started_at == now for run in new)

    expected: list[float] = []
    counting = started(schedule)
    while (at := next_firing(schedule, counting)) is not None and at <= latest:
        expected.append(at)
        counting = structs.replace(counting, fired_until=at)
    assert [run.due_at for run in ledger.runs] == expected
    assert [run.number for run in ledger.runs] == list(range(1, len(expected) + 1))


# -- with tasks --------------------------------------------------------------------------


def scheduled(schedule: Schedule = MINUTELY, *, total: int = 2) -> Driven:
    world = Driven()
    world.now = NOON
    world.nodes(3)
    world.service("job", mode=ReplicatedJob(total=total))
    world.set_service(JOB, schedule=schedule)
    world.plan()
    assert not world.view.tasks
    return world


def placed(world: Driven) -> list[tuple[int, int]]:
    return [(task.run, task.slot) for task in sorted(world.live(JOB), key=_place)]


def _place(task: Task) -> tuple[int, int]:
    return task.run, task.slot


def finish(world: Driven, state: TaskState = TaskState.COMPLETE) -> None:
    for task in world.live(JOB):
        world.report(task, state)
    world.plan()


def states(world: Driven) -> list[tuple[int, str]]:
    return [(run.number, run.state.word) for run in world.view.ledgers[JOB].runs]


def test_a_firing_and_its_tasks_come_when_it_is_due_and_not_before() -> None:
    world = scheduled()
    assert world.wakes[JOB] == NOON + 60

    world.wait(59.9)
    assert not world.view.tasks
    world.wait(0.1)

    assert placed(world) == [(1, 1), (1, 2)]
    finish(world)
    assert states(world) == [(1, "complete")]
    world.wait(60.0)
    assert placed(world) == [(2, 1), (2, 2)]


def test_a_new_leader_repeats_no_firing() -> None:
    world = scheduled()
    world.wait(60.0)
    before = sorted(world.view.tasks)

    world.dirty.add(JOB)
    world.now -= 5.0  # its clock is behind
    world.plan_once(JOB)
    world.now += 10.0
    world.plan_once(JOB)

    assert sorted(world.view.tasks) == before


def test_runs_beyond_the_history_go_with_their_tasks() -> None:
    world = scheduled(structs.replace(MINUTELY, keep_completed=2), total=1)

    for _ in range(5):
        world.wait(60.0)
        finish(world)

    assert states(world) == [(4, "complete"), (5, "complete")]
    assert sorted(task.run for task in world.view.tasks.values()) == [4, 5]


def test_a_replaced_run_has_stopped_before_the_next_begins() -> None:
    world = scheduled(structs.replace(MINUTELY, concurrency=Concurrency.REPLACE), total=1)
    world.wait(60.0)
    for task in world.live(JOB):
        world.report(task, TaskState.RUNNING)

    world.wait(60.0)
    assert placed(world) == []
    world.obey()
    world.plan()

    assert placed(world) == [(2, 1)]


def test_runs_may_overlap_and_count_for_themselves() -> None:
    world = scheduled(total=1)
    world.wait(120.0)

    assert placed(world) == [(1, 1), (2, 1)]
    second = next(task for task in world.live(JOB) if task.run == 2)
    world.report(second, TaskState.COMPLETE)
    world.plan()
    assert states(world) == [(1, "running"), (2, "complete")]


def test_a_run_goes_on_with_its_version_when_the_service_changes() -> None:
    world = scheduled(total=1)
    world.wait(60.0)
    (task,) = world.live(JOB)
    world.new_version(JOB)
    world.plan()

    world.report(task, TaskState.FAILED, exit_code=1)
    world.plan()
    world.wait(10.0)

    (again,) = world.live(JOB)
    assert (again.run, again.attempt, again.spec_version) == (1, 2, 1)
    finish(world)
    world.wait(60.0)
    assert {task.spec_version for task in world.live(JOB)} == {2}


def test_a_run_is_not_driven_out_by_constraints_of_a_later_version() -> None:
    world = scheduled(total=1)
    world.wait(60.0)
    (task,) = world.live(JOB)
    world.report(task, TaskState.RUNNING)

    world.new_version(JOB, placement=Placement(constraints=("node.labels.zone==east",)))
    world.plan()

    assert [each.id for each in world.live(JOB)] == [task.id]


def test_without_its_schedule_it_is_an_ordinary_job() -> None:
    world = scheduled(total=1)
    world.wait(60.0)

    world.set_service(JOB, schedule=None)
    world.plan()
    world.obey()
    world.plan()

    assert placed(world) == [(0, 1)]
    finish(world)
    assert states(world) == [(0, "complete")]
    assert JOB not in world.wakes or world.wakes[JOB] < world.now + 60


def test_a_job_that_gets_a_schedule_runs_when_that_says() -> None:
    world = Driven()
    world.now = NOON
    world.nodes(1)
    world.service("job", mode=ReplicatedJob())
    world.plan()
    finish(world)

    world.set_service(JOB, schedule=MINUTELY)
    world.plan()
    assert states(world) == []
    world.wait(60.0)

    assert states(world) == [(1, "running")]


def test_a_run_by_hand_leaves_the_schedule_alone() -> None:
    ledger = started()

    by_hand = fire(service(), ledger, due_at=NOON + 5, now=NOON + 5)

    assert by_hand.fired_until == ledger.fired_until
    assert [run.number for run in fired(service(), by_hand, now=NOON + 60).runs] == [1, 2]


def test_two_versions_at_work_are_never_placed_beyond_what_nodes_have() -> None:
    """Each version is placed with an eye on what nodes have, so they take turns."""
    world = Driven()
    world.now = NOON
    world.node("a", cpu_millis=1000)
    half = TaskSpec(reservations=Resources(cpu_millis=1000))
    world.service("job", mode=ReplicatedJob(), task=half)
    world.set_service(JOB, schedule=MINUTELY)
    world.plan()
    world.wait(60.0)
    (first,) = world.live(JOB)
    world.report(first, TaskState.FAILED, exit_code=1)
    world.new_version(JOB)

    world.wait(60.0)

    assert (world.fleet.cpu_free() >= 0).all()
    for _ in range(4):
        finish(world)
        world.wait(5.0)
        assert (world.fleet.cpu_free() >= 0).all()
    assert {state for _, state in states(world)} <= {"complete", "running"}


def test_a_run_whose_version_has_its_turn_later_uses_no_id_again() -> None:
    """Found by seed 19240 of the simulation: an attempt was forgotten without a successor.

    1. Two runs of different versions are at work on a node that is removed.
    2. One plan starts the next attempt of the first; the second's turn comes after it.
    """
    world = Driven()
    world.now = NOON
    world.node("a")
    world.service("job", mode=ReplicatedJob())
    world.set_service(JOB, schedule=MINUTELY)
    world.plan()
    world.wait(60.0)
    world.new_version(JOB)
    world.wait(60.0)
    lost = {task.id for task in world.live(JOB)}
    assert len(lost) == 2
    world.node("b")
    world.plan()

    world.write((layout.session_key(NodeId("a")), None), (layout.node_key(NodeId("a")), None))
    world.plan()

    assert [task.node_id for task in world.live(JOB)] == ["b", "b"]
    assert not lost & {task.id for task in world.live(JOB)}
