"""Live the life of one container that somebody runs on this node.

Unlike a task it may run again: by request, or because its policy says so, and then with a delay
that doubles from one start to the next unless the last run was a good one. It counts as running
until nothing of its run is left on the node, so that whoever waits for its end finds its ports
free. What was asked of it while it is being started is remembered until that is over. Requests
that its state forbids raise `Refused`; events that come too late, twice or out of order are
ignored.
"""

from enum import Enum
from signal import SIGKILL
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from agent.events import Examined, Exited
from agent.standalone import restarting
from agent.standalone.effects import (
    Announce,
    Delay,
    Effect,
    Forget,
    Kill,
    Release,
    Remove,
    Resume,
    Signal,
    Start,
    Wait,
)
from agent.standalone.events import (
    Adopted,
    Booted,
    DelayExpired,
    Event,
    GraceExpired,
    KillRequested,
    Paused,
    Released,
    Removed,
    RemoveFailed,
    RemoveRequested,
    RestartRequested,
    Resumed,
    Started,
    StartFailed,
    StartRequested,
    StopRequested,
    Vanished,
)
from swarm.errors import Refused
from swarm.standalone import ContainerRestart, ContainerState
from swarm.states import HealthState

KILL_AGAIN_S = 5.0
LOST_EXIT_CODE = 255  # of a run whose end nobody saw


class Work(Enum):
    """What the shell is doing for it; it answers with an event when that is over."""

    NONE = 0
    START = 1
    RELEASE = 2
    REMOVE = 3


class Removal(Struct, frozen=True):
    """It is to go, and the `volumes` that were made for it alone with it."""

    volumes: bool = False


class Manner(Struct, frozen=True, kw_only=True):
    """What its operator wants to follow when it ends by itself."""

    restart: ContainerRestart = ContainerRestart()
    auto_remove: bool = False


