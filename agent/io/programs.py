"""Run programs in this node's containers for callers far away, and join those that run.

A program belongs to its caller: when the conversation ends before it does, whoever's fault
that is, the program is killed. Only one that was started or left by `detach` goes on; what
it then writes to a terminal is thrown away. Containers are never touched by any of this.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from enum import Enum
from typing import Protocol

import structlog

from agent.io.conversations import LET_GO_WITHIN_S, Talk
from agent.io.joining import Attached, Executed, Joined
from agent.io.streams import Reader, write_all
from runtime.io.attachment import Attachment
from runtime.io.execution import Exec
from runtime.joining import ExecSpec
from swarm.api.v1 import control_pb2, dispatch_pb2
from swarm.errors import Invalid, SwarmError
from swarm.ids import TaskId

_ROWS, _COLUMNS = 24, 80


class Runtime(Protocol):
    """What runs programs in containers; a container has the id of its task."""

    async def exec(self, container_id: str, spec: ExecSpec) -> Exec:
        """Run a program; raises `Missing` if the container does not run, `KernelRefused`."""
        ...

    async def attach(self, container_id: str) -> Attachment:
        """Join a container's own program."""
        ...

    async def kill(self, container_id: str, signal: int) -> None:
        """Send a signal to process 1."""
        ...


class Parting(Enum):
    """Why nobody listens any more."""

    LEFT = 0
    DETACHED = 1


Require = Callable[[TaskId], None]
Spawn = Callable[[Coroutine[None, None, None]], asyncio.Task[None]]


