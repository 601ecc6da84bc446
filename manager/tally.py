"""Count the tasks of each service by desired state, spec version and standing.

The standing is the observed state, but ORPHANED for a task that was alive on a node that is
DOWN: nobody can say what became of it. Each task remembers how it was counted, so a recount
costs the same whatever happened in between. Tasks that failed or are lost are listed besides: they
are few, and those who ask for them must not look at all the others.
"""

from collections.abc import Mapping, Set
from functools import lru_cache

from swarm.ids import ServiceId, TaskId
from swarm.objects import Task
from swarm.states import TaskState

Counted = tuple[TaskState, int, TaskState]
"""Desired state, spec version, standing."""

TROUBLED = frozenset({TaskState.FAILED, TaskState.REJECTED, TaskState.ORPHANED})


@lru_cache(maxsize=4096)
def _same(counted: Counted) -> Counted:
    """One object for equal values: a million tasks share a handful of them."""
    return counted


def wants_others(counts: Mapping[Counted, int], version: int) -> bool:
    """Whether tasks of another version than this are meant to run."""
    return any(want <= TaskState.RUNNING and of != version for want, of, _ in counts)


class Tally:
    """Counts per service; a service without tasks has none."""

    def __init__(self) -> None:
        self._counted: dict[TaskId, Counted] = {}
        self._counts: dict[ServiceId, dict[Counted, int]] = {}
        self._troubled: dict[ServiceId, set[TaskId]] = {}

    def of(self, service_id: ServiceId) -> Mapping[Counted, int]:
        """How many tasks the service has of each sort."""
        return self._counts.get(service_id, {})

    def troubled(self, service_id: ServiceId) -> Set[TaskId]:
        """The tasks of a service that failed, were rejected or are lost."""
        return self._troubled.get(service_id, frozenset())

    def count(self, task: Task, standing: TaskState) -> None:
        """Count `task`, anew if it was counted before."""
        counted = _same((task.desired, task.spec_version, standing))
        if counted == self._counted.get(task.id):
            return
        self.drop(task)
        counts = self._counts.setdefault(task.service_id, {})
        self._counted[task.id] = counted
        counts[counted] = counts.get(counted, 0) + 1
        if standing in TROUBLED:
            self._troubled.setdefault(task.service_id, set()).add(task.id)

    def drop(self, task: Task) -> None:
        """Count `task` no more."""
        counted = self._counted.pop(task.id, None)
        if counted is None:
            return
        counts = self._counts[task.service_id]
        counts[counted] -= 1
        if not counts[counted]:
            del counts[counted]
        if not counts:
            del self._counts[task.service_id]
        if counted[2] in TROUBLED:
            troubled = self._troubled[task.service_id]
            troubled.discard(task.id)
            if not troubled:
                del self._troubled[task.service_id]

    def counted(self, task_id: TaskId) -> Counted | None:
        """How a task is counted at present."""
        return self._counted.get(task_id)
