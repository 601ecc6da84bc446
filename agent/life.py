"""Live the life of one task on its node.

States only move forward, and a task ends only once no work of ours and no process of its is
left: whoever hears that it ended may reuse its slot. Asking a task to stop is therefore
remembered while work is under way and acted upon when that work reports back. A container
with a health check is STARTING until the check has succeeded once; one that is unhealthy is
stopped, and its task fails. A container that others may be calling leaves its networks before
it is signalled, so that nobody calls it in vain. Events that come too late, twice or out of
order are ignored: a manager that reconnects repeats itself, and a container that we are stopping
still reports its exit.
"""

from enum import Enum
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from agent.effects import (
    Abandon,
    Delete,
    Effect,
    Kill,
    Leave,
    Prepare,
    Report,
    Signal,
    Start,
    Wait,
)
from agent.events import (
    Abandoned,
    Adopted,
    Assigned,
    Delayed,
    Event,
    Examined,
    Exited,
    GraceExpired,
    Left,
    Prepared,
    PrepareFailed,
    Started,
    StartFailed,
    StopRequested,
    Vanished,
    Withdrawn,
)
from swarm.ids import TaskId
from swarm.objects import Observation
from swarm.states import HealthState, TaskState

KILL_AGAIN_S = 5.0
LONGEST_OUTPUT = 256


class Work(Enum):
    """What the shell is doing for a task; it answers with an event when that is over."""

    NONE = 0
    PREPARE = 1
    START = 2


class Stop(Enum):
    """How far we went to end a task. ASKED is remembered while work is under way."""

    NO = 0
    LEAVING = 1
    ASKED = 2
    KILLED = 3


class Life(Struct, frozen=True, kw_only=True):
    """Where one task stands.

    `exit` and `examined` are set when they were heard of before the start; `failure` is why we
    stop it, when that was nobody's wish. One that `is_attached` to networks of the swarm is
    called by others while it is RUNNING.
    """

    seen: Observation
    work: Work = Work.NONE
    stop: Stop = Stop.NO
    grace_s: float = 10.0
    is_attached: bool = False
    is_withdrawn: bool = False
    exit: Exited | None = None
    examined: Examined | None = None
    failure: str = ""

    @property
    def id(self) -> TaskId:
        """The task's, and its container's."""
        return self.seen.task_id

    @property
    def state(self) -> TaskState:
        """What was reported last."""
        return self.seen.state

    @property
    def is_up(self) -> bool:
        """Whether its container runs, as far as we have been told."""
        return bool(self.seen.pid) and not self.state.is_terminal

    def check(self) -> None:
        """Assert what holds between any two events."""
        is_starting = self.state is TaskState.STARTING
        assert (self.work is Work.PREPARE) == (self.state is TaskState.PREPARING), self
        assert (self.work is Work.START) == (is_starting and not self.seen.pid), self
        assert self.exit is None or self.work is Work.START, self
        assert self.examined is None or self.work is Work.START, self
        assert self.stop is not Stop.KILLED or self.is_up or self.state.is_terminal, self
        assert self.stop is not Stop.LEAVING or self.is_up or self.state.is_terminal, self
        assert self.stop is not Stop.LEAVING or self.is_attached, self
        assert self.state is not TaskState.RUNNING or self.seen.pid, self
        assert not is_starting or not self.is_up or self.seen.health, self
        assert not self.failure or self.stop is not Stop.NO, self


Result = tuple[Life, tuple[Effect, ...]]


def begin(task_id: TaskId, *, at: float, grace_s: float = 10.0, is_attached: bool = False) -> Life:
    """The life of a task that this node has just heard of."""
    seen = Observation(task_id=task_id, state=TaskState.ACCEPTED, at=at)
    return Life(seen=seen, grace_s=max(0.0, grace_s), is_attached=is_attached)


def ended(task_id: TaskId, state: TaskState, *, at: float) -> Life:
    """The life of a task whose end this node has reported before."""
    assert state.is_terminal
    return Life(seen=Observation(task_id=task_id, state=state, at=at))


