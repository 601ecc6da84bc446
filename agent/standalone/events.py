"""Say what happened to a container that somebody runs on this node, or was asked of it."""

from msgspec import Struct

from agent.events import Examined, Exited


class StartRequested(Struct, frozen=True):
    """Somebody wants it to run."""


class Started(Struct, frozen=True, kw_only=True):
    """Its first process runs; with `is_checked` a health check will say when it is of use."""

    pid: int
    started_at: float
    is_checked: bool = False


class StartFailed(Struct, frozen=True, kw_only=True):
    """It did not come to run, and nothing of the attempt is left; `exit_code` is as a shell's."""

    reason: str
    exit_code: int


class StopRequested(Struct, frozen=True, kw_only=True):
    """Somebody wants it to end, by `signal`, and by force after `grace_s` (negative: never)."""

    signal: int
    grace_s: float


class RestartRequested(Struct, frozen=True, kw_only=True):
    """The same, and then to run again; one that does not run only starts."""

    signal: int
    grace_s: float


class KillRequested(Struct, frozen=True, kw_only=True):
    """Somebody sends a signal; one that `is_final` means that it should not come back."""

    signal: int
    is_final: bool


class GraceExpired(Struct, frozen=True):
    """The time is over that run number `run` had to stop by itself."""

    run: int


class DelayExpired(Struct, frozen=True):
    """The time has come to start again after run number `run`."""

    run: int


class Paused(Struct, frozen=True):
    """All its processes stand still."""


class Resumed(Struct, frozen=True):
    """Its processes go on."""


class Released(Struct, frozen=True):
    """Nothing of a run that ended is left: no address, no port, no mount."""


class RemoveRequested(Struct, frozen=True, kw_only=True):
    """Somebody wants it gone: by force if it runs, and with the `volumes` made for it alone."""

    force: bool = False
    volumes: bool = False


class Removed(Struct, frozen=True):
    """Nothing is left of it."""


class RemoveFailed(Struct, frozen=True):
    """Something of it cannot be removed."""

    reason: str


class Adopted(Struct, frozen=True, kw_only=True):
    """An agent before us started it, and it runs."""

    pid: int
    started_at: float
    is_paused: bool = False
    is_checked: bool = False


class Vanished(Struct, frozen=True):
    """No container of its is there, although it may have run: the host was restarted."""


class Booted(Struct, frozen=True):
    """The host, or swarmd, has been started anew: what should always run starts."""


Event = (
    StartRequested
    | Started
    | StartFailed
    | StopRequested
    | RestartRequested
    | KillRequested
    | GraceExpired
    | DelayExpired
    | Paused
    | Resumed
    | Released
    | RemoveRequested
    | Removed
    | RemoveFailed
    | Adopted
    | Vanished
    | Booted
    | Exited
    | Examined
)
