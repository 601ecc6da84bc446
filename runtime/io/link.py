"""Hold the client's end of one shim's socket: one descriptor, no task, no timer.

Reports are handed on as they come. Losing the shim is an event like the others, told once.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable

import msgspec

from runtime import wire

_READ_BYTES = 65536


class Link:
    """`heard` gets every report, and None when the shim is gone."""

    def __init__(self, end: socket.socket, heard: Callable[[wire.Report | None], None]) -> None:
        self._end = end
        self._heard = heard
        self._buffered = b""
        self._loop = asyncio.get_running_loop()
        end.setblocking(False)
        self._loop.add_reader(end.fileno(), self._readable)

    @property
    def is_open(self) -> bool:
        """Whether the shim may still be there."""
        return self._end.fileno() >= 0

    def send_now(self, content: bytes) -> bytes:
        """Send what can be sent without waiting; the rest of `content`."""
        with contextlib.suppress(BlockingIOError):
            return content[self._end.send(content) :]
        return content

    async def send(self, content: bytes) -> None:
        """Write all of `content`; a shim that is gone is reported through `heard` alone."""
        try:
            if content and self.is_open:
                await self._loop.sock_sendall(self._end, content)
        except OSError:
            pass  # the reading side will find the end of file, after what was said before it

    def close(self) -> None:
        """Hear no more."""
        if self.is_open:
            self._loop.remove_reader(self._end.fileno())
            self._end.close()

    def _readable(self) -> None:
        try:
            received = self._end.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        lines, self._buffered = wire.split(self._buffered + received)
        try:
            reports = [wire.decode_report(line) for line in lines]
        except msgspec.DecodeError:
            reports, received = [], b""
        for report in reports:
            if self.is_open:
                self._heard(report)
        if not received and self.is_open:
            self.close()
            self._heard(None)
