from manager.tally import Tally
from swarm.ids import ServiceId, TaskId
from swarm.objects import Task
from swarm.states import TaskState

TASK = Task(id=TaskId("t"), service_id=ServiceId("s"))


def test_a_recount_replaces_the_count_before() -> None:
    tally = Tally()
    tally.count(TASK, TaskState.ASSIGNED)

    tally.count(TASK, TaskState.RUNNING)

    assert tally.of(TASK.service_id) == {(TaskState.RUNNING, 1, TaskState.RUNNING): 1}


def test_a_service_without_tasks_has_no_counts() -> None:
    tally = Tally()
    tally.count(TASK, TaskState.RUNNING)

    tally.drop(TASK)
    tally.drop(TASK)

    assert tally.of(TASK.service_id) == {}
    assert tally.counted(TASK.id) is None


def test_what_failed_or_is_lost_is_listed_for_as_long_as_it_is() -> None:
    tally = Tally()
    tally.count(TASK, TaskState.RUNNING)
    assert not tally.troubled(TASK.service_id)

    tally.count(TASK, TaskState.ORPHANED)
    tally.count(TASK, TaskState.FAILED)
    assert tally.troubled(TASK.service_id) == {TASK.id}

    tally.drop(TASK)
    assert not tally.troubled(TASK.service_id)
