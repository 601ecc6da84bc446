"""How far a job is, as its operator sees it."""

from msgspec import structs

from manager.io.rendering import progress_message, service_view
from manager.job_counts import count_job
from manager.progress import measure
from swarm.ids import ServiceId
from swarm.objects import Run
from swarm.specs import (
    GlobalJob,
    ReplicatedJob,
    RestartCondition,
    RestartPolicy,
    Schedule,
    TaskSpec,
)
from swarm.states import RunState, TaskState
from tests.manager.orchestrator.driving import Driven

JOB = ServiceId("s-job")
ONCE = TaskSpec(restart=RestartPolicy(condition=RestartCondition.NONE))


def job(mode: object = None, *, schedule: Schedule | None = None) -> Driven:
    world = Driven()
    world.nodes(2)
    world.service("job", mode=mode or ReplicatedJob(total=5, max_concurrent=2), task=ONCE)
    if schedule is not None:
        world.set_service(JOB, schedule=schedule)
    return world


def end(world: Driven, state: TaskState = TaskState.COMPLETE) -> None:
    for task in world.live(JOB):
        world.report(task, state, exit_code=int(state is TaskState.FAILED))
    world.plan()


def test_only_what_is_done_counts_for_those_who_wait() -> None:
    world = job()
    assert (measure(world.view, JOB).wanted, measure(world.view, JOB).is_converged) == (5, False)
    world.plan()
    end(world)
    world.report_all(world.live(JOB), TaskState.RUNNING)

    found = measure(world.view, JOB)

    assert (found.wanted, found.running, found.done, found.active) == (5, 2, 2, 2)
    assert found.states == {"running": 2, "complete": 2}
    assert not found.is_converged
    end(world)
    end(world)
    assert measure(world.view, JOB).is_converged


def test_listing_tells_what_runs_and_what_completed() -> None:
    world = job()
    world.plan()
    end(world)
    world.report_all(world.live(JOB), TaskState.RUNNING)

    shown = service_view(world.view, JOB)

    assert (shown.running, shown.wanted, shown.completed, shown.total) == (4, 5, 2, 5)


def test_a_job_that_can_never_be_done_says_why_at_once() -> None:
    world = job(ReplicatedJob(total=2, max_concurrent=1))
    world.plan()

    end(world, TaskState.FAILED)

    told = progress_message(measure(world.view, JOB))
    assert told.failure == "job.1 failed: exit code 1"
    assert world.live(JOB), "the other slot goes on"


def test_a_failed_job_that_is_to_do_nothing_any_more_has_done_it() -> None:
    world = job(ReplicatedJob(total=2, max_concurrent=1))
    world.plan()
    end(world, TaskState.FAILED)
    assert measure(world.view, JOB).failure

    world.set_service(JOB, mode=ReplicatedJob(total=0, max_concurrent=1))

    assert measure(world.view, JOB).failure == ""


def test_a_new_version_is_not_failed_by_the_one_before() -> None:
    world = job(ReplicatedJob())
    world.plan()
    end(world, TaskState.FAILED)

    world.new_version(JOB)

    assert measure(world.view, JOB).failure == ""
    assert not measure(world.view, JOB).is_converged


def test_a_global_job_that_was_not_planned_yet_is_not_done() -> None:
    world = job(GlobalJob())

    assert measure(world.view, JOB).wanted == 2
    assert not measure(world.view, JOB).is_converged


def test_a_scheduled_job_is_as_wanted_and_tells_of_its_newest_run() -> None:
    world = job(schedule=Schedule(expression="@every 60s"))
    assert measure(world.view, JOB).is_converged
    world.plan()
    assert service_view(world.view, JOB).next_firing_at == world.now + 60

    world.wait(60.0)
    world.report(world.live(JOB)[0], TaskState.COMPLETE)
    world.plan()

    shown = service_view(world.view, JOB)
    assert (shown.completed, shown.total) == (1, 5)
    assert measure(world.view, JOB).is_converged
    assert [run.number for run in shown.ledger.runs] == [1]


def test_a_skipped_run_does_not_hide_the_one_before() -> None:
    world = job(schedule=Schedule(expression="@every 60s"))
    world.plan()
    world.wait(60.0)
    ledger = world.view.ledgers[JOB]

    first = structs.replace(ledger.runs[0], state=RunState.COMPLETE)
    skipped = Run(number=2, state=RunState.SKIPPED)
    world.write((f"ledgers/{JOB}", structs.replace(ledger, runs=(first, skipped))))

    found = count_job(world.view, world.view.services[JOB]).run

    assert found is not None
    assert found.number == 1


def test_a_job_that_was_scaled_is_not_done_before_it_is_planned_again() -> None:
    world = job(ReplicatedJob(total=2, max_concurrent=2))
    world.plan()
    end(world)
    assert measure(world.view, JOB).is_converged

    world.set_service(JOB, mode=ReplicatedJob(total=4, max_concurrent=4))
    more = measure(world.view, JOB)
    world.set_service(JOB, mode=ReplicatedJob(total=1, max_concurrent=1))
    fewer = measure(world.view, JOB)

    assert (more.wanted, more.running, more.is_converged) == (4, 2, False)
    assert (fewer.wanted, fewer.running, fewer.is_converged) == (1, 1, True)
