"""Say what happened to a task of this node."""

from msgspec import Struct

from swarm.specs import Port
from swarm.states import HealthState


class Assigned(Struct, frozen=True, kw_only=True):
    """A manager gave us the task, maybe not for the first time.

    It `is_attached` to networks of the swarm, although it may not have been so before.
    """

    is_attached: bool = False


class Adopted(Struct, frozen=True, kw_only=True):
    """Its container runs already: an agent before us started it.

    `is_checked` says that it has a health check, and `was_running` that it passed it before;
    `ports` are those of the node that it has.
    """

    pid: int
    started_at: float
    is_checked: bool = False
    was_running: bool = False
    ports: tuple[Port, ...] = ()


class Vanished(Struct, frozen=True, kw_only=True):
    """It ran once, but no trace of its container is left."""


class StopRequested(Struct, frozen=True, kw_only=True):
    """The manager wants it stopped, and to hear how it ended."""


class Withdrawn(Struct, frozen=True, kw_only=True):
    """The manager no longer knows it: stop it, and leave nothing behind."""


class Delayed(Struct, frozen=True, kw_only=True):
    """Its preparation waits for somebody else, and `reason` says for what."""

    reason: str


class Prepared(Struct, frozen=True, kw_only=True):
    """Image and volumes are there."""


class PrepareFailed(Struct, frozen=True, kw_only=True):
    """This node cannot run it, and `reason` says why."""

    reason: str


class Started(Struct, frozen=True, kw_only=True):
    """Its first process runs; with `is_checked` a health check will say when it is of use.

    `ports` are those of the node that it has.
    """

    pid: int
    started_at: float
    is_checked: bool = False
    ports: tuple[Port, ...] = ()


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


class Examined(Struct, frozen=True, kw_only=True):
    """Its health check has found out something new; `output` is what the last one printed."""

    health: HealthState
    failing_streak: int = 0
    output: str = ""


class Left(Struct, frozen=True, kw_only=True):
    """Whoever could call it had the time to hear that it ends."""


class GraceExpired(Struct, frozen=True, kw_only=True):
    """The time is over that it had to stop by itself."""


Event = (
    Assigned
    | Adopted
    | Vanished
    | StopRequested
    | Withdrawn
    | Delayed
    | Prepared
    | PrepareFailed
    | Started
    | StartFailed
    | Abandoned
    | Exited
    | Examined
    | Left
    | GraceExpired
)
