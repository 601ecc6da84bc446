import pytest
from msgspec import structs

from manager.control.triggering import trigger
from manager.store import Absent, Put, Unchanged
from swarm.codec import unpack
from swarm.errors import Refused
from swarm.ids import ServiceId
from swarm.objects import Ledger
from swarm.specs import Concurrency, ReplicatedJob, Schedule
from swarm.states import RunState
from tests.manager.orchestrator.driving import Driven

JOB = ServiceId("s-job")
DAILY = Schedule(expression="@daily")


def scheduled(schedule: Schedule | None = DAILY) -> Driven:
    world = Driven()
    world.nodes(2)
    world.service("job", mode=ReplicatedJob(total=2))
    world.set_service(JOB, schedule=schedule)
    return world


def fire(world: Driven) -> int:
    """Trigger the job as the API does, and plan."""
    commit, number = trigger(world.view, JOB, now=world.now)
    (put,) = commit.operations
    assert isinstance(put, Put)
    world.write((put.key, unpack(Ledger, put.value)))
    world.plan()
    return number


def test_a_run_by_hand_starts_at_once_and_leaves_the_schedule_alone() -> None:
    world = scheduled()
    world.plan()
    wake = world.wakes[JOB]

    assert fire(world) == 1

    assert sorted((task.run, task.slot) for task in world.live(JOB)) == [(1, 1), (1, 2)]
    assert world.wakes[JOB] == wake


def test_a_run_by_hand_may_come_before_the_first_plan() -> None:
    world = scheduled()

    commit, _ = trigger(world.view, JOB, now=world.now)

    assert [type(each) for each in commit.compares] == [Unchanged, Absent]


def test_what_was_decided_meanwhile_makes_it_look_again() -> None:
    world = scheduled()
    world.plan()

    commit, _ = trigger(world.view, JOB, now=world.now)

    assert [type(each) for each in commit.compares] == [Unchanged, Unchanged]
    assert commit.compares[1].key == f"ledgers/{JOB}"


def test_a_job_without_a_schedule_has_no_runs_to_start() -> None:
    with pytest.raises(Refused, match="has no schedule") as refused:
        trigger(scheduled(None).view, JOB, now=0.0)

    assert "--force" in refused.value.hint


def test_a_schedule_that_forbids_two_at_once_forbids_it_to_hands() -> None:
    world = scheduled(structs.replace(DAILY, concurrency=Concurrency.FORBID))
    world.plan()
    fire(world)

    with pytest.raises(Refused, match="run 1 of service job is still going on"):
        trigger(world.view, JOB, now=world.now)


def test_a_schedule_that_replaces_replaces_by_hand_too() -> None:
    world = scheduled(structs.replace(DAILY, concurrency=Concurrency.REPLACE))
    world.plan()
    fire(world)

    fire(world)

    runs = world.view.ledgers[JOB].runs
    assert [run.state for run in runs] == [RunState.REPLACED, RunState.RUNNING]
