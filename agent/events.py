"""Say what happened to a task of this node."""

from msgspec import Struct


class Assigned(Struct, frozen=True, kw_only=True):
    """A manager gave us the task."""


class Adopted(Struct, frozen=True, kw_only=True):
    """Its container runs already: an agent before us started it."""

    pid: int
    started_at: float


class Vanished(Struct, frozen=True, kw_only=True):
    """It ran once, but no trace of its container is left."""


class StopRequested(Struct, frozen=True, kw_only=True):
    """The manager wants it stopped, and to hear how it ended."""


class Withdrawn(Struct, frozen=True, kw_only=True):
    """The manager no longer knows it: stop it, and leave nothing behind."""


class Prepared(Struct, frozen=True, kw_only=True):
    """Image and volumes are there."""


class PrepareFailed(Struct, frozen=True, kw_only=True):
    """This node cannot run it, and `reason` says why."""

    reason: str


class Started(Struct, frozen=True, kw_only=True):
    """Its first process runs."""

    pid: int
    started_at: float


class StartFailed(Struct, frozen=True, kw_only=True):
    """Its container did not come to be; nothing of it is left."""

    reason: str


class Abandoned(Struct, frozen=True, kw_only=True):
    """The work under way was given up before it did anything."""


class Exited(Struct, frozen=True, kw_only=True):
    """Its first process ended; `exit_code` is 128 more than the signal that ended it."""

    exit_code: int
    oom_killed: bool = False
    message: str = ""
    finished_at: float = 0.0


class GraceExpired(Struct, frozen=True, kw_only=True):
    """The time is over that it had to stop by itself."""


Event = (
    Assigned
    | Adopted
    | Vanished
    | StopRequested
    | Withdrawn
    | Prepared
    | PrepareFailed
    | Started
    | StartFailed
    | Abandoned
    | Exited
    | GraceExpired
)
