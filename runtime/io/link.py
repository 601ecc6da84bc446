"""Hold the client's end of one shim's socket: one descriptor, no task, no timer.

Reports are handed on as they come. Losing the shim is an event like the others, told once.
Descriptors that came with a report belong to whoever takes them while hearing of it.
"""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Callable, Sequence

import msgspec

from runtime import wire

_READ_BYTES = 65536
_PASSED_BYTES = socket.CMSG_SPACE(4 * 2)  # of a network and its pipe


class Link:
    """`heard` gets every report, and None when the shim is gone."""

    def __init__(self, end: socket.socket, heard: Callable[[wire.Report | None], None]) -> None:
        self._end = end
        self._heard = heard
        self._buffered = b""
        self._passed: tuple[int, ...] = ()
        self._loop = asyncio.get_running_loop()
        end.setblocking(False)
        self._loop.add_reader(end.fileno(), self._readable)

    @property
    def is_open(self) -> bool:
        """Whether the shim may still be there."""
        return self._end.fileno() >= 0

    def send_now(self, content: bytes, passed: Sequence[int] = ()) -> bytes:
        """Send what can be sent without waiting, with descriptors; the rest of `content`."""
        if passed:
            return content[socket.send_fds(self._end, [content], passed) :]
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

    def take(self) -> tuple[int, ...]:
        """The descriptors that came with the report; fewer than were sent if we have no room."""
        passed, self._passed = self._passed, ()
        return passed

    def _receive(self) -> bytes:
        try:
            received, ancillary, _, _ = self._end.recvmsg(
                _READ_BYTES, _PASSED_BYTES, socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            raise
        except OSError:
            return b""
        raw = b"".join(each for _, _, each in ancillary)
        self._passed = tuple(
            int.from_bytes(raw[start : start + 4], sys.byteorder) for start in range(0, len(raw), 4)
        )
        return received

    def _readable(self) -> None:
        try:
            received = self._receive()
        except BlockingIOError:
            return
        lines, self._buffered = wire.split(self._buffered + received)
        try:
            reports = [wire.decode_report(line) for line in lines]
        except msgspec.DecodeError:
            reports, received = [], b""
        for report in reports:
            if self.is_open:
                self._heard(report)
        for descriptor in self.take():
            os.close(descriptor)
        if not received and self.is_open:
            self.close()
            self._heard(None)
