"""Send processes into containers, one for each errand, and hear what came of it.

A process that is no longer of use is killed and waited for: whoever comes next finds nothing
mounted, and nobody at work in the container.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress

import msgspec

from agent.standalone.errands import (
    HEAD_BYTES,
    Done,
    Errand,
    Failed,
    Order,
    Outcome,
    Place,
)
from agent.standalone.io.forking import Forked, Forking
from swarm.errors import Invalid, KernelRefused, Refused, SwarmError, Unavailable

_PIECE_BYTES = 1 << 18
_OUTCOMES: msgspec.json.Decoder[Outcome] = msgspec.json.Decoder(Outcome)


class Sent:
    """A process on its errand."""

    def __init__(self, forked: Forked) -> None:
        self._forked = forked

    async def outcome(self) -> Outcome:
        """What came of it, or that it goes well so far. Raises what made it give up."""
        line = await self._forked.output.readline()
        if not line:
            raise await self._failure()
        return _OUTCOMES.decode(line)

    async def pieces(self) -> AsyncGenerator[bytes]:
        """What it packs, once the outcome is known. Raises what made it give up."""
        while piece := await self._forked.output.read(_PIECE_BYTES):
            yield piece
        if await self._forked.ended:
            raise await self._failure()

    async def give(self, pieces: AsyncIterator[bytes]) -> None:
        """Let it have what is to be unpacked; one that gave up early has its reasons."""
        with suppress(ConnectionError):
            async for piece in pieces:
                self._forked.input.write(piece)
                await self._forked.input.drain()
            self._forked.input.write_eof()

    async def _failure(self) -> SwarmError:
        said = await self._forked.errors.read()
        status = await self._forked.ended
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
async def sent(forking: Forking, place: Place, errand: Errand) -> AsyncGenerator[Sent]:
    """Have a process do `errand`; it is gone when the block ends."""
    order = msgspec.json.encode(Order(place=place, errand=errand))
    forked = await forking.fork("errand")
    try:
        with suppress(ConnectionError):
            forked.input.write(b"%0*d" % (HEAD_BYTES, len(order)) + order)
            await forked.input.drain()
        yield Sent(forked)
    finally:
        await forked.end()


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