def step(life: Life, event: Event, *, at: float) -> Result:
    """Advance `life` by one event, which happened at `at`, seconds since the epoch."""
    match event:
        case Assigned():
            is_attached = life.is_attached or event.is_attached
            return _assigned(replace(life, is_attached=is_attached), at)
        case Withdrawn():
            return _withdrawn(life, at)
        case _ if life.state.is_terminal:
            return life, ()
        case StopRequested():
            return _stop(life, at)
        case Adopted():
            return _adopted(life, event, at)
        case Vanished():
            gone = "the container is gone; was the host restarted?"
            return (
                _end(life, TaskState.FAILED, at=at, error=gone) if _is_fresh(life) else (life, ())
            )
        case Delayed() | Prepared() | PrepareFailed() | Started() | StartFailed() | Abandoned():
            return _worked(life, event, at)
        case Exited() | Examined() | Left() | GraceExpired():
            return _lived(life, event, at)
        case _:
            assert_never(event)


def _worked(
    life: Life,
    event: Delayed | Prepared | PrepareFailed | Started | StartFailed | Abandoned,
    at: float,
) -> Result:
    """What the shell did for the task has ended, or takes long; an answer that nobody waits for
    is late."""
    match event:
        case Delayed(reason=reason) if life.work is Work.PREPARE and life.stop is Stop.NO:
            seen = replace(life.seen, message=reason)
            return replace(life, seen=seen), (Report(seen),)
        case Prepared() | PrepareFailed() if life.work is Work.PREPARE:
            return _prepared(life, event, at)
        case Started() | StartFailed() if life.work is Work.START:
            return _started(life, event, at)
        case Abandoned() if life.work is not Work.NONE and life.stop is not Stop.NO:
            return _end(life, TaskState.SHUTDOWN, at=at)
        case _:
            return life, ()


def _lived(life: Life, event: Exited | Examined | Left | GraceExpired, at: float) -> Result:
    """The container did something, or should have; before its start is told, it waits."""
    match event:
        case Exited() if life.work is Work.START:
            return replace(life, exit=event), ()
        case Examined() if life.work is Work.START:
            return replace(life, examined=event), ()
        case Exited() if life.is_up:
            return _exited(life, event, at)
        case Examined() if life.is_up and life.stop is Stop.NO:
            return _examined(life, event, at)
        case Left() if life.is_up and life.stop is Stop.LEAVING:
            return _signal(replace(life, stop=Stop.ASKED))
        case GraceExpired() if life.is_up and life.stop in (Stop.ASKED, Stop.KILLED):
            return _kill(life)
        case _:
            return life, ()


def _is_fresh(life: Life) -> bool:
    return life.state is TaskState.ACCEPTED


def _assigned(life: Life, at: float) -> Result:
    if life.is_withdrawn:
        # It came back before it was gone. It goes on stopping, but its end counts again.
        return replace(life, is_withdrawn=False), (Report(life.seen),)
    if not _is_fresh(life) or life.stop is not Stop.NO:
        return life, ()
    return _advance(replace(life, work=Work.PREPARE), TaskState.PREPARING, Prepare(life.id), at=at)


def _adopted(life: Life, event: Adopted, at: float) -> Result:
    if not _is_fresh(life):
        return life, ()
    return _run(life, event, at, is_proven=event.was_running or not event.is_checked)


def _stop(life: Life, at: float) -> Result:
    if life.stop is not Stop.NO:
        # We may be stopping it already because it is unhealthy; now that is what is wanted.
        return replace(life, failure=""), ()
    if _is_fresh(life):
        return _end(life, TaskState.SHUTDOWN, at=at)
    life = replace(life, stop=Stop.ASKED)
    if life.work is not Work.NONE:
        return life, (Abandon(life.id),)
    return _ask(life)


def _ask(life: Life) -> Result:
    """Have it end; who was RUNNING in a network is told to callers as gone before it is."""
    if life.is_attached and life.state is TaskState.RUNNING:
        return replace(life, stop=Stop.LEAVING), (Leave(life.id),)
    return _signal(life)


def _signal(life: Life) -> Result:
    if life.grace_s <= 0:
        return _kill(life)
    return life, (Signal(life.id), Wait(life.id, life.grace_s))


def _kill(life: Life) -> Result:
    """Kill, and look again later: a process may be stuck in the kernel, an order may get lost."""
    return replace(life, stop=Stop.KILLED), (Kill(life.id), Wait(life.id, KILL_AGAIN_S))


def _withdrawn(life: Life, at: float) -> Result:
    if life.is_withdrawn:
        return life, ()
    life = replace(life, is_withdrawn=True)
    if life.state.is_terminal:
        return life, (Delete(life.id),)
    return _stop(life, at)


