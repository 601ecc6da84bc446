"""Start a build's worker, give it orders and understand its answers."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import msgspec

import agent
from agent.build.orders import Answer, Order, Unpack
from agent.images.io.disk import FULL
from swarm.errors import Invalid, KernelRefused, Refused, Unavailable

_ROOT = str(Path(agent.__file__).parents[1])
_ANSWER_LIMIT_BYTES = 256 << 20
_PIPE_BYTES = 1 << 20


class Worker:
    """One process that touches files for one build. `start` it, and `close` it in the end."""

    def __init__(self, process: asyncio.subprocess.Process, link: socket.socket) -> None:
        self._process = process
        self._link = link
        self._turn = asyncio.Lock()
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    @property
    def is_alive(self) -> bool:
        """Whether it can still be asked anything."""
        return self._process.returncode is None

    async def ask(self, order: Order) -> Answer:
        """Have something done. Raises `Invalid`, `Refused`, `KernelRefused` or `Unavailable`."""
        async with self._turn:
            reader, writer = await self._streams()
            try:
                writer.write(msgspec.json.encode(order) + b"\n")
                await writer.drain()
                line = await reader.readline()
            except (ConnectionError, ValueError) as err:
                raise await self._gone() from err
            except BaseException:
                self.kill()  # the answer of an order that nobody waits for is the next one's
                raise
        if not line:
            raise await self._gone()
        answer = msgspec.json.decode(line, type=Answer)
        if failed := answer.failed:
            if failed.errno:
                raise _kernel_refused(order, failed.errno, failed.message)
            kind = Refused if failed.is_refused else Invalid
            raise kind(failed.message, hint=failed.hint)
        return answer

    async def unpack(self, chunks: AsyncIterator[bytes], order: Unpack) -> Answer:
        """Unpack what arrives; its input is closed afterwards."""
        feeding = asyncio.ensure_future(self._feed(chunks))
        asking = asyncio.ensure_future(self.ask(order))
        try:
            await asyncio.wait((feeding, asking), return_when=asyncio.FIRST_COMPLETED)
            if feeding.done() and not asking.done():
                feeding.result()
            return await asking
        finally:
            for each in (feeding, asking):
                each.cancel()
            await asyncio.gather(feeding, asking, return_exceptions=True)

    def kill(self) -> None:
        """End it at once."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()

    async def close(self) -> None:
        """End it, and wait until it is gone with all its mounts."""
        self.kill()
        if self._writer is not None:
            self._writer.close()
        else:
            self._link.close()
        await self._process.wait()

    async def _streams(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(
                sock=self._link, limit=_ANSWER_LIMIT_BYTES
            )
        return self._reader, self._writer

    async def _feed(self, chunks: AsyncIterator[bytes]) -> None:
        """Write `chunks`; a worker that has seen enough closes its end, and answers."""
        stdin = self._process.stdin
        assert stdin is not None
        stdin.transport.set_write_buffer_limits(high=_PIPE_BYTES)
        async for chunk in chunks:
            try:
                stdin.write(chunk)
                await stdin.drain()
            except (BrokenPipeError, ConnectionResetError):
                return
        stdin.close()

    async def _gone(self) -> Unavailable:
        self.kill()
        status = await self._process.wait()
        said = ""
        if self._process.stderr is not None:
            errors = await self._process.stderr.read()
            said = errors.decode(errors="replace").strip().rpartition("\n")[2][:300]
        return Unavailable(
            f"the build's worker ended with status {status}: {said or 'no word'}",
            hint="try again; out of memory looks like this too",
        )


async def start(own: Path, readable: Path) -> Worker:
    """A worker that sees the build's directory `own` and can read `readable`."""
    ours, theirs = socket.socketpair()
    try:
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "agent.build.io.worker",
                str(os.getpid()),
                str(own),
                str(readable),
                str(theirs.fileno()),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                pass_fds=(theirs.fileno(),),
                env={**os.environ, "PYTHONPATH": _ROOT},
            )
    except BaseException:
        ours.close()
        raise
    return Worker(process, ours)


def _kernel_refused(order: Order, errno: int, message: str) -> KernelRefused:
    step = type(order).__name__.lower()
    hint = "look at the disk of the data root"
    if errno in FULL:
        hint = "free space on the disk of the data root: remove images, or prune the build cache"
    return KernelRefused(f"build: {step}", errno, message, hint=hint)
