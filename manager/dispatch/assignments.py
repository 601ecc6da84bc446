"""Send a node its tasks once, and afterwards only what changed.

All tasks of the node are assigned, ended attempts included: the agent keeps their logs for
as long as the task object lives, and deletes them when it is removed. A spec version goes
out once per session, ahead of the first task that needs it. An agent that comes back with a
digest equal to ours holds the same tasks at the same revisions, so nothing is resent.

What the node has to know of its networks goes with them, in the same messages: the first one of
a session says all of it, also when nothing else is to be said.

Secrets and configs follow in diffs of their own (`manager.dispatch.deliveries`), in sync or
not: a task waits for them at its node, so their order does not matter.
"""

from collections.abc import Collection, Iterable

from manager import layout
from manager.dispatch.deliveries import Deliveries, Open
from manager.dispatch.topology import Surroundings
from manager.view import ClusterView
from swarm.assignments import digest
from swarm.dispatch import Assignment, Diff, Snapshot
from swarm.ids import NodeId, ServiceId, TaskId
from swarm.objects import SpecVersion, Task
from swarm.specs import TaskSpec
from swarm.topology import Topology


class Assignments:
    """What one session was sent. Give every change of the node's tasks to `diff`.

    `opened` gives a secret or a config in clear, `surroundings` what is told of networks. While
    `is_due`, `diff` has more to say.
    """

    def __init__(
        self,
        node_id: NodeId,
        opened: Open | None = None,
        surroundings: Surroundings | None = None,
    ) -> None:
        self.node_id = node_id
        self.sequence = 0
        self._sent: dict[TaskId, int] = {}
        self._specs: set[tuple[ServiceId, int]] = set()
        self._deliveries = Deliveries(opened)
        self._surroundings = surroundings

    @property
    def is_due(self) -> bool:
        """Whether contents have to follow what was sent, or networks were not told of yet."""
        is_unopened = self._surroundings is not None and not self._surroundings.is_open
        return self._deliveries.is_due or is_unopened

    def open(self, view: ClusterView, held: str) -> Snapshot | None:
        """The snapshot for an agent that holds what `held` digests; None when that is it."""
        tasks = view.tasks_on(self.node_id)
        self._sent = {task.id: _revision(view, task) for task in tasks.values()}
        for task in tasks.values():
            self._hold(view, task)
        if held == digest(self._sent):
            return None
        return Snapshot(
            sequence=self.sequence,
            assignments=tuple(_assignment(view, task) for _, task in sorted(tasks.items())),
            specs=self._missing_specs(view, tasks.values()),
            topology=self._surroundings.open() if self._surroundings is not None else Topology(),
        )

    def diff(
        self, view: ClusterView, touched: Iterable[TaskId], contents: Collection[str] = ()
    ) -> Diff | None:
        """What the agent has to hear of `touched` tasks; None when it has heard it.

        `contents` are the secrets and configs that changed.
        """
        changed: list[Task] = []
        removed: list[TaskId] = []
        for task_id in dict.fromkeys(touched):
            task = view.tasks.get(task_id)
            if task is not None and task.node_id == self.node_id:
                if self._sent.get(task_id) != _revision(view, task):
                    changed.append(task)
            elif task_id in self._sent:
                removed.append(task_id)
        for task in changed:
            self._hold(view, task)
        for task_id in removed:
            self._deliveries.drop(task_id)
        self._deliveries.changed(contents)
        due = self._deliveries.due(view) if self._deliveries.is_due else ()
        moved = self._surroundings.diff() if self._surroundings is not None else None
        if not changed and not removed and not due and moved is None:
            return None
        self.sequence += 1
        self._sent.update({task.id: _revision(view, task) for task in changed})
        for task_id in removed:
            del self._sent[task_id]
        return Diff(
            sequence=self.sequence,
            changed=tuple(_assignment(view, task) for task in changed),
            removed=tuple(removed),
            specs=self._missing_specs(view, changed),
            contents=due,
            topology=moved or Topology(),
        )

    def check(self, view: ClusterView) -> None:
        """Assert that the agent, once it has read everything, holds exactly its tasks."""
        tasks = view.tasks_on(self.node_id)
        assert self._sent == {task.id: _revision(view, task) for task in tasks.values()}
        self._deliveries.check(view, tasks.values())

    def _hold(self, view: ClusterView, task: Task) -> None:
        spec = view.task_spec(task.service_id, task.spec_version)
        if spec is not None:
            self._deliveries.hold(task, spec)

    def _missing_specs(self, view: ClusterView, tasks: Iterable[Task]) -> tuple[SpecVersion, ...]:
        needed = {(task.service_id, task.spec_version) for task in tasks}
        missing = sorted(needed - self._specs)
        self._specs.update(missing)
        return tuple(_spec(view, service_id, version) for service_id, version in missing)


def _spec(view: ClusterView, service_id: ServiceId, version: int) -> SpecVersion:
    # A version is stored for as long as a task refers to it. Should one be lost all the same,
    # an empty spec keeps running tasks running and has new ones rejected with a reason, where
    # leaving the task out would have the agent stop it.
    lost = SpecVersion(service_id=service_id, version=version, task=TaskSpec())
    return view.version_of(service_id, version) or lost


def _assignment(view: ClusterView, task: Task) -> Assignment:
    seen = view.observation(task)
    revision = _revision(view, task)
    if seen is None:
        return Assignment(task=task, revision=revision)
    return Assignment(task=task, revision=revision, observed=seen.state)


def _revision(view: ClusterView, task: Task) -> int:
    return view.version(layout.task_key(task.service_id, task.id))
