"""Name what the leader may decide, and turn a service's decisions into one commit.

A commit carries what it was decided on: the service as it was, each task that it changes,
and that those it creates are not there. Whoever changed one of them first makes it a
conflict, and we look again; so does a commit of our own that was given up and done late. The order
of the operations allows a plan that is too large for one transaction to be cut anywhere:
stops come before starts, so no prefix of a plan runs a replica twice.
"""

from collections.abc import Iterator

from msgspec import Struct, structs

from manager import layout
from manager.store import (
    Absent,
    Change,
    Commit,
    Compare,
    Delete,
    DeletePrefix,
    Operation,
    Put,
    Unchanged,
)
from manager.view import ClusterView
from swarm.codec import pack
from swarm.ids import NodeId, ServiceId, TaskId
from swarm.objects import Task
from swarm.states import TaskState


class SetDesired(Struct, frozen=True):
    """Want the task to stop."""

    task_id: TaskId
    desired: TaskState


class AssignTask(Struct, frozen=True):
    """Give a waiting task its node."""

    task_id: TaskId
    node_id: NodeId


class UpdateMessage(Struct, frozen=True):
    """Say anew why a task waits."""

    task_id: TaskId
    message: str


class CreateTask(Struct, frozen=True):
    """Start another attempt; it has its node already unless none fits."""

    task: Task


class RemoveTask(Struct, frozen=True):
    """Forget a task that nothing is left of, and what was observed of it."""

    task_id: TaskId


class RemoveVersion(Struct, frozen=True):
    """Forget a task spec that no task refers to."""

    service_id: ServiceId
    version: int


class RemoveObserved(Struct, frozen=True):
    """Forget a report of a task that does not exist."""

    node_id: NodeId
    task_id: TaskId


Decision = (
    SetDesired
    | AssignTask
    | UpdateMessage
    | CreateTask
    | RemoveTask
    | RemoveVersion
    | RemoveObserved
)


class Plan(Struct, frozen=True, kw_only=True):
    """What to change now, and when to plan again although nothing happened."""

    service_id: ServiceId = ServiceId("")
    decisions: tuple[Decision, ...] = ()
    wake_at: float | None = None


_ORDER = (
    SetDesired,
    AssignTask,
    UpdateMessage,
    CreateTask,
    RemoveTask,
    RemoveVersion,
    RemoveObserved,
)


def commit_for(view: ClusterView, plan: Plan, *, now: float) -> Commit:
    """Turn a plan that was made on `view`, unchanged since, into a commit without a fence."""
    compares: list[Compare] = [_expected(view, layout.service_key(plan.service_id))]
    if not plan.service_id:
        compares.clear()
    operations: list[Operation] = []
    for decision in sorted(plan.decisions, key=lambda each: _ORDER.index(type(each))):
        if isinstance(decision, CreateTask):
            created = decision.task
            compares.append(Absent(layout.task_key(created.service_id, created.id)))
        task = _changed_task(view, decision)
        if task is not None:
            compares.append(_expected(view, layout.task_key(task.service_id, task.id)))
        operations.extend(_operations(decision, task, now))
    return Commit(tuple(compares), tuple(operations))


def changes_made(commit: Commit, revision: int) -> tuple[Change, ...]:
    """What a commit that succeeded at `revision` changed, to be applied ahead of the watch."""
    changes: list[Change] = []
    for operation in commit.operations:
        assert not isinstance(operation, DeletePrefix), "what it deleted is not known here"
        value = operation.value if isinstance(operation, Put) else None
        changes.append(Change(operation.key, value, revision))
    return tuple(changes)


def _expected(view: ClusterView, key: str) -> Compare:
    version = view.version(key)
    return Unchanged(key, version) if version else Absent(key)


def _changed_task(view: ClusterView, decision: Decision) -> Task | None:
    """The task that a decision changes, as it was when it was decided."""
    if isinstance(decision, CreateTask | RemoveVersion | RemoveObserved):
        return None
    return view.tasks[decision.task_id]


def _operations(decision: Decision, task: Task | None, now: float) -> Iterator[Operation]:
    match decision, task:
        case CreateTask(task=created), _:
            yield _put(created)
        case SetDesired(desired=desired), Task():
            yield _put(structs.replace(task, desired=desired, updated_at=now))
        case AssignTask(node_id=node_id), Task():
            yield _put(structs.replace(task, node_id=node_id, message="", updated_at=now))
        case UpdateMessage(message=message), Task():
            yield _put(structs.replace(task, message=message, updated_at=now))
        case RemoveTask(), Task():
            yield Delete(layout.task_key(task.service_id, task.id))
            if task.node_id:
                yield Delete(layout.observed_key(task.node_id, task.id))
        case RemoveVersion(service_id=service_id, version=version), _:
            yield Delete(layout.version_key(service_id, version))
        case RemoveObserved(node_id=node_id, task_id=task_id), _:
            yield Delete(layout.observed_key(node_id, task_id))
        case _:
            raise AssertionError(f"{decision} is about no task")


def _put(task: Task) -> Put:
    return Put(layout.task_key(task.service_id, task.id), pack(task))
