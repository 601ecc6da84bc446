"""Connect a program with whoever called for it, until one of them is gone.

A program belongs to its caller: when the caller goes before it does, whoever's fault that is, the
program is closed. Only one that was left by `detach`, or that may outlive its caller, goes on;
what it then writes is thrown away. A container that is only joined is never touched by any of this.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from enum import Enum
from typing import Protocol

import structlog

from agent.io.conversations import LET_GO_WITHIN_S
from agent.io.joining import Joined
from agent.io.streams import Reader, write_all
from runtime.joining import ExecSpec
from swarm.api.v1 import control_pb2
from swarm.errors import SwarmError

_ROWS, _COLUMNS = 24, 80

Spawn = Callable[[Coroutine[None, None, None]], asyncio.Task[None]]


class Caller(Protocol):
    """Whoever is connected with a program."""

    async def say(self, output: control_pb2.StreamOutput) -> None:
        """Send one message, as soon as there is room for it; dropped if he is gone."""
        ...

    async def conclude(self, output: control_pb2.StreamOutput) -> None:
        """Send the last message."""
        ...

    async def hear(self) -> control_pb2.StreamInput | None:
        """The next thing that he says; None once he is gone."""
        ...


class Parting(Enum):
    """Why nobody listens any more."""

    LEFT = 0
    DETACHED = 1


class Carrying:
    """One program, what is logged of it, and who goes on with it when its caller has gone.

    One that `outlives` its caller goes on however he goes. A caller who `knows` of it already is
    not told that it has started. `told` is told its exit code, if it ends before all have gone,
    and `detached` that its caller has left it.
    """

    def __init__(
        self,
        joined: Joined,
        *,
        spawn: Spawn,
        log: structlog.stdlib.BoundLogger,
        ended: str,
        outlives: bool = False,
        knows: bool = False,
        told: Callable[[int], None] | None = None,
        detached: Callable[[], None] | None = None,
    ) -> None:
        self._joined = joined
        self._spawn = spawn
        self._log = log
        self._ended = ended
        self._outlives = outlives
        self._knows = knows
        self._told = told
        self._detached = detached

    async def carry(self, caller: Caller) -> None:
        """Do so until the program has ended, or its caller is gone."""
        began, end = time.monotonic(), dict[str, object]()
        running = asyncio.ensure_future(_run_out(caller, self._joined, knows=self._knows))
        feeding = asyncio.ensure_future(_feed(caller, self._joined))
        is_kept = False
        try:
            await asyncio.wait({running, feeding}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                end["exit_code"] = code = running.result()
                self._tell(code)
                await caller.conclude(ended(code))
                await asyncio.wait({feeding}, timeout=LET_GO_WITHIN_S)
            elif feeding.result() is Parting.DETACHED:
                end["reason"], is_kept = "the caller detached", self._joined.is_owned
                if self._detached is not None:
                    self._detached()
                await caller.conclude(ended(0))
            else:
                end["reason"], is_kept = "the caller left", self._outlives
        except (SwarmError, asyncio.CancelledError) as err:
            is_kept = self._outlives and not running.done()
            if not end:
                end["reason"] = str(err) or "the call was called off"
            raise
        finally:
            self._log.info(self._ended, seconds=round(time.monotonic() - began, 3), **end)
            if is_kept:
                self._spawn(self._go_on(running, feeding))
            else:
                await _part(self._joined, running, feeding)

    def leave(self) -> None:
        """Let it go on to its end without a caller."""
        self._spawn(self._go_on(asyncio.ensure_future(self._joined.ended())))

    async def _go_on(
        self, running: "asyncio.Future[int]", feeding: "asyncio.Future[Parting] | None" = None
    ) -> None:
        began = time.monotonic()
        try:
            if feeding is not None:
                await _call_off(feeding)
                if self._outlives:
                    await self._joined.end_input()
            code = await running
            self._tell(code)
            seconds = round(time.monotonic() - began, 3)
            self._log.info(self._ended, exit_code=code, seconds=seconds)
        except SwarmError as err:
            self._log.info(self._ended, reason=err.message)
        finally:
            await _part(self._joined, running)

    def _tell(self, code: int) -> None:
        if self._told is not None:
            self._told(code)


async def _run_out(caller: Caller, joined: Joined, *, knows: bool) -> int:
    """Hand on all that the program writes, until it has ended; its exit code."""
    if not knows:
        await caller.say(started(joined))
    readers = [(name, Reader(number)) for name, number in joined.outputs]
    copying = [asyncio.ensure_future(_copy(caller, name, reader)) for name, reader in readers]
    try:
        try:
            code = await joined.ended()
        except SwarmError:
            await _drain(joined, readers, copying)
            raise
        await _drain(joined, readers, copying)
        await joined.settled()
    finally:
        for each in copying:
            each.cancel()
        await asyncio.gather(*copying, return_exceptions=True)
    return code


async def _drain(
    joined: Joined, readers: list[tuple[str, Reader]], copying: "list[asyncio.Task[None]]"
) -> None:
    if not joined.has_last_word:
        for _, reader in readers:
            reader.finish()
    await asyncio.gather(*copying)


async def _copy(caller: Caller, name: str, reader: Reader) -> None:
    async for data in reader.chunks():
        if name == "stderr":
            await caller.say(control_pb2.StreamOutput(stderr=data))
        else:
            await caller.say(control_pb2.StreamOutput(stdout=data))


async def _feed(caller: Caller, joined: Joined) -> Parting:
    """Do with the program what its caller asks for, until that ends."""
    while (asked := await caller.hear()) is not None:
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


async def _part(joined: Joined, *work: "asyncio.Future[int] | asyncio.Future[Parting]") -> None:
    """Close the descriptors once nobody looks at them any more."""
    try:
        for each in work:
            await _call_off(each)
    finally:
        joined.close()


async def _call_off(work: "asyncio.Future[int] | asyncio.Future[Parting]") -> None:
    work.cancel()
    await asyncio.wait((work,))
    if not work.cancelled():
        work.exception()  # it was told already, or nobody is left to hear it


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


def started(joined: Joined) -> control_pb2.StreamOutput:
    """It runs, and this is what it has."""
    return control_pb2.StreamOutput(
        started=control_pb2.StreamStarted(
            tty=joined.tty, open_stdin=joined.stdin >= 0, pid=joined.pid
        )
    )


def ended(code: int) -> control_pb2.StreamOutput:
    """It does not run any more, or not for this caller."""
    return control_pb2.StreamOutput(ended=control_pb2.StreamEnded(exit_code=code))
