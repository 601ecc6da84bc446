"""Pass on what a container prints: to its log, and to whoever is attached.

The container waits for nobody. A pipe that is full when there is something to say belongs to
a reader who is too slow: that one is given up, and whoever opened it is told.
"""

import fcntl
import os
import time
from collections.abc import Callable
from typing import Final

import msgspec

from runtime.io.logfile import LogFile
from runtime.io.polling import Poll
from runtime.spec import Log

STDOUT, STDERR = "stdout", "stderr"
_READ_BYTES = 65536
_LOGS: Final = msgspec.json.Decoder(Log)
_TIOCGPTPEER = 0x5441  # the other side of a terminal, whatever is mounted where it once was


class Output:
    """The reading ends of a container's output. A terminal is one of them, `stdout`.

    `log` is a `Log` as JSON: a container that prints nothing needs none.
    """

    def __init__(self, poll: Poll, log: bytes, *, stdout: int, stderr: int) -> None:
        self._poll = poll
        self._log = log
        self._streams = {stdout: STDOUT} | ({stderr: STDERR} if stderr >= 0 else {})
        self._file: LogFile | None = None
        self._attached: dict[int, dict[str, int]] = {}
        self._given_up: Callable[[int], None] | None = None

    def begin(self) -> None:
        """Pass on what there is from now on.

        A terminal that nobody has open hangs up until somebody opens it again, and whoever
        polls it would spin. So we have it open ourselves.
        """
        for descriptor in self._streams:
            self._poll.watch(descriptor, self._copy)
        if STDERR not in self._streams.values():
            (terminal,) = self._streams
            os.set_blocking(terminal, False)  # for whoever attaches and writes to it
            fcntl.ioctl(terminal, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)

    def attach(
        self, client: int, *, stdout: int, stderr: int, given_up: Callable[[int], None]
    ) -> None:
        """Copy output for `client` from now on. A stream that has ended is closed at once."""
        self._given_up = given_up
        for descriptor in (stdout, stderr):
            os.set_blocking(descriptor, False)
        self._attached[client] = {STDOUT: stdout, STDERR: stderr}
        for ended in {STDOUT, STDERR} - set(self._streams.values()):
            self._close(client, ended)

    def detach(self, client: int) -> None:
        """Copy no more for `client`; one that is not attached is fine."""
        for stream in (STDOUT, STDERR):
            self._close(client, stream)
        self._attached.pop(client, None)

    def drain(self) -> None:
        """Whoever could write is dead, so what is in the pipes is all there will be."""
        for descriptor in list(self._streams):
            os.set_blocking(descriptor, False)
            while self._copy(descriptor):
                pass
        if self._file is not None:
            self._file.close(now_ns=time.time_ns())
        for client in list(self._attached):
            self.detach(client)

    def _copy(self, descriptor: int) -> bool:
        """Pass on what there is to read; whether there may be more."""
        stream = self._streams[descriptor]
        try:
            output = os.read(descriptor, _READ_BYTES)
        except BlockingIOError:
            return False
        if not output:
            self._end(descriptor)
            return False
        if self._file is None:
            self._file = LogFile(_LOGS.decode(self._log))
        self._file.feed(stream, output, now_ns=time.time_ns())
        for client in list(self._attached):
            self._tee(client, stream, output)
        return True

    def _end(self, descriptor: int) -> None:
        self._poll.forget(descriptor)
        stream = self._streams.pop(descriptor)
        for client in self._attached:
            self._close(client, stream)

    def _tee(self, client: int, stream: str, output: bytes) -> None:
        pipe = self._attached[client].get(stream)
        if pipe is None:
            return
        try:
            is_slow = os.write(pipe, output) < len(output)
        except BlockingIOError:
            is_slow = True
        except OSError:  # it does not want this stream any more
            self._close(client, stream)
            return
        if is_slow:
            self.detach(client)
            if self._given_up is not None:
                self._given_up(client)

    def _close(self, client: int, stream: str) -> None:
        pipe = self._attached.get(client, {}).pop(stream, None)
        if pipe is not None:
            os.close(pipe)