class Life(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a container is.

    `run` counts its starts. `by_hand`: it was stopped, or killed, so it does not come back by
    itself. `again`: it is to run once more when it has ended. `stops` says that its end was
    asked for; `early` and `examined` were heard of before the start was.
    """

    state: ContainerState = ContainerState.CREATED
    run: int = 0
    pid: int = 0
    started_at: float = 0.0
    finished_at: float = 0.0
    exit_code: int = 0
    error: str = ""
    oom_killed: bool = False
    restart_count: int = 0
    delay_s: float = 0.0
    by_hand: bool = False
    again: bool = False
    removal: Removal | None = None
    health: HealthState = HealthState.NONE
    failing_streak: int = 0
    work: Work = Work.NONE
    stops: StopRequested | None = None
    early: Exited | None = None
    examined: Examined | None = None

    @property
    def is_up(self) -> bool:
        """Whether its first process runs, as far as we have been told."""
        return self.state in _UP and self.work is not Work.RELEASE

    @property
    def is_active(self) -> bool:
        """Whether it runs or is about to: what Docker's users call running."""
        return self.state in _UP or self.state is ContainerState.RESTARTING

    @property
    def is_busy(self) -> bool:
        """Whether something of the node is or may be in use by it."""
        return self.is_active or self.work is not Work.NONE

    @property
    def is_paused(self) -> bool:
        """Whether all its processes stand still."""
        return self.state is ContainerState.PAUSED

    @property
    def has_run(self) -> bool:
        """Whether it ever did."""
        return self.started_at > 0

    def check_at_rest(self) -> None:
        """Assert what holds of what was written down."""
        assert (self.pid > 0) == (self.state in _UP), self
        assert self.work is not Work.RELEASE or self.state in _UP, self
        assert self.work is not Work.START or self.state in _STARTABLE, self
        assert self.state is not ContainerState.REMOVING or self.removal is not None, self
        assert self.early is None or self.work is Work.START, self
        assert self.examined is None or self.work is Work.START, self
        assert self.stops is None or self.is_active or self.work is Work.START, self
        assert not self.is_active or self.state is ContainerState.RESTARTING or self.has_run, self
        assert self.state is not ContainerState.CREATED or not self.has_run, self

    def check(self) -> None:
        """Assert what holds between any two events."""
        self.check_at_rest()
        assert (self.work is Work.REMOVE) == (self.state is ContainerState.REMOVING), self


Result = tuple[Life, tuple[Effect, ...]]

_UP = (ContainerState.RUNNING, ContainerState.PAUSED)
_STARTABLE = (ContainerState.CREATED, ContainerState.EXITED, ContainerState.RESTARTING)
_GONE = (ContainerState.REMOVING, ContainerState.DEAD)


def resting(life: Life) -> Life:
    """What is known of it to an agent that has just started: no work, no wishes but the lasting."""
    return replace(life, work=Work.NONE, stops=None, early=None, examined=None)


def step(life: Life, event: Event, manner: Manner, *, at: float) -> Result:
    """Advance `life` by one event, which happened at `at`, seconds since the epoch."""
    match event:
        case (
            StartRequested()
            | StopRequested()
            | RestartRequested()
            | KillRequested()
            | RemoveRequested()
        ):
            return _requested(life, event)
        case Started() | StartFailed():
            return _tried(life, event, manner, at) if life.work is Work.START else (life, ())
        case Exited() | Examined() | Paused() | Resumed() | GraceExpired():
            return _lived(life, event)
        case Released() | DelayExpired() | Removed() | RemoveFailed():
            return _done(life, event, manner)
        case Adopted() | Vanished() | Booted():
            return _found(life, event, manner, at)
        case _:
            assert_never(event)


# --- what is asked of it -------------------------------------------------------------------------


def _requested(
    life: Life,
    event: StartRequested | StopRequested | RestartRequested | KillRequested | RemoveRequested,
) -> Result:
    match event:
        case StartRequested():
            return _start(life)
        case StopRequested():
            return (
                _stop(replace(life, again=False, by_hand=True), event)
                if _ends(life)
                else (life, ())
            )
        case RestartRequested():
            return _restart(life, event)
        case KillRequested():
            return _kill(life, event)
        case RemoveRequested():
            return _remove(life, event)


def _start(life: Life) -> Result:
    if life.state in _GONE:
        raise Refused("container is marked for removal and cannot be started")
    if life.state is ContainerState.PAUSED:
        raise Refused("cannot start a paused container, try unpause instead")
    if life.is_active or life.work is not Work.NONE:
        return life, ()
    life = replace(life, restart_count=0, delay_s=0.0, by_hand=False)
    return _begin(life)


def _begin(life: Life) -> Result:
    """Run it: in an attempt of its own, so that what belongs to an earlier one is told apart."""
    return replace(life, run=life.run + 1, work=Work.START, stops=None), (Start(),)


def _ends(life: Life) -> bool:
    return life.is_active or life.work is Work.START


def _stop(life: Life, wanted: StopRequested) -> Result:
    """Ask it to end; one that waits for its next start need not be asked."""
    if life.work in (Work.START, Work.RELEASE):
        return replace(life, stops=wanted), ()
    if life.state is ContainerState.RESTARTING:
        stopped = replace(life, state=ContainerState.EXITED, stops=None)
        return stopped, (Announce("stop"),)
    life = replace(life, stops=wanted)
    told = (_killed(wanted.signal), Signal(wanted.signal, is_stop=True))
    thaw = (Resume(),) if life.state is ContainerState.PAUSED else ()
    if wanted.grace_s < 0:
        return life, (*told, *thaw)
    if wanted.grace_s == 0:
        return life, (*told, *thaw, *_force(life))
    return life, (*told, *thaw, Wait(life.run, wanted.grace_s))


def _killed(signal: int) -> Announce:
    return Announce("kill", (("signal", str(signal)),))


def _force(life: Life) -> tuple[Effect, ...]:
    """Kill, and look again later: a process may be stuck in the kernel, an order may get lost."""
    return (_killed(int(SIGKILL)), Kill(), Wait(life.run, KILL_AGAIN_S))


def _restart(life: Life, event: RestartRequested) -> Result:
    if life.state in _GONE or life.removal is not None:
        raise Refused("container is marked for removal and cannot be started")
    life = replace(life, again=True, restart_count=0, delay_s=0.0, by_hand=False)
    if life.work is Work.START and life.state is not ContainerState.RESTARTING:
        return life, ()
    if life.state is ContainerState.RESTARTING and life.work is Work.NONE:
        return _begin(life)
    if not _ends(life):
        return _begin(life)
    return _stop(life, StopRequested(signal=event.signal, grace_s=event.grace_s))


def _kill(life: Life, event: KillRequested) -> Result:
    if life.state is ContainerState.RESTARTING and life.work is Work.NONE:
        return replace(life, state=ContainerState.EXITED, by_hand=True), ()
    if not life.is_up:
        raise Refused("container is not running")
    if event.is_final:
        life = replace(life, by_hand=True, again=False)
    if event.signal == SIGKILL:
        return life, _force(life)
    thaws = event.is_final and life.state is ContainerState.PAUSED
    return life, (_killed(event.signal), Signal(event.signal), *((Resume(),) if thaws else ()))


def _remove(life: Life, event: RemoveRequested) -> Result:
    if life.state is ContainerState.REMOVING or (life.removal is not None and _ends(life)):
        raise Refused("removal of container is already in progress")
    wanted = Removal(event.volumes)
    if not _ends(life):
        return _leave(replace(life, removal=wanted))
    if not event.force:
        if life.state is ContainerState.PAUSED:
            raise Refused("container is paused and must be unpaused first")
        word = life.state.word if life.is_active else "starting"
        raise Refused(f"container is {word}: stop the container before removing or force remove")
    life = replace(life, removal=wanted, again=False, by_hand=True)
    if life.state is ContainerState.RESTARTING and life.work is Work.NONE:
        return _leave(life)
    if life.work in (Work.START, Work.RELEASE):
        return life, ()
    return life, _force(life)


def _leave(life: Life) -> Result:
    assert life.removal is not None
    removing = replace(resting(life), state=ContainerState.REMOVING, pid=0, work=Work.REMOVE)
    return removing, (Remove(life.removal.volumes),)


# --- what becomes of a start ---------------------------------------------------------------------


def _tried(life: Life, event: Started | StartFailed, manner: Manner, at: float) -> Result:
    early, examined = life.early, life.examined
    life = replace(life, work=Work.NONE, early=None, examined=None)
    if isinstance(event, StartFailed):
        return _not_started(life, event, manner, at)
    life = _running(life, event.pid, event.started_at, is_checked=event.is_checked)
    told: tuple[Effect, ...] = (Announce("start"),)
    if life.again and life.stops is None:
        life, told = replace(life, again=False), (*told, Announce("restart"))
    if examined is not None:
        life, more = _examined(life, examined)
        told += more
    if early is not None:
        life, more = _exited(life, early)
    elif life.removal is not None:
        more = _force(life)
    elif life.stops is not None:
        life, more = _stop(life, life.stops)
    else:
        more = ()
    return life, (*told, *more)


def _running(life: Life, pid: int, started_at: float, *, is_checked: bool) -> Life:
    return replace(
        life,
        state=ContainerState.RUNNING,
        pid=pid,
        started_at=started_at,
        exit_code=0,
        error="",
        oom_killed=False,
        health=HealthState.STARTING if is_checked else HealthState.NONE,
        failing_streak=0,
    )


def _not_started(life: Life, event: StartFailed, manner: Manner, at: float) -> Result:
    """Whoever asked is told; one that starts by itself tries again, as if it had run and failed."""
    tries_again = life.state is ContainerState.RESTARTING and not life.again
    life = replace(life, error=event.reason, exit_code=event.exit_code, again=False)
    if life.has_run and life.state is not ContainerState.RESTARTING:
        life = replace(life, finished_at=life.finished_at or at)
    if life.removal is not None:
        return _leave(life)
    if tries_again and life.stops is None and _comes_back(life, manner):
        return _delayed(life)
    state = ContainerState.EXITED if life.has_run else ContainerState.CREATED
    life = replace(life, state=state, stops=None)
    return (
        _leave(replace(life, removal=Removal(volumes=True))) if manner.auto_remove else (life, ())
    )


# --- while it runs, and its end ------------------------------------------------------------------


def _lived(life: Life, event: Exited | Examined | Paused | Resumed | GraceExpired) -> Result:
    match event:
        case Exited() if life.work is Work.START:
            return replace(life, early=event), ()
        case Examined() if life.work is Work.START:
            return replace(life, examined=event), ()
        case _ if not life.is_up:
            return life, ()
        case Exited():
            return _exited(life, event)
        case Examined():
            return _examined(life, event)
        case Paused() if life.state is ContainerState.RUNNING:
            return replace(life, state=ContainerState.PAUSED), (Announce("pause"),)
        case Resumed() if life.state is ContainerState.PAUSED:
            return replace(life, state=ContainerState.RUNNING), (Announce("unpause"),)
        case GraceExpired() if event.run == life.run:
            return life, _force(life)
        case _:
            return life, ()


def _examined(life: Life, event: Examined) -> Result:
    is_news = event.health is not life.health and event.health is not HealthState.STARTING
    life = replace(life, health=event.health, failing_streak=event.failing_streak)
    return life, (Announce(f"health_status: {event.health.word}"),) if is_news else ()


def _exited(life: Life, event: Exited) -> Result:
    """It has ended, and still counts as running until what it had is free."""
    life = replace(
        life,
        state=ContainerState.RUNNING,
        work=Work.RELEASE,
        exit_code=event.exit_code,
        error=event.message,
        oom_killed=event.oom_killed,
        finished_at=event.finished_at,
    )
    ran_s = max(0, int(event.finished_at - life.started_at))
    died = Announce("die", (("execDuration", str(ran_s)), ("exitCode", str(event.exit_code))))
    return life, (*((Announce("oom"),) if event.oom_killed else ()), died, Release())


def _done(
    life: Life, event: Released | DelayExpired | Removed | RemoveFailed, manner: Manner
) -> Result:
    match event:
        case Released() if life.work is Work.RELEASE:
            return _ended(life, manner)
        case DelayExpired() if _waits(life) and event.run == life.run:
            return _begin(life)
        case Removed() if life.work is Work.REMOVE:
            return life, (Announce("destroy"), Forget())
        case RemoveFailed() if life.work is Work.REMOVE:
            dead = replace(
                life,
                state=ContainerState.DEAD,
                work=Work.NONE,
                removal=None,
                error=event.reason,
            )
            return dead, ()
        case _:
            return life, ()


def _waits(life: Life) -> bool:
    return life.state is ContainerState.RESTARTING and life.work is Work.NONE


def _ended(life: Life, manner: Manner) -> Result:
    """Nothing of its run is left: it goes on, goes away, or rests."""
    told = (Announce("stop"),) if life.stops is not None else ()
    was_asked = life.stops is not None
    life = replace(life, pid=0, work=Work.NONE, stops=None)
    if life.removal is not None:
        life, more = _leave(life)
    elif life.again:
        life, more = _begin(replace(life, state=ContainerState.EXITED))
    elif not was_asked and _comes_back(life, manner):
        life, more = _delayed(life)
    elif manner.auto_remove:
        life, more = _leave(replace(life, removal=Removal(volumes=True)))
    else:
        life, more = replace(life, state=ContainerState.EXITED), ()
    return life, (*told, *more)


def _comes_back(life: Life, manner: Manner) -> bool:
    return not life.by_hand and restarting.comes_back(
        manner.restart, exit_code=life.exit_code, restart_count=life.restart_count
    )


def _delayed(life: Life) -> Result:
    ran_s = life.finished_at - life.started_at
    delay_s = restarting.delay_s(life.delay_s, ran_s=ran_s if not life.error else 0.0)
    life = replace(
        life,
        state=ContainerState.RESTARTING,
        restart_count=life.restart_count + 1,
        delay_s=delay_s,
    )
    return life, (Delay(life.run, delay_s),)


# --- what an agent finds at its start ------------------------------------------------------------


def _found(life: Life, event: Adopted | Vanished | Booted, manner: Manner, at: float) -> Result:
    """`life` rests; what an earlier agent had begun is brought to its end."""
    match event:
        case Booted():
            return _booted(life, manner)
        case Adopted():
            return _adopted(life, event)
        case Vanished():
            return _vanished(life, at)


def _adopted(life: Life, event: Adopted) -> Result:
    """It runs, whatever we know: the agent that started it may have died before it wrote so."""
    is_known = life.state in _UP and life.started_at == event.started_at
    health, streak = life.health, life.failing_streak
    life = _running(life, event.pid, event.started_at, is_checked=event.is_checked)
    if is_known:
        life = replace(life, health=health, failing_streak=streak)
    else:
        life = replace(life, again=False)
    if event.is_paused:
        life = replace(life, state=ContainerState.PAUSED)
    return life, _force(life) if life.removal is not None else ()


def _vanished(life: Life, at: float) -> Result:
    match life.state:
        case ContainerState.RUNNING | ContainerState.PAUSED:
            gone = Exited(exit_code=LOST_EXIT_CODE, finished_at=at)
            return _exited(life, gone)
        case ContainerState.RESTARTING:
            return life, (Delay(life.run, life.delay_s),)
        case ContainerState.REMOVING:
            return _leave(replace(life, removal=life.removal or Removal()))
        case _ if life.again:
            return _begin(life)
        case _:
            return life, ()


def _booted(life: Life, manner: Manner) -> Result:
    """Once per start of the host: what is to run always runs again, stopped by hand or not.

    What it needs may come up later than we do, so it is tried again like any restart.
    """
    rests = life.state is ContainerState.EXITED and life.work is Work.NONE
    if not rests or not restarting.comes_up(manner.restart, by_hand=life.by_hand):
        return life, ()
    fresh = replace(life, restart_count=0, delay_s=0.0, by_hand=False)
    return _begin(replace(fresh, state=ContainerState.RESTARTING))
