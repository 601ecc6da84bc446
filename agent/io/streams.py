"""Move bytes between descriptors and whoever is far away, never faster than both can.

Nothing is kept: a chunk is read when the one before it is gone, and a program whose output
nobody takes stops in its own write, as it would at home. The descriptors must not block.
"""

import asyncio
import contextlib
import errno
import fcntl
import os
from collections.abc import AsyncGenerator, Callable

CHUNK_BYTES = 1 << 18
# What a pipe can hold: all that a program has left behind when it is gone.
_LEFT_BEHIND_BYTES = 1 << 20


def widen(descriptor: int) -> None:
    """Let a pipe hold a whole chunk: a gigabyte then takes a quarter of the messages."""
    with contextlib.suppress(OSError):  # no pipe, or more than the host allows
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, CHUNK_BYTES)


class Reader:
    """What can be read of a descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._wake = asyncio.Event()
        self._left: int | None = None

    def finish(self) -> None:
        """The writer is gone: read what it has left, and do not wait for more.

        Others may hold the descriptor's other end for ever, such as a program that was sent
        to the background.
        """
        self._left = _LEFT_BEHIND_BYTES
        self._wake.set()

    async def chunks(self) -> AsyncGenerator[bytes]:
        """All that is written, as it comes."""
        while self._left is None or self._left > 0:
            try:
                data = os.read(self._descriptor, CHUNK_BYTES)
            except BlockingIOError:
                if self._left is not None:
                    return
                await self._readable()
                continue
            except OSError as err:
                if err.errno != errno.EIO:  # how a terminal says that nobody is left on it
                    raise
                return
            if not data:
                return
            if self._left is not None:
                self._left -= len(data)
            yield data

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        self._wake.clear()
        if self._left is not None:
            return
        loop.add_reader(self._descriptor, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            loop.remove_reader(self._descriptor)


async def write_all(descriptor: Callable[[], int], data: bytes) -> bool:
    """Write `data`; False when nobody reads it any more.

    The descriptor is asked for before every write: it is negative once it is closed.
    """
    rest = memoryview(data)
    while rest:
        number = descriptor()
        if number < 0:
            return False
        try:
            rest = rest[os.write(number, rest) :]
        except BlockingIOError:
            await _writable(number)
        except OSError:
            return False
    return True


async def _writable(descriptor: int) -> None:
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_writer(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_writer(descriptor)
