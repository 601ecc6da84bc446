"""Speak with the name service over one connection.

Orders leave in the order they were given, and giving them never waits. That the service is gone
shows when it is read from.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Iterable
from pathlib import Path

from agent.dns.io.passing import Inbox, Outbox
from agent.dns.link import SOCKET, Frames, Order, Report, encode
from runtime.io import sockets

_READ_BYTES = 1 << 16


class Connection:
    """A connection. Make it inside a loop, and `close` it in the end."""

    def __init__(self, run_root: Path) -> None:
        """Connect. Raises `OSError` if nobody listens."""
        self._socket = sockets.connect(str(run_root / SOCKET), socket.SOCK_STREAM)
        self._loop = asyncio.get_running_loop()
        self._outbox = Outbox(self._socket)
        self._inbox = Inbox()
        self._waits = False
        self._is_open = True

    def say(self, order: Order, descriptors: Iterable[int] = ()) -> None:
        """Send an order, with copies of descriptors; nothing once it is closed."""
        if not self._is_open:
            return
        self._outbox.put(encode(order), descriptors)
        if not self._waits:
            self._flush()

    def take_pair(self) -> tuple[socket.socket, socket.socket]:
        """The sockets that came with the report at hand. Raises `Invalid` without them."""
        return self._inbox.take_pair()

    async def reports(self) -> AsyncGenerator[Report, None]:
        """What the service says until it is gone. Raises `Invalid` if that makes no sense."""
        frames = Frames()
        while received := await self._receive():
            for report in frames.reports(received):
                yield report

    def close(self) -> None:
        """Hang up; done twice is fine."""
        self._is_open = False
        self._wait(False)
        self._socket.close()
        self._outbox.close()
        self._inbox.close()

    async def _receive(self) -> bytes:
        while True:
            try:
                return self._inbox.receive(self._socket, _READ_BYTES)
            except BlockingIOError:
                await self._readable()
            except OSError:
                return b""

    async def _readable(self) -> None:
        ready: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(self._socket, _settle, ready)
        try:
            await ready
        finally:
            self._loop.remove_reader(self._socket)

    def _flush(self) -> None:
        is_done = True
        with contextlib.suppress(OSError):
            is_done = self._outbox.flush()
        self._wait(not is_done)

    def _wait(self, waits: bool) -> None:
        if waits and not self._waits:
            self._loop.add_writer(self._socket, self._flush)
        elif not waits and self._waits:
            self._loop.remove_writer(self._socket)
        self._waits = waits


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
