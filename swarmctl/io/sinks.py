"""Write to standard output without ever waiting for whoever reads it.

The output is shared with other programs, so it must not be made non-blocking itself. A pipe or
a terminal is opened once more for that, a socket can be asked not to wait, and a file always
takes what it is given. What cannot be opened again gets as little at once as a pipe that is
ready always has room for (pipe(7), PIPE_BUF).
"""

import os
import select
import socket
import stat
from contextlib import suppress

_TIMID_BYTES = 4096
_BOLD_BYTES = 1 << 20


class Sink:
    """One output and what waits for it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._backlog = bytearray()
        self._own: socket.socket | int | None = None
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISSOCK(mode):
            self._own = socket.socket(fileno=os.dup(descriptor))
        elif stat.S_ISFIFO(mode) or os.isatty(descriptor):
            self._own = _opened_again(descriptor)
        waits = self._own is None and not stat.S_ISREG(mode)
        self._portion = _TIMID_BYTES if waits else _BOLD_BYTES
        self._is_ready = not waits

    def fileno(self) -> int:
        """The descriptor to poll for room; a regular file always has some."""
        return self._descriptor

    @property
    def waiting_bytes(self) -> int:
        """What has not been written yet."""
        return len(self._backlog)

    def put(self, data: bytes) -> None:
        """Have `data` written, at once if that cannot block."""
        self._backlog += data
        if self._is_ready and len(self._backlog) == len(data):
            self.write()

    def write(self) -> None:
        """Write what there is room for; raises `BrokenPipeError` when nobody reads."""
        try:
            while self._backlog:
                written = self._write(bytes(memoryview(self._backlog)[: self._portion]))
                del self._backlog[:written]
                if not self._is_ready:
                    return
        except BlockingIOError:
            return

    def finish(self) -> None:
        """Write all that is left, however long that takes."""
        rest, self._backlog = bytes(self._backlog), bytearray()
        room = select.poll()
        room.register(self._descriptor, select.POLLOUT)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:  # somebody else has made it so
                room.poll()

    def close(self) -> None:
        """Let go of what was opened beside the output."""
        if isinstance(self._own, socket.socket):
            self._own.close()
        elif self._own is not None:
            os.close(self._own)

    def _write(self, data: bytes) -> int:
        if isinstance(self._own, socket.socket):
            return self._own.send(data, socket.MSG_DONTWAIT)
        return os.write(self._descriptor if self._own is None else self._own, data)


def _opened_again(descriptor: int) -> int | None:
    """The same pipe or terminal in an open file of our own, which may be non-blocking."""
    flags = os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    with suppress(OSError):
        return os.open(f"/proc/self/fd/{descriptor}", flags)
    return None
