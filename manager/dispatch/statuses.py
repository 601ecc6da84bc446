"""Believe what a node says of its own tasks, and nothing else.

A worker can only speak for itself: a status counts when the task exists and was given to the
very node that reports it. States move forward only and the first end is the end, so late,
repeated and reordered reports change nothing. What is dropped is still acknowledged, or the
agent would repeat it for ever. Of several statuses of one task the furthest counts.

Each write relies on what was last written of the same task. A commit that was given up may
still be done later, and must not put an older state over one that was acknowledged since.
"""

from collections.abc import Iterable

from msgspec import Struct, structs

from manager import layout
from manager.store import Absent, Commit, Compare, Put, Unchanged
from manager.view import ClusterView
from swarm.codec import pack
from swarm.ids import NodeId
from swarm.objects import Observation
from swarm.states import TaskState

LONGEST_TEXT = 4096
REPORTED = frozenset(
    {
        TaskState.ACCEPTED,
        TaskState.PREPARING,
        TaskState.READY,
        TaskState.STARTING,
        TaskState.RUNNING,
        TaskState.COMPLETE,
        TaskState.SHUTDOWN,
        TaskState.FAILED,
        TaskState.REJECTED,
    }
)


class Reported(Struct, frozen=True, kw_only=True):
    """What one node says; it holds while its session's key is at `session_revision`."""

    node_id: NodeId
    session_revision: int
    statuses: tuple[Observation, ...]


def admit(
    view: ClusterView, node_id: NodeId, statuses: Iterable[Observation]
) -> tuple[Observation, ...]:
    """The statuses that tell something new of this node's tasks, one for each task."""
    furthest: dict[str, Observation] = {}
    for seen in statuses:
        known = furthest.get(seen.task_id) or view.observations_on(node_id).get(seen.task_id)
        task = view.tasks.get(seen.task_id)
        if task is None or task.node_id != node_id or seen.state not in REPORTED:
            continue
        if known is None:
            furthest[seen.task_id] = _bounded(seen)
        elif _is_news(told := _running_since(seen, known), known):
            furthest[seen.task_id] = _bounded(told)
    return tuple(furthest.values())


def record(view: ClusterView, reports: Iterable[Reported]) -> Commit:
    """Write what several nodes report, provided that each still speaks in this session.

    Empty when there is no news.
    """
    compares: list[Compare] = []
    puts: list[Put] = []
    for report in reports:
        admitted = admit(view, report.node_id, report.statuses)
        if admitted:
            compares.append(Unchanged(layout.session_key(report.node_id), report.session_revision))
            compares += unchanged(view, report.node_id, admitted)
            puts += observed(report.node_id, admitted)
    return Commit(tuple(compares), tuple(puts))


def observed(node_id: NodeId, statuses: Iterable[Observation]) -> list[Put]:
    """The writes of admitted statuses."""
    return [Put(layout.observed_key(node_id, seen.task_id), pack(seen)) for seen in statuses]


def unchanged(view: ClusterView, node_id: NodeId, statuses: Iterable[Observation]) -> list[Compare]:
    """That nothing else was written of these tasks since the view heard of them."""
    return [expected(view, layout.observed_key(node_id, seen.task_id)) for seen in statuses]


def expected(view: ClusterView, key: str) -> Compare:
    """That a key is as the view knows it."""
    version = view.version(key)
    return Unchanged(key, version) if version else Absent(key)


def _is_news(seen: Observation, known: Observation) -> bool:
    if known.state.is_terminal or seen.state < known.state:
        return False
    return seen.state > known.state or structs.replace(seen, at=known.at) != known


def _running_since(seen: Observation, known: Observation) -> Observation:
    """An agent that was restarted only knows since when it looks after the container."""
    running_at = known.running_at or seen.running_at
    return structs.replace(seen, running_at=running_at)


def _bounded(seen: Observation) -> Observation:
    """An agent gone mad must not fill the store with one message."""
    if len(seen.message) <= LONGEST_TEXT and len(seen.error) <= LONGEST_TEXT:
        return seen
    return structs.replace(
        seen, message=seen.message[:LONGEST_TEXT], error=seen.error[:LONGEST_TEXT]
    )
