"""Read the logs of tasks wherever they run, without ever waiting for the dead.

A reading consists of parts: one subscription at one node's session, which ends when its
publisher ends, when the session does, or when nobody picks it up. A reading that does not
follow is over with its parts. One that follows is over when its services are removed, or all
its tasks ended; until then it subscribes to tasks as they start, and again, from the last
line it has, at a node that came back in another session. An end within the same session is
the end of those tasks' logs: their terminal state may just not have arrived yet.
"""

from collections.abc import Mapping

from msgspec import Struct

from manager.view import ClusterView
from swarm.dispatch import LogSubscription
from swarm.ids import NodeId, ServiceId, TaskId
from swarm.objects import Task
from swarm.states import TaskState

PICKED_UP_WITHIN_S = 5.0


class Query(Struct, frozen=True, kw_only=True):
    """Whose lines to read; `tail` is lines per task, negative for all."""

    services: frozenset[ServiceId] = frozenset()
    tasks: frozenset[TaskId] = frozenset()
    follow: bool = False
    tail: int = -1
    since: float = 0.0
    stdout: bool = True
    stderr: bool = True


class Part(Struct, kw_only=True):
    """One subscription. `due_at` is when it counts as lost unless a publisher came.

    Lines up to `after` were read in an earlier session.
    """

    node_id: NodeId
    session_id: str
    tasks: dict[TaskId, Task]
    due_at: float | None
    after: float = 0.0


class Subscribe(Struct, frozen=True, kw_only=True):
    """Send `subscription` to the node's session."""

    node_id: NodeId
    session_id: str
    subscription: LogSubscription


class Reading:
    """One caller's reading. `now` is monotonic seconds."""

    def __init__(self, reading_id: str, query: Query) -> None:
        self.query = query
        self.parts: dict[str, Part] = {}
        self._id = reading_id
        self._count = 0
        self._read_in: dict[TaskId, str] = {}  # the session that published it last
        self._last_at: dict[TaskId, float] = {}

    def advance(
        self, view: ClusterView, sessions: Mapping[NodeId, str], *, now: float
    ) -> tuple[Subscribe, ...]:
        """Subscribe to tasks that have logs and are not read yet, where a session stands."""
        by_node: dict[NodeId, dict[TaskId, Task]] = {}
        for task in self._tasks(view):
            session_id = sessions.get(task.node_id, "")
            if session_id and self._is_due(view, task, session_id):
                by_node.setdefault(task.node_id, {})[task.id] = task
        return tuple(
            each
            for node_id, tasks in sorted(by_node.items())
            for each in self._subscribe(node_id, sessions[node_id], tasks, now)
        )

    def picked_up(self, subscription_id: str, node_id: NodeId) -> bool:
        """A publisher came; False when it is not the one that was asked."""
        part = self.parts.get(subscription_id)
        if part is None or part.node_id != node_id:
            return False
        part.due_at = None
        return True

    def line(self, subscription_id: str, task_id: TaskId, at: float) -> Task | None:
        """The task that a published line is of; None for one to drop."""
        part = self.parts.get(subscription_id)
        if part is None or task_id not in part.tasks or (part.after and at <= part.after):
            return None
        self._last_at[task_id] = max(at, self._last_at.get(task_id, 0.0))
        return part.tasks[task_id]

    def ended(self, subscription_id: str) -> None:
        """The publisher has said all, or is gone."""
        self.parts.pop(subscription_id, None)

    def session_ended(self, session_id: str) -> None:
        """The parts of a session end with it."""
        for name in [name for name, part in self.parts.items() if part.session_id == session_id]:
            del self.parts[name]

    def expired(self, *, now: float) -> tuple[str, ...]:
        """Drop the parts that nobody picked up."""
        over = [
            name
            for name, part in self.parts.items()
            if part.due_at is not None and part.due_at <= now
        ]
        for name in over:
            del self.parts[name]
        return tuple(over)

    def next_deadline(self) -> float | None:
        """When `expired` may have something to say."""
        return min((p.due_at for p in self.parts.values() if p.due_at is not None), default=None)

    def is_over(self, view: ClusterView) -> bool:
        """Whether no further line can come."""
        if self.parts:
            return False
        if not self.query.follow:
            return True
        if any(service_id in view.services for service_id in self.query.services):
            return False
        return all(self._is_ended(view, task) for task in self._tasks(view))

    def _tasks(self, view: ClusterView) -> list[Task]:
        found = {
            task.id: task for each in self.query.services for task in view.tasks_of(each).values()
        }
        found |= {each: view.tasks[each] for each in self.query.tasks if each in view.tasks}
        return [task for _, task in sorted(found.items())]

    def _is_due(self, view: ClusterView, task: Task, session_id: str) -> bool:
        # Without a container its agent has nothing to read. One that waits for its first
        # health check has one, and why it is not healthy is what its reader wants to know.
        seen = view.observation(task)
        if view.state(task) < TaskState.RUNNING and not (seen and seen.pid):
            return False
        if any(task.id in part.tasks for part in self.parts.values()):
            return False
        read_in = self._read_in.get(task.id)
        return read_in is None or (self.query.follow and read_in != session_id)

    def _is_ended(self, view: ClusterView, task: Task) -> bool:
        return view.state(task).is_terminal or bool(
            task.desired > TaskState.RUNNING and task.node_id not in view.sessions
        )

    def _subscribe(
        self, node_id: NodeId, session_id: str, tasks: dict[TaskId, Task], now: float
    ) -> list[Subscribe]:
        """One subscription for all tasks read from the start, one for each that is resumed."""
        fresh = {task_id: task for task_id, task in tasks.items() if task_id not in self._last_at}
        resumed = [{task_id: tasks[task_id]} for task_id in tasks if task_id in self._last_at]
        groups = [fresh, *resumed] if fresh else resumed
        return [self._part(node_id, session_id, group, now) for group in groups]

    def _part(
        self, node_id: NodeId, session_id: str, tasks: dict[TaskId, Task], now: float
    ) -> Subscribe:
        self._count += 1
        name = f"{self._id}.{self._count}"
        after = max((self._last_at.get(task_id, 0.0) for task_id in tasks), default=0.0)
        self.parts[name] = Part(
            node_id=node_id,
            session_id=session_id,
            tasks=tasks,
            due_at=now + PICKED_UP_WITHIN_S,
            after=after,
        )
        self._read_in.update(dict.fromkeys(tasks, session_id))
        wanted = LogSubscription(
            subscription_id=name,
            task_ids=tuple(tasks),
            follow=self.query.follow,
            tail=-1 if after else self.query.tail,
            since=max(after, self.query.since),
            stdout=self.query.stdout,
            stderr=self.query.stderr,
        )
        return Subscribe(node_id=node_id, session_id=session_id, subscription=wanted)
