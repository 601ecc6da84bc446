"""Say what became of a container: started, running, exited.

Times are seconds since the epoch. `pid` is the host's number for the container's process 1,
and `pid_started_ticks` (field 22 of /proc/PID/stat) tells it from a later process that was
given the same number.
"""

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