def _prepared(life: Life, event: Prepared | PrepareFailed, at: float) -> Result:
    if life.stop is not Stop.NO:
        return _end(life, TaskState.SHUTDOWN, at=at)
    if isinstance(event, PrepareFailed):
        return _end(life, TaskState.REJECTED, at=at, error=event.reason)
    # READY is passed through: nothing waits between having all and starting it.
    return _advance(replace(life, work=Work.START), TaskState.STARTING, Start(life.id), at=at)


def _started(life: Life, event: Started | StartFailed, at: float) -> Result:
    if isinstance(event, StartFailed):
        state = TaskState.FAILED if life.stop is Stop.NO else TaskState.SHUTDOWN
        return _end(life, state, at=at, error=event.reason)
    ended, examined = life.exit, life.examined
    life = replace(life, exit=None, examined=None, work=Work.NONE)
    life, effects = _run(life, event, at, is_proven=not event.is_checked)
    if ended is not None:
        return _exited(life, ended, at)
    if life.stop is not Stop.NO:
        life, asked = _ask(life)
        return life, effects + asked
    if examined is not None:
        life, more = _examined(life, examined, at)
        return life, effects + more
    return life, effects


def _run(life: Life, event: Started | Adopted, at: float, *, is_proven: bool) -> Result:
    """It is up: RUNNING at once, unless a health check has to say so."""
    health = HealthState.STARTING if event.is_checked else HealthState.NONE
    seen = replace(
        life.seen,
        pid=event.pid,
        started_at=event.started_at,
        health=health,
        ports=event.ports,
    )
    life = replace(life, seen=seen)
    if is_proven:
        return _advance(life, TaskState.RUNNING, at=at)
    if life.state is not TaskState.STARTING:
        return _advance(life, TaskState.STARTING, at=at)
    return life, () if life.is_withdrawn else (Report(seen),)


def _examined(life: Life, event: Examined, at: float) -> Result:
    seen = replace(life.seen, health=event.health, failing_streak=event.failing_streak)
    if seen == life.seen:
        return life, ()
    life = replace(life, seen=seen)
    if event.health is HealthState.HEALTHY and life.state is TaskState.STARTING:
        return _advance(life, TaskState.RUNNING, at=at)
    if event.health is not HealthState.UNHEALTHY:
        return life, (Report(seen),)
    life, asked = _ask(replace(life, stop=Stop.ASKED, failure=_illness(event)))
    return life, (Report(seen), *asked)


def _illness(event: Examined) -> str:
    output = " ".join(event.output.split())
    if len(output) > LONGEST_OUTPUT:
        output = f"{output[: LONGEST_OUTPUT - 1]}…"
    return f"container is unhealthy: {output}" if output else "container is unhealthy"


def _exited(life: Life, event: Exited, at: float) -> Result:
    seen = replace(life.seen, exit_code=event.exit_code, oom_killed=event.oom_killed)
    life, at = replace(life, seen=seen), event.finished_at or at
    if life.failure:
        return _end(life, TaskState.FAILED, at=at, error=life.failure)
    if life.stop is not Stop.NO:
        return _end(life, TaskState.SHUTDOWN, at=at)
    if event.exit_code == 0 and not event.oom_killed:
        return _end(life, TaskState.COMPLETE, at=at)
    return _end(life, TaskState.FAILED, at=at, error=_why(event))


def _why(event: Exited) -> str:
    reason = f"task: non-zero exit ({event.exit_code})"
    if event.oom_killed:
        reason = f"task: out of memory, killed at its limit ({event.exit_code})"
    return f"{reason}: {event.message}" if event.message else reason


def _end(life: Life, state: TaskState, *, at: float, error: str = "") -> Result:
    seen = replace(life.seen, error=error)
    life = replace(life, seen=seen, work=Work.NONE, exit=None, examined=None)
    life, effects = _advance(life, state, at=at)
    return life, (*effects, Delete(life.id)) if life.is_withdrawn else effects


_MESSAGES = {
    TaskState.PREPARING: "preparing",
    TaskState.STARTING: "starting",
    TaskState.RUNNING: "started",
    TaskState.COMPLETE: "finished",
    TaskState.SHUTDOWN: "shutdown",
    TaskState.FAILED: "started",
    TaskState.REJECTED: "preparing",
}


def _advance(life: Life, state: TaskState, *effects: Effect, at: float) -> Result:
    assert state > life.state, (life, state)
    running_at = at if state is TaskState.RUNNING else life.seen.running_at
    seen = replace(life.seen, state=state, at=at, message=_MESSAGES[state], running_at=running_at)
    report = () if life.is_withdrawn else (Report(seen),)
    return replace(life, seen=seen), (*report, *effects)
