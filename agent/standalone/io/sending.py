"""Send processes into containers, one for each errand, and hear what came of it.

A process that is no longer of use is killed and waited for: whoever comes next finds nothing
mounted, and nobody at work in the container.
"""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec

import agent
from agent.standalone.errands import (
    HEAD_BYTES,
    Done,
    Errand,
    Failed,
    Order,
    Outcome,
    Place,
)
from swarm.errors import Invalid, KernelRefused, Refused, SwarmError, Unavailable

_ROOT = str(Path(agent.__file__).parents[1])
_LINE_BYTES = 1 << 20
_PIECE_BYTES = 1 << 18
_OUTCOMES: msgspec.json.Decoder[Outcome] = msgspec.json.Decoder(Outcome)


class Sent:
    """A process on its errand."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def outcome(self) -> Outcome:
        """What came of it, or that it goes well so far. Raises what made it give up."""
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise await self._failure()
        return _OUTCOMES.decode(line)

    async def pieces(self) -> AsyncGenerator[bytes]:
        """What it packs, once the outcome is known. Raises what made it give up."""
        assert self._process.stdout is not None
        while piece := await self._process.stdout.read(_PIECE_BYTES):
            yield piece
        if await self._process.wait():
            raise await self._failure()

    async def give(self, pieces: AsyncIterator[bytes]) -> None:
        """Let it have what is to be unpacked; one that gave up early has its reasons."""
        stdin = self._process.stdin
        assert stdin is not None
        with suppress(BrokenPipeError, ConnectionResetError):
            async for piece in pieces:
                stdin.write(piece)
                await stdin.drain()
        stdin.close()

    async def _failure(self) -> SwarmError:
        assert self._process.stderr is not None
        said = await self._process.stderr.read()
        status = await self._process.wait()
        try:
            failed = msgspec.json.decode(said, type=Failed)
        except msgspec.MsgspecError:
            words = said.decode(errors="replace").strip().rpartition("\n")[2][:300]
            return Unavailable(
                f"the process for this container's files ended with {status}: {words or 'no word'}",
                hint="try again; out of memory looks like this too",
            )
        return failure(failed)


@asynccontextmanager
async def sent(place: Place, errand: Errand) -> AsyncGenerator[Sent]:
    """Have a process do `errand`; it is gone when the block ends."""
    order = msgspec.json.encode(Order(place=place, errand=errand))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "agent.standalone.io.errand",
        str(os.getpid()),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": _ROOT},
        limit=_LINE_BYTES,
    )
    try:
        assert process.stdin is not None
        with suppress(BrokenPipeError, ConnectionResetError):
            process.stdin.write(b"%0*d" % (HEAD_BYTES, len(order)) + order)
            await process.stdin.drain()
        yield Sent(process)
    finally:
        await asyncio.shield(asyncio.ensure_future(_end(process)))


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
    await process.communicate()


def failure(failed: Failed) -> SwarmError:
    """What to raise of it."""
    if failed.is_gone:
        return Unavailable(failed.message, hint=failed.hint)
    if failed.is_refused:
        return Refused(failed.message, hint=failed.hint)
    if failed.errno:
        return KernelRefused("container files", failed.errno, failed.message, hint=failed.hint)
    return Invalid(failed.message, hint=failed.hint)


def done(outcome: Outcome, missing: SwarmError) -> Done:
    """What was done; raises `missing` when nothing was there, or what went wrong."""
    match outcome:
        case Done():
            return outcome
        case Failed():
            raise failure(outcome)
        case _:
            raise missing
