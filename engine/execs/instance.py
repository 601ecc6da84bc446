"""Keep what is known of programs that were described, run or have ended in containers.

Docker's clients describe a program first and start it with a second request, which may come from
somebody else. Nothing of this outlives us: Docker's daemon forgets it with its end, too. Those
that have ended are kept for a while, since clients ask for the exit code afterwards.
"""

from collections.abc import Iterable
from enum import Enum

from msgspec import Struct

from engine.replies import JsonObject
from engine.wire.containers import ExecJson
from swarm.errors import Missing, Refused

KEPT_S = 600.0
MOST = 10_000


class Stage(Enum):
    """How far a program is; forward only."""

    DESCRIBED = 0
    RUNNING = 1
    ENDED = 2


class Instance(Struct, kw_only=True):
    """One program. `exit_code` and `ended_at` are of those that have ended."""

    id: str
    container_id: str
    asked: ExecJson
    command: tuple[str, ...]
    stage: Stage = Stage.DESCRIBED
    pid: int = 0
    exit_code: int | None = None
    described_at: float = 0.0
    ended_at: float = 0.0


class Execs:
    """All of them."""

    def __init__(self) -> None:
        self._instances: dict[str, Instance] = {}

    def add(self, instance: Instance, *, now: float) -> None:
        """Keep a new one, and forget what nobody asks for any more."""
        self._forget(now)
        instance.described_at = now
        self._instances[instance.id] = instance

    def get(self, exec_id: str) -> Instance:
        """The one that an id means; raises `Missing`."""
        found = self._instances.get(exec_id)
        if found is None:
            raise Missing(f"No such exec instance: {exec_id}")
        return found

    def of_container(self, container_id: str) -> list[str]:
        """Those of a container that have not ended."""
        return [
            each.id
            for each in self._instances.values()
            if each.container_id == container_id and each.stage is not Stage.ENDED
        ]

    def start(self, exec_id: str) -> Instance:
        """Let one run, which is done once; raises `Missing` or `Refused`."""
        found = self.get(exec_id)
        if found.stage is not Stage.DESCRIBED:
            how = "already running" if found.stage is Stage.RUNNING else "over: it has already run"
            raise Refused(f"Exec command {exec_id} is {how}")
        found.stage = Stage.RUNNING
        return found

    def end(self, instance: Instance, exit_code: int, *, now: float) -> None:
        """It has ended."""
        instance.stage, instance.exit_code, instance.ended_at = Stage.ENDED, exit_code, now

    def _forget(self, now: float) -> None:
        old = [each for each in self._instances.values() if _is_old(each, now)]
        if len(self._instances) - len(old) >= MOST:
            old += self._oldest(len(self._instances) - len(old) - MOST + 1, kept=old)
        for each in old:
            del self._instances[each.id]

    def _oldest(self, count: int, *, kept: Iterable[Instance]) -> list[Instance]:
        gone = {each.id for each in kept}
        idle = (
            each
            for each in self._instances.values()
            if each.stage is not Stage.RUNNING and each.id not in gone
        )
        return [each for each, _ in zip(idle, range(count), strict=False)]


def _is_old(instance: Instance, now: float) -> bool:
    return instance.stage is Stage.ENDED and now - instance.ended_at > KEPT_S


def write_instance(instance: Instance) -> JsonObject:
    """One program, as clients read it."""
    asked, (program, *arguments) = instance.asked, instance.command
    process: JsonObject = {
        "tty": asked.tty,
        "entrypoint": program,
        "arguments": arguments,
        "privileged": asked.privileged,
    }
    if asked.user:
        process["user"] = asked.user
    return {
        "ID": instance.id,
        "Running": instance.stage is Stage.RUNNING,
        "ExitCode": instance.exit_code,
        "ProcessConfig": process,
        "OpenStdin": asked.attach_stdin,
        "OpenStderr": asked.attach_stderr,
        "OpenStdout": asked.attach_stdout,
        "CanRemove": instance.stage is Stage.ENDED,
        "ContainerID": instance.container_id,
        "DetachKeys": "",
        "Pid": instance.pid,
    }
