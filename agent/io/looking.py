"""Show a container's processes, and hold them still or let them go on."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import structlog

from agent import processes
from agent.description import memory_bytes
from agent.io.conversations import Talk
from agent.processes import Clock, Process
from swarm.api.v1 import control_pb2, dispatch_pb2
from swarm.ids import TaskId

_LONGEST_COMMAND = 1 << 16


class Runtime(Protocol):
    """What knows the processes of containers; a container has the id of its task."""

    async def processes(self, container_id: str) -> list[int]:
        """The host's pids; raises `Missing`."""
        ...

    async def pause(self, container_id: str) -> None:
        """Freeze all; doing it twice is fine."""
        ...

    async def resume(self, container_id: str) -> None:
        """Thaw all."""
        ...


class Looking:
    """Answers `processes` and `pause`. `require` refuses tasks that this node does not run."""

    def __init__(
        self,
        runtime: Runtime,
        *,
        require: Callable[[TaskId], None],
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._runtime = runtime
        self._require = require
        self._log = log

    async def processes(self, talk: Talk, question: dispatch_pb2.Question) -> None:
        """List the processes of a container."""
        task_id = TaskId(question.processes.task_id)
        self._require(task_id)
        found = look(await self._runtime.processes(task_id))
        answer = control_pb2.ListProcessesResponse(
            processes=[_message(each) for each in found],
            at=time.time(),
            memory_bytes=memory_bytes(_read("/proc/meminfo")),
        )
        await talk.conclude(processes=answer)

    async def pause(self, talk: Talk, question: dispatch_pb2.Question) -> None:
        """Hold a container still, or let it go on."""
        asked = question.pause
        task_id = TaskId(asked.task_id)
        self._require(task_id)
        if asked.paused:
            await self._runtime.pause(task_id)
        else:
            await self._runtime.resume(task_id)
        event = "task.paused" if asked.paused else "task.unpaused"
        self._log.info(event, task_id=task_id, caller=asked.caller)
        await talk.conclude(paused=control_pb2.PauseTaskResponse())


def look(pids: list[int]) -> list[Process]:
    """These processes as they are now; those that ended meanwhile are left out."""
    users = processes.user_names(_read("/etc/passwd"))
    clock = Clock(
        booted_at=processes.boot_time(_read("/proc/stat")),
        ticks_per_s=os.sysconf("SC_CLK_TCK"),
        page_bytes=os.sysconf("SC_PAGESIZE"),
    )
    found: list[Process] = []
    for pid in sorted(pids):
        directory = Path(f"/proc/{pid}")
        try:
            found.append(
                processes.read_process(
                    (directory / "stat").read_text(errors="replace"),
                    (directory / "status").read_text(errors="replace"),
                    _beginning(directory / "cmdline"),
                    users=users,
                    clock=clock,
                )
            )
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def _message(found: Process) -> control_pb2.Process:
    message = control_pb2.Process()
    for name in found.__struct_fields__:
        value = getattr(found, name)
        if name == "args":
            message.args.extend(value)
        else:
            setattr(message, name, value)
    return message


def _beginning(path: Path) -> bytes:
    with path.open("rb") as source:
        return source.read(_LONGEST_COMMAND)


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""
