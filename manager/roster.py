"""List tasks by id, by service, by slot, by node, and those that wait for a node.

A task's service and slot never change, and its node only once, from none to some. Lists that
became empty are dropped, so that what is gone costs nothing. Nearly every slot holds one task
nearly always, so a slot's list is that task itself until there are more.

A slot is *held* while one of its tasks is not asked to be removed: what a replicated service
wants is that as many are held as it has replicas. Tasks of a schedule's runs are on no slot's
list, for their slots exist once a run.
"""

from collections.abc import Iterable, Mapping

from swarm.ids import NodeId, ServiceId, TaskId
from swarm.objects import Task
from swarm.states import TaskState


class Roster:
    """All tasks. Read `tasks` freely; change it through `put` and `drop`."""

    def __init__(self) -> None:
        self.tasks: dict[TaskId, Task] = {}
        self._of_service: dict[ServiceId, dict[TaskId, Task]] = {}
        self._on_node: dict[NodeId, dict[TaskId, Task]] = {}
        self._waiting: dict[ServiceId, dict[TaskId, Task]] = {}
        self._slots: dict[ServiceId, dict[int, Task | tuple[Task, ...]]] = {}
        self._held: dict[ServiceId, int] = {}

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
            self._waiting.setdefault(task.service_id, {})[task.id] = task
        if has_slot(task):
            self._change_slot(task, task)
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
            if has_slot(task):
                self._change_slot(task, None)
        return task

    def of(self, service_id: ServiceId) -> Mapping[TaskId, Task]:
        """A service's tasks."""
        return self._of_service.get(service_id, {})

    def on(self, node_id: NodeId) -> Mapping[TaskId, Task]:
        """The tasks that were given to a node."""
        return self._on_node.get(node_id, {})

    def within(self, service_id: ServiceId, slot: int) -> tuple[Task, ...]:
        """The tasks of one slot, in no particular order."""
        return _several(self._slots.get(service_id, {}).get(slot))

    def held(self, service_id: ServiceId) -> int:
        """How many slots of a service have a task that is not to be removed."""
        return self._held.get(service_id, 0)

    def services(self) -> Iterable[ServiceId]:
        """The services that have tasks, whether they exist or not."""
        return self._of_service.keys()

    def waiting(self) -> Mapping[ServiceId, Mapping[TaskId, Task]]:
        """The tasks without a node, by service."""
        return self._waiting

    def check(self) -> None:
        """Assert that each task is on exactly the lists where it belongs."""
        for task in self.tasks.values():
            assert self._of_service[task.service_id][task.id] is task
            assert task.node_id == "" or self._on_node[task.node_id][task.id] is task
            assert task.node_id or self._waiting[task.service_id][task.id] is task
            assert not has_slot(task) or task in self.within(task.service_id, task.slot)
        assert sum(map(len, self._of_service.values())) == len(self.tasks)
        placed = sum(map(len, self._on_node.values()))
        assert placed + sum(map(len, self._waiting.values())) == len(self.tasks)
        listed = [_several(each) for slots in self._slots.values() for each in slots.values()]
        assert sum(map(len, listed)) == sum(map(has_slot, self.tasks.values()))
        for service_id in self._of_service:
            slots = map(_several, self._slots.get(service_id, {}).values())
            assert self.held(service_id) == sum(map(_is_held, slots))
        assert self._held.keys() <= self._of_service.keys()

    def _unlist(self, task: Task) -> None:
        lists = self._on_node if task.node_id else self._waiting
        key = task.node_id or task.service_id
        found = lists[key]  # type: ignore[index]  # the list's own sort of key
        del found[task.id]
        if not found:
            del lists[key]  # type: ignore[arg-type]

    def _change_slot(self, old: Task, new: Task | None) -> None:
        """List `new` in its slot in the place of what bears the id of `old`, if anything does."""
        service_id = old.service_id
        slots = self._slots.setdefault(service_id, {})
        before = slots.get(old.slot)
        if new is not None and (before is None or (type(before) is Task and before.id == new.id)):
            after: tuple[Task, ...] = (new,)
            slots[new.slot] = new
        else:
            after = tuple(each for each in _several(before) if each.id != old.id)
            after += () if new is None else (new,)
            if after:
                slots[old.slot] = after[0] if len(after) == 1 else after
            else:
                del slots[old.slot]
        more = _is_held(after) - _is_held(_several(before))
        if more:
            self._held[service_id] = self._held.get(service_id, 0) + more
        if not slots:
            del self._slots[service_id]
            self._held.pop(service_id, None)


def has_slot(task: Task) -> bool:
    """Whether a task is one of a slot's attempts, whichever run it is of aside."""
    return task.slot > 0 and not task.run


def _several(found: Task | tuple[Task, ...] | None) -> tuple[Task, ...]:
    if found is None:
        return ()
    return found if isinstance(found, tuple) else (found,)


def _is_held(tasks: Iterable[Task]) -> bool:
    return any(task.desired < TaskState.REMOVE for task in tasks)
