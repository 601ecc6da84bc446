"""Give a node the secrets and configs that its tasks start with, and no others.

What a service's images are fetched with is given like them.

A content is due when a task that has yet to start names it and the agent has not got it as it
is now. A task that runs keeps the files it started with, so nothing is sent because of it.
What the agent keeps is known by the rule that both sides follow (`swarm.assignments`), and a
new session finds it empty-handed. No message carries more than `MOST_BYTES`, or one content.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator

from manager.view import ClusterView
from swarm.assignments import contents_of, keeps_contents
from swarm.dispatch import Content
from swarm.ids import ConfigId, SecretId, ServiceId, TaskId
from swarm.objects import Task
from swarm.specs import TaskSpec
from swarm.states import TaskState

MOST_BYTES = 8 << 20

Open = Callable[[ClusterView, str], Content | None]


class Deliveries:
    """The contents of one session. `opened` gives one in clear, None when it cannot."""

    def __init__(self, opened: Open | None) -> None:
        self._opened = opened
        self._needs: dict[TaskId, tuple[str, ...]] = {}
        self._needed: Counter[str] = Counter()
        self._delivered: dict[str, int] = {}
        self._unsettled: dict[TaskId, None] = {}

    @property
    def is_due(self) -> bool:
        """Whether `due` may have something to send."""
        return bool(self._unsettled)

    def hold(self, task: Task, spec: TaskSpec) -> None:
        """The agent is told of `task` as it is now."""
        ids = contents_of(task, spec) if keeps_contents(task) else ()
        if task.id in self._needs:
            self.drop(task.id)
        if ids:
            self._needs[task.id] = ids
            self._needed.update(ids)
            self._unsettled[task.id] = None

    def drop(self, task_id: TaskId) -> None:
        """The agent is told that it does not hold the task any more."""
        self._unsettled.pop(task_id, None)
        for content_id in self._needs.pop(task_id, ()):
            self._needed[content_id] -= 1
            if not self._needed[content_id]:
                del self._needed[content_id]
                self._delivered.pop(content_id, None)

    def changed(self, contents: Collection[str]) -> None:
        """These secrets and configs may be other than they were."""
        if contents and not self._needed.keys().isdisjoint(contents):
            self._unsettled.update(
                (task_id, None)
                for task_id, ids in self._needs.items()
                if not set(ids).isdisjoint(contents)
            )

    def due(self, view: ClusterView) -> tuple[Content, ...]:
        """What to send now, as far as it fits into one message."""
        found: list[Content] = []
        room = MOST_BYTES
        for task_id in tuple(self._unsettled):
            for content_id in self._missing(view, task_id):
                content = self._opened(view, content_id) if self._opened else None
                if content is None:
                    continue
                if found and len(content.data) > room:
                    return tuple(found)
                room -= len(content.data)
                self._delivered[content_id] = content.version
                found.append(content)
            del self._unsettled[task_id]
        return tuple(found)

    def check(self, view: ClusterView, held: Iterable[Task]) -> None:
        """Assert that we keep count of what is held, and know of nothing that is not."""
        wanted = {
            task.id: ids
            for task in held
            if keeps_contents(task)
            and (spec := view.task_spec(task.service_id, task.spec_version)) is not None
            and (ids := contents_of(task, spec))
        }
        assert self._needs == wanted
        assert self._needed == Counter(each for ids in wanted.values() for each in ids)
        assert self._delivered.keys() <= self._needed.keys()
        assert self._unsettled.keys() <= self._needs.keys()

    def _missing(self, view: ClusterView, task_id: TaskId) -> Iterator[str]:
        task = view.tasks.get(task_id)
        if task is None or view.state(task) >= TaskState.RUNNING:
            return
        for content_id in dict.fromkeys(self._needs[task_id]):
            if self._delivered.get(content_id) != _version(view, content_id):
                yield content_id


def _version(view: ClusterView, content_id: str) -> int:
    stored = (
        view.secrets.get(SecretId(content_id))
        or view.configs.get(ConfigId(content_id))
        or view.logins.get(ServiceId(content_id))
    )
    return stored.version if stored is not None else 0
