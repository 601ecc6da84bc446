"""List tasks by id, by service, by node, and those that wait for a node.

A task's service never changes and its node only once, from none to some. Lists that became
empty are dropped, so that what is gone costs nothing.
"""

from collections.abc import Iterable, Mapping

from swarm.ids import NodeId, ServiceId, TaskId
from swarm.objects import Task


class Roster:
    """All tasks. Read `tasks` freely; change it through `put` and `drop`."""

    def __init__(self) -> None:
        self.tasks: dict[TaskId, Task] = {}
        self._of_service: dict[ServiceId, dict[TaskId, Task]] = {}
        self._on_node: dict[NodeId, dict[TaskId, Task]] = {}
        self._waiting: dict[ServiceId, set[TaskId]] = {}

    def put(self, task: Task) -> Task | None:
        """List a task as it is now; returns it as it was."""
        old = self.tasks.get(task.id)
        if old is not None and old.node_id != task.node_id:
            self._unlist(old)
        self.tasks[task.id] = task
        self._of_service.setdefault(task.service_id, {})[task.id] = task
        if task.node_id:
            self._on_node.setdefault(task.node_id, {})[task.id] = task
        else:
            self._waiting.setdefault(task.service_id, set()).add(task.id)
        return old

    def drop(self, task_id: TaskId) -> Task | None:
        """List a task no more; returns it as it was."""
        task = self.tasks.pop(task_id, None)
        if task is not None:
            of_service = self._of_service[task.service_id]
            del of_service[task_id]
            if not of_service:
                del self._of_service[task.service_id]
            self._unlist(task)
        return task

    def of(self, service_id: ServiceId) -> Mapping[TaskId, Task]:
        """A service's tasks."""
        return self._of_service.get(service_id, {})

    def on(self, node_id: NodeId) -> Mapping[TaskId, Task]:
        """The tasks that were given to a node."""
        return self._on_node.get(node_id, {})

    def waiting(self) -> Iterable[ServiceId]:
        """The services that have a task without a node."""
        return self._waiting.keys()

    def check(self) -> None:
        """Assert that each task is on exactly the lists where it belongs."""
        for task in self.tasks.values():
            assert self._of_service[task.service_id][task.id] is task
            assert task.node_id == "" or self._on_node[task.node_id][task.id] is task
            assert task.node_id or task.id in self._waiting[task.service_id]
        assert sum(map(len, self._of_service.values())) == len(self.tasks)
        placed = sum(map(len, self._on_node.values()))
        assert placed + sum(map(len, self._waiting.values())) == len(self.tasks)

    def _unlist(self, task: Task) -> None:
        if task.node_id:
            on_node = self._on_node[task.node_id]
            del on_node[task.id]
            if not on_node:
                del self._on_node[task.node_id]
        else:
            waiting = self._waiting[task.service_id]
            waiting.discard(task.id)
            if not waiting:
                del self._waiting[task.service_id]
