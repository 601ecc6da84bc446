"""Run this node's tasks: what was assigned, what each is doing, what has to be told.

Containers that an agent before us left are strays until a manager has said what this node
should hold: those it names go on (or are reported as ended), all others were replaced while
we were away and are stopped. Silence of a manager stops nothing. But a node that is in no swarm
has no tasks, and what it finds of them was left behind.
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from agent import life
from agent.assignments import Assignments, Change, Gap, Wanted
from agent.effects import Connect, Delete, Effect, Kill, Leave, Report, Route, Signal, Wait
from agent.events import (
    Adopted,
    Assigned,
    Event,
    Examined,
    Exited,
    StopRequested,
    Vanished,
    Withdrawn,
)
from agent.life import Life, Work
from agent.reports import Reports
from swarm.dispatch import Diff, Hello, Snapshot, Welcome
from swarm.ids import TaskId
from swarm.objects import NodeDescription
from swarm.specs import Port
from swarm.states import TaskState


class Stray(Struct, frozen=True, kw_only=True):
    """A container found at our start. `exit` is set when it ended meanwhile.

    `examined` is how it last stood, and None where there is no health check; `ports` are those
    of the node that it has.
    """

    task_id: TaskId
    pid: int
    started_at: float
    grace_s: float = 10.0
    exit: Exited | None = None
    examined: Examined | None = None
    ports: tuple[Port, ...] = ()

    def adopted(self, observed: TaskState) -> Adopted:
        """The event that it is here."""
        return Adopted(
            pid=self.pid,
            started_at=self.started_at,
            is_checked=self.examined is not None,
            was_running=observed >= TaskState.RUNNING,
            ports=self.ports,
        )


class Tasks:
    """The tasks of one node. `at` is seconds since the epoch, `now` monotonic seconds."""

    def __init__(self, strays: Iterable[Stray] = ()) -> None:
        self.assignments = Assignments()
        self.reports = Reports()
        self._lives: dict[TaskId, Life] = {}
        self._strays = {each.task_id: each for each in strays}
        self._working: set[TaskId] = set()
        self._known: dict[TaskId, Wanted] = {}

    @property
    def lives(self) -> Mapping[TaskId, Life]:
        """Every task that has not been forgotten yet."""
        return self._lives

    @property
    def strays(self) -> Mapping[TaskId, Stray]:
        """Containers of which no manager has said yet whether they belong here."""
        return self._strays

    def known(self, task_id: TaskId) -> Wanted | None:
        """What was last wanted of a task, for as long as something of it is left."""
        return self._known.get(task_id)

    def hello(self, description: NodeDescription) -> Hello:
        """How a session opens."""
        return Hello(
            description=description,
            digest=self.assignments.digest(),
            statuses=self.reports.unacknowledged(),
        )

    def alone(self, *, at: float, now: float) -> tuple[Effect, ...]:
        """This node is in no swarm: nobody will ever want anything of it."""
        return self._stop_strays(at=at, now=now)

    def welcomed(self, message: Welcome, *, at: float, now: float) -> tuple[Effect, ...]:
        """A session stands. In sync means that nothing but what we hold is wanted."""
        self.reports.opened()
        self.assignments.restart()
        return self._stop_strays(at=at, now=now) if message.in_sync else ()

    def disconnected(self, *, now: float) -> None:
        """The session broke; everything goes on."""
        self.reports.closed(now=now)

    def take(self, message: Snapshot | Diff, *, at: float, now: float) -> tuple[Effect, ...] | Gap:
        """Do what the manager says, or say why the session has to start over."""
        change = self.assignments.take(message)
        if isinstance(change, Gap):
            return change
        effects: tuple[Effect, ...] = (Route(change.topology),) if change.topology else ()
        effects += self._change(change, at=at, now=now)
        if isinstance(message, Snapshot):
            effects += self._stop_strays(at=at, now=now)
        return effects

    def tell(self, task_id: TaskId, event: Event, *, at: float, now: float) -> tuple[Effect, ...]:
        """Something happened to a task. Unknown tasks are those that were forgotten."""
        found = self._lives.get(task_id)
        if found is None:
            return self._tell_stray(task_id, event)
        found, effects = life.step(found, event, at=at)
        self._lives[task_id] = found
        if found.work is Work.NONE:
            self._working.discard(task_id)
        else:
            self._working.add(task_id)
        self.reports.expect(bool(self._working))
        for each in effects:
            if isinstance(each, Report):
                self.reports.record(each.observation, now=now)
            elif isinstance(each, Delete):
                del self._lives[task_id]
                self._known.pop(task_id, None)
        return tuple(each for each in effects if not isinstance(each, Report))

    def states(self) -> dict[TaskState, int]:
        """How many tasks are in each state. May be asked from another thread."""
        counts: dict[TaskState, int] = {}
        for each in tuple(self._lives.values()):
            counts[each.state] = counts.get(each.state, 0) + 1
        return counts

    def check(self) -> None:
        """Assert what holds between any two calls."""
        self.reports.check()
        for task_id, each in self._lives.items():
            each.check()
            assert each.id == task_id
            assert task_id not in self._strays
            assert task_id in self.assignments.wanted or each.is_withdrawn, task_id
        for task_id in self.assignments.wanted:
            assert task_id in self._lives, task_id
        assert self._known.keys() <= self._lives.keys()
        assert self._working == {k for k, v in self._lives.items() if v.work is not Work.NONE}

    def _change(self, change: Change, *, at: float, now: float) -> tuple[Effect, ...]:
        effects: tuple[Effect, ...] = ()
        for task_id in change.withdrawn:
            self.reports.forget(task_id)
            effects += self.tell(task_id, Withdrawn(), at=at, now=now)
        for wanted in change.wanted:
            before = self._known.get(wanted.task.id)
            self._known[wanted.task.id] = wanted
            for event in self._events(wanted, at=at):
                effects += self.tell(wanted.task.id, event, at=at, now=now)
            effects += self._connect(before, wanted)
        return self._without_moot(effects)

    def _connect(self, before: Wanted | None, wanted: Wanted) -> tuple[Effect, ...]:
        """What is here already may have been put into another network, or taken out of one.

        An agent that has just started knows the task from nobody, but its container may run.
        """
        found = self._lives.get(wanted.task.id)
        if found is None or found.state.is_terminal:
            return ()
        if before is None:
            has_changed = found.is_up and bool(wanted.task.attachments)
        else:
            has_changed = before.task.attachments != wanted.task.attachments
        return (Connect(wanted.task.id),) if has_changed else ()

    def _events(self, wanted: Wanted, *, at: float) -> Iterable[Event]:
        task_id, observed = wanted.task.id, wanted.observed
        stray = self._strays.pop(task_id, None)
        is_new = task_id not in self._lives
        if is_new and observed.is_terminal and (stray is None or stray.exit is not None):
            # Its end is known. What is left of it stays until it is withdrawn.
            self._lives[task_id] = life.ended(task_id, observed, at=at)
            return
        if is_new:
            self._lives[task_id] = life.begin(
                task_id,
                at=at,
                grace_s=wanted.spec.container.stop_grace_s,
                is_attached=bool(wanted.task.attachments),
            )
        if stray is not None:
            yield stray.adopted(observed)
        elif is_new and observed >= TaskState.RUNNING:
            yield Vanished()
        if wanted.task.desired > TaskState.RUNNING or (is_new and observed.is_terminal):
            yield StopRequested()
        if stray is not None and stray.exit is not None:
            yield stray.exit
        elif stray is not None and stray.examined is not None:
            yield stray.examined
        yield Assigned(is_attached=bool(wanted.task.attachments))

    def _stop_strays(self, *, at: float, now: float) -> tuple[Effect, ...]:
        effects: tuple[Effect, ...] = ()
        strays, self._strays = self._strays, {}
        for stray in strays.values():
            self._lives[stray.task_id] = life.begin(stray.task_id, at=at, grace_s=stray.grace_s)
            events = (
                stray.adopted(TaskState.RUNNING),
                *((stray.exit,) if stray.exit else ()),
                Withdrawn(),
            )
            for event in events:
                effects += self.tell(stray.task_id, event, at=at, now=now)
            self.reports.forget(stray.task_id)
        return self._without_moot(effects)

    def _without_moot(self, effects: tuple[Effect, ...]) -> tuple[Effect, ...]:
        """Leave out orders to containers that a later event of the same message ended."""
        return tuple(
            each
            for each in effects
            if not isinstance(each, Leave | Signal | Kill | Wait)
            or ((found := self._lives.get(each.task_id)) and not found.state.is_terminal)
        )

    def _tell_stray(self, task_id: TaskId, event: Event) -> tuple[Effect, ...]:
        stray = self._strays.get(task_id)
        if stray is not None and isinstance(event, Exited):
            self._strays[task_id] = replace(stray, exit=event)
        elif stray is not None and isinstance(event, Examined):
            self._strays[task_id] = replace(stray, examined=event)
        return ()
