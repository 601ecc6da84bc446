"""Count the tasks of each service by desired state, spec version and standing.

The standing is the observed state, but ORPHANED for a task that was alive on a node that is
DOWN: nobody can say what became of it. Each task remembers how it was counted, so a recount
costs the same whatever happened in between.
"""

from collections.abc import Mapping

from swarm.ids import ServiceId, TaskId
from swarm.objects import Task
from swarm.states import TaskState

Counted = tuple[TaskState, int, TaskState]
"""Desired state, spec version, standing."""


class Tally:
    """Counts per service; a service without tasks has none."""

    def __init__(self) -> None:
        self._counted: dict[TaskId, Counted] = {}
        self._counts: dict[ServiceId, dict[Counted, int]] = {}

    def of(self, service_id: ServiceId) -> Mapping[Counted, int]:
        """How many tasks the service has of each sort."""
        return self._counts.get(service_id, {})

    def count(self, task: Task, standing: TaskState) -> None:
        """Count `task`, anew if it was counted before."""
        self.drop(task)
        counted = (task.desired, task.spec_version, standing)
        self._counted[task.id] = counted
        counts = self._counts.setdefault(task.service_id, {})
        counts[counted] = counts.get(counted, 0) + 1

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

    def counted(self, task_id: TaskId) -> Counted | None:
        """How a task is counted at present."""
        return self._counted.get(task_id)
