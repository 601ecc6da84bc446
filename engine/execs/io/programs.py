"""Run programs in containers for clients, who may leave without ending them.

A program belongs to us, not to the connection of whoever started it: it goes on when he leaves, as
with Docker's daemon, and its exit code is kept. If we end it goes on, too, unseen.
"""

import asyncio
import contextlib
import time
from collections.abc import Coroutine

import structlog

from engine.execs.instance import Execs, Instance
from engine.execs.outcomes import exit_code_of
from engine.io.backends import Backends, ending
from engine.io.lines import Line
from swarm.api.v1 import control_pb2
from swarm.errors import SwarmError

_AHEAD = 4
_LOST_CODE = 137  # of a program whose end nobody could tell us


class Program:
    """One that runs. `outputs` yields what it writes, while its viewer stays."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.started.add_done_callback(_look_at)
        self._outputs: asyncio.Queue[control_pb2.StreamOutput | None] = asyncio.Queue(_AHEAD)
        self._is_watched = True

    async def output(self) -> control_pb2.StreamOutput | None:
        """The next piece; None at the end."""
        return await self._outputs.get()

    def leave(self) -> None:
        """Nobody reads its output any more, and nothing more is written to it."""
        self._is_watched = False
        while not self._outputs.empty():
            self._outputs.get_nowait()
        self.line.tell(control_pb2.StreamInput(stdin_end=control_pb2.StdinEnd()))

    async def show(self, piece: control_pb2.StreamOutput | None) -> None:
        """Hand a piece on to the viewer, if there is one."""
        if self._is_watched:
            await self._outputs.put(piece)


class Programs:
    """Those that run in this node's containers."""

    def __init__(self, backends: Backends, execs: Execs, log: structlog.stdlib.BoundLogger) -> None:
        self._backends = backends
        self._execs = execs
        self._log = log
        self._running: dict[str, Program] = {}
        self._sizes: dict[str, tuple[int, int]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self, instance: Instance, start: control_pb2.ExecStart) -> Program:
        """Start it; see `Program.started` for whether it came to run."""
        program = Program(Line(control_pb2.StreamInput(exec=start)))
        self._running[instance.id] = program
        if size := self._sizes.pop(instance.id, None):
            program.line.resize(*size)
        self._spawn(self._run(instance, program))
        return program

    def resize(self, instance: Instance, rows: int, columns: int) -> None:
        """Tell the size of its terminal, once it has one."""
        program = self._running.get(instance.id)
        if program is None:
            self._sizes[instance.id] = (rows, columns)
        else:
            program.line.resize(rows, columns)

    async def close(self) -> None:
        """Leave all as they are."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, instance: Instance, program: Program) -> None:
        code = _LOST_CODE
        try:
            call = self._backends.containers.ExecInContainer(program.line.requests())
            async with ending(call) as answers:
                async for answer in answers:
                    match answer.WhichOneof("message"):
                        case "started":
                            instance.pid = answer.started.pid
                            if not program.started.done():
                                program.started.set_result(None)
                        case "ended":
                            code = answer.ended.exit_code
                        case _:
                            await program.show(answer)
        except SwarmError as err:
            if not program.started.done():
                code = exit_code_of(err, instance.command[0])
                program.started.set_exception(err)
            else:
                self._log.warning("exec.lost", exec_id=instance.id, reason=err.message)
        finally:
            # Whoever sees the end of the output asks for the exit code next.
            self._execs.end(instance, code, now=time.time())
            self._running.pop(instance.id, None)
            self._sizes.pop(instance.id, None)
            if not program.started.done():
                program.started.cancel()
        await program.show(None)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _look_at(future: "asyncio.Future[None]") -> None:
    with contextlib.suppress(asyncio.CancelledError):
        future.exception()
