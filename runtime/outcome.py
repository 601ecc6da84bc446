"""Say what became of a container: started, running, healthy or not, exited.

Times are seconds since the epoch. `pid` is the host's number for the container's process 1,
and `pid_started_ticks` (field 22 of /proc/PID/stat) tells it from a later process that was
given the same number.
"""

from enum import Enum

from msgspec import Struct


class Started(Struct, frozen=True, kw_only=True):
    """The container's program runs: its exec succeeded."""

    container_id: str
    pid: int
    started_at: float


class Exited(Struct, frozen=True, kw_only=True):
    """Process 1 ended. `signal` is 0 unless one ended it, and `exit_code` then 128 more.

    `message` is empty unless there is more to say, such as that the shim was lost.
    """

    container_id: str
    exit_code: int
    signal: int = 0
    oom_killed: bool = False
    message: str = ""
    finished_at: float = 0.0


class ContainerState(Struct, frozen=True, kw_only=True):
    """What is known of a container; it runs while `exited` is None."""

    container_id: str
    pid: int
    pid_started_ticks: int
    started_at: float
    exited: Exited | None = None


class HealthStatus(Enum):
    """Whether a program does its work, as far as its health check can tell."""

    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


class HealthChanged(Struct, frozen=True, kw_only=True):
    """The status, or the number of failures in a row, is another than before."""

    container_id: str
    status: HealthStatus
    failing_streak: int = 0


class HealthResult(Struct, frozen=True, kw_only=True):
    """One check. `exit_code` is -1 when there was none: not started, or out of time.

    `output` is what it printed, the first 4096 bytes of it.
    """

    started_at: float
    finished_at: float
    exit_code: int
    output: str = ""


class KeptResult(Struct, frozen=True):
    """A result as it is kept, with what was known after it; `number` counts the checks."""

    number: int
    status: HealthStatus
    failing_streak: int
    result: HealthResult


class HealthRecord(Struct, frozen=True, kw_only=True):
    """What is kept of a container's health; `results` has the newest last, five at most."""

    status: HealthStatus = HealthStatus.STARTING
    failing_streak: int = 0
    results: tuple[HealthResult, ...] = ()
