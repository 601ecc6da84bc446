"""What depends on others starts after them, and says meanwhile what it waits for."""

import pytest
from msgspec import structs

from manager.orchestrator.depending import unmet
from swarm.ids import ServiceId
from swarm.objects import Task
from swarm.specs import (
    Dependency,
    DependencyCondition,
    Global,
    GlobalJob,
    ReplicatedJob,
    RestartCondition,
    RestartPolicy,
    Schedule,
    TaskSpec,
)
from swarm.states import HealthState, TaskState
from tests.manager.orchestrator.driving import WEB, Driven

DB = ServiceId("s-db")
RUNNING = DependencyCondition.RUNNING
HEALTHY = DependencyCondition.HEALTHY
COMPLETE = DependencyCondition.COMPLETE


def after(condition: DependencyCondition = RUNNING, *, service: str = "db") -> TaskSpec:
    return TaskSpec(
        depends_on=(Dependency(service=service, condition=condition),),
        restart=RestartPolicy(condition=RestartCondition.ON_FAILURE, delay_s=0.0),
    )


def world(condition: DependencyCondition = RUNNING, *, mode: object = None) -> Driven:
    made = Driven()
    made.nodes(2)
    made.service(task=after(condition), mode=mode)
    made.plan()
    return made


def messages(made: Driven, service: ServiceId = WEB) -> set[str]:
    return {task.message for task in made.live(service)}


def tell(made: Driven, state: TaskState, **fields: object) -> None:
    for task in made.live(DB):
        made.report(task, state, **fields)
    made.plan()


def placed(made: Driven) -> list[Task]:
    return [task for task in made.live() if task.node_id]


def test_a_service_waits_for_one_that_does_not_exist() -> None:
    made = world()
    assert messages(made) == {"waits for db to run: there is no such service"}

    made.service("db", replicas=2)
    made.plan()
    assert messages(made) == {"waits for db to run: 0 of 2 tasks are"}
    made.report(made.live(DB)[0], TaskState.RUNNING)
    made.plan()
    assert messages(made) == {"waits for db to run: 1 of 2 tasks is"}
    tell(made, TaskState.RUNNING)

    assert len(placed(made)) == 1


def test_running_is_not_healthy() -> None:
    made = world(HEALTHY)
    made.service("db")
    made.plan()

    tell(made, TaskState.RUNNING, health=HealthState.STARTING)
    assert messages(made) == {"waits for db to be healthy: 0 of 1 tasks are"}
    tell(made, TaskState.RUNNING, health=HealthState.HEALTHY)

    assert len(placed(made)) == 1


def test_a_job_is_complete_when_all_its_slots_are() -> None:
    made = world(COMPLETE)
    made.service("db", mode=ReplicatedJob(total=2, max_concurrent=1))
    made.plan()

    tell(made, TaskState.COMPLETE)
    assert messages(made) == {"waits for db to complete: 1 of 2 tasks are done"}
    tell(made, TaskState.COMPLETE)

    assert len(placed(made)) == 1


def test_a_job_that_failed_is_told_to_those_who_wait() -> None:
    made = world(COMPLETE)
    never = TaskSpec(restart=RestartPolicy(condition=RestartCondition.NONE))
    made.service("db", mode=ReplicatedJob(), task=never)
    made.plan()

    tell(made, TaskState.FAILED, exit_code=1)

    assert messages(made) == {"waits for db to complete: 0 of 1 tasks are done, and it failed"}


def test_a_scheduled_job_is_complete_when_its_last_run_was() -> None:
    made = world(COMPLETE)
    made.service("db", mode=ReplicatedJob())
    made.set_service(DB, schedule=Schedule(expression="@every 60s"))
    made.plan()
    assert messages(made) == {"waits for db to complete: it has not run yet"}

    made.wait(60.0)
    tell(made, TaskState.COMPLETE)

    assert len(placed(made)) == 1


def test_only_jobs_complete() -> None:
    made = world(COMPLETE)
    made.service("db")
    made.plan()

    assert messages(made) == {"waits for db to complete: it is no job"}


@pytest.mark.parametrize("mode", [Global(), GlobalJob(), ReplicatedJob(total=2)])
def test_every_mode_waits_and_then_starts_everywhere(mode: object) -> None:
    made = world(mode=mode)
    assert len(messages(made)) >= 1
    assert all(each.startswith("waits for db to run") for each in messages(made))
    assert not placed(made)

    made.service("db", replicas=2)
    made.plan()
    made.report(made.live(DB)[0], TaskState.RUNNING)
    made.plan()
    assert not placed(made)
    tell(made, TaskState.RUNNING)

    assert len(placed(made)) == 2
    assert len(made.live()) == 2


def test_what_runs_goes_on_when_its_dependency_breaks_and_restarts_wait() -> None:
    made = world()
    made.service("db", task=TaskSpec(restart=RestartPolicy(delay_s=60.0)))
    made.plan()
    tell(made, TaskState.RUNNING)
    made.converge()
    (task,) = placed(made)

    tell(made, TaskState.FAILED, exit_code=1)
    assert [each.id for each in placed(made)] == [task.id]
    made.report(task, TaskState.FAILED, exit_code=1)
    made.plan()
    made.wait(10.0)

    assert not placed(made)
    assert messages(made) == {"waits for db to run: 0 of 1 tasks are"}


def test_a_rollout_stops_nothing_while_a_dependency_is_not_met() -> None:
    made = world()
    made.service("db", task=TaskSpec(restart=RestartPolicy(delay_s=60.0)))
    made.plan()
    tell(made, TaskState.RUNNING)
    made.converge()
    tell(made, TaskState.FAILED, exit_code=1)

    made.new_version(WEB)
    made.plan()
    assert [task.spec_version for task in placed(made)] == [1]
    made.wait(61.0)
    tell(made, TaskState.RUNNING)
    made.converge()

    assert [task.spec_version for task in placed(made)] == [2]


def test_a_service_of_no_replicas_meets_nothing() -> None:
    made = world()
    made.service("db", replicas=0)
    made.plan()

    assert messages(made) == {"waits for db to run: it is to have no tasks"}


def test_all_dependencies_have_to_be_met() -> None:
    made = world()
    service = made.view.services[WEB]
    both = (*service.spec.task.depends_on, Dependency(service="cache"))
    spec = structs.replace(service.spec.task, depends_on=both)
    made.service("db")
    made.plan()
    tell(made, TaskState.RUNNING)

    assert not unmet(made.view, service)
    assert unmet(made.view, service, spec) == "waits for cache to run: there is no such service"
