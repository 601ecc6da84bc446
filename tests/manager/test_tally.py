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