class Programs:
    """Answers `exec` and `attach`. `require` refuses tasks that this node does not run."""

    def __init__(
        self,
        runtime: Runtime,
        *,
        require: Require,
        spawn: Spawn,
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._runtime = runtime
        self._require = require
        self._spawn = spawn
        self._log = log

    async def respond(self, talk: Talk, question: dispatch_pb2.Question) -> None:
        """Serve one program to its end or its caller's."""
        begin = question.stream
        match begin.WhichOneof("message"):
            case "exec":
                await self._exec(talk, begin.exec)
            case "attach":
                await self._attach(talk, begin.attach)
            case _:
                raise Invalid("a stream begins with `exec` or `attach`")

    async def _exec(self, talk: Talk, start: control_pb2.ExecStart) -> None:
        task_id = TaskId(start.task)
        self._require(task_id)
        program = await self._runtime.exec(task_id, exec_spec(start))
        log = self._log.bind(task_id=task_id, caller=start.caller, args=list(start.args))
        log.info(
            "task.exec_started",
            pid=program.pid,
            user=start.user,
            tty=start.tty,
            privileged=start.privileged,
            detach=start.detach,
        )
        joined = Executed(program)
        if not start.detach:
            await self._carry(talk, joined, log, "task.exec_ended")
            return
        self._spawn(_see_out(joined, asyncio.ensure_future(joined.ended()), log))
        await talk.say(stream=_started(joined))
        await talk.conclude(stream=_ended(0))

    async def _attach(self, talk: Talk, start: control_pb2.AttachStart) -> None:
        task_id = TaskId(start.task)
        self._require(task_id)
        attachment = await self._runtime.attach(task_id)
        log = self._log.bind(task_id=task_id, caller=start.caller)
        log.info("task.attach_started")
        joined = Attached(attachment, self._runtime, may_write=start.open_stdin)
        if start.HasField("size"):
            joined.resize(start.size.rows, start.size.columns)
        await self._carry(talk, joined, log, "task.attach_ended")

    async def _carry(
        self, talk: Talk, joined: Joined, log: structlog.stdlib.BoundLogger, event: str
    ) -> None:
        """Connect the program with its caller until one of them is gone."""
        began, end = time.monotonic(), dict[str, object]()
        running = asyncio.ensure_future(_run_out(talk, joined))
        feeding = asyncio.ensure_future(_feed(talk, joined))
        is_kept = False
        try:
            await asyncio.wait({running, feeding}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                end["exit_code"] = code = running.result()
                await talk.conclude(stream=_ended(code))
                await asyncio.wait({feeding}, timeout=LET_GO_WITHIN_S)
            elif feeding.result() is Parting.DETACHED:
                end["reason"], is_kept = "the caller detached", True
                await talk.conclude(stream=_ended(0))
            else:
                end["reason"] = "the caller left"
        except (SwarmError, asyncio.CancelledError) as err:
            if not end:
                end["reason"] = str(err) or "the call was called off"
            raise
        finally:
            log.info(event, seconds=round(time.monotonic() - began, 3), **end)
            if is_kept:
                self._spawn(_see_out(joined, running, log))
            else:
                await _part(joined, running, feeding)


async def _run_out(talk: Talk, joined: Joined) -> int:
    """Hand on all that the program writes, until it has ended; its exit code."""
    await talk.say(stream=_started(joined))
    readers = [(name, Reader(number)) for name, number in joined.outputs]
    copying = [asyncio.ensure_future(_copy(talk, name, reader)) for name, reader in readers]
    try:
        try:
            code = await joined.ended()
        except SwarmError:
            await _drain(readers, copying)
            raise
        await _drain(readers, copying)
    finally:
        for each in copying:
            each.cancel()
        await asyncio.gather(*copying, return_exceptions=True)
    return code


async def _drain(readers: list[tuple[str, Reader]], copying: "list[asyncio.Task[None]]") -> None:
    for _, reader in readers:
        reader.finish()
    await asyncio.gather(*copying)


async def _copy(talk: Talk, name: str, reader: Reader) -> None:
    async for data in reader.chunks():
        if name == "stderr":
            await talk.say(stream=control_pb2.StreamOutput(stderr=data))
        else:
            await talk.say(stream=control_pb2.StreamOutput(stdout=data))


async def _feed(talk: Talk, joined: Joined) -> Parting:
    """Do with the program what its caller asks for, until that ends."""
    while (question := await talk.hear()) is not None:
        asked = question.stream
        match asked.WhichOneof("message"):
            case "stdin":
                await write_all(lambda: joined.stdin, asked.stdin)
            case "stdin_end":
                await joined.end_input()
            case "size":
                joined.resize(asked.size.rows, asked.size.columns)
            case "signal":
                with contextlib.suppress(SwarmError):  # it has ended, or there is no such signal
                    await joined.signal(asked.signal)
            case "detach":
                return Parting.DETACHED
            case _:
                pass
    return Parting.LEFT


async def _see_out(
    joined: Joined, running: "asyncio.Future[int]", log: structlog.stdlib.BoundLogger
) -> None:
    """Let a program without a caller go on to its end."""
    began = time.monotonic()
    try:
        code = await running
        log.info("task.exec_ended", exit_code=code, seconds=round(time.monotonic() - began, 3))
    except SwarmError as err:
        log.info("task.exec_ended", reason=err.message)
    finally:
        await _part(joined, running)


async def _part(joined: Joined, *work: "asyncio.Future[int] | asyncio.Future[Parting]") -> None:
    """Close the descriptors once nobody looks at them any more."""
    try:
        for each in work:
            each.cancel()
            await asyncio.wait((each,))
            if not each.cancelled():
                each.exception()  # it was told already, or nobody is left to hear it
    finally:
        joined.close()


def exec_spec(start: control_pb2.ExecStart) -> ExecSpec:
    """What the runtime is told of a program that somebody wants to run."""
    return ExecSpec(
        args=tuple(start.args),
        env=tuple(start.env),
        workdir=start.workdir,
        user=start.user,
        stdin=start.open_stdin,
        tty=start.tty,
        rows=start.size.rows or _ROWS,
        columns=start.size.columns or _COLUMNS,
        privileged=start.privileged,
        detach=start.detach,
    )


def _started(joined: Joined) -> control_pb2.StreamOutput:
    started = control_pb2.StreamStarted(tty=joined.tty, open_stdin=joined.stdin >= 0)
    return control_pb2.StreamOutput(started=started)


def _ended(code: int) -> control_pb2.StreamOutput:
    return control_pb2.StreamOutput(ended=control_pb2.StreamEnded(exit_code=code))
