"""Pass on what a container prints: to its log, and to whoever is attached.

A pipe that is full when there is something to say belongs to a reader who is slow. Most of them
are given up then, and whoever opened the pipe is told. Those that are waited for are not: what
they had no room for is kept, and no more is read of that stream before it is gone, so that the
program waits in its own write. At the end their pipes grow until all that was printed fits.
"""

import contextlib
import fcntl
import os
import select
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
_LAST_WORDS_S = 10.0  # for a reader whose pipe may not grow


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
        self._given_up: dict[int, Callable[[int], None]] = {}
        self._rests: dict[int, tuple[int, str, bytes]] = {}
        self._is_over = False

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
        self, client: int, *, stdout: int, stderr: int, given_up: Callable[[int], None] | None
    ) -> None:
        """Copy output for `client` from now on. A stream that has ended is closed at once.

        Without `given_up` it is waited for.
        """
        if given_up is not None:
            self._given_up[client] = given_up
        for descriptor in (stdout, stderr):
            os.set_blocking(descriptor, False)
        self._attached[client] = {STDOUT: stdout, STDERR: stderr}
        for ended in {STDOUT, STDERR} - set(self._streams.values()):
            self._close(client, ended)

    def catch_up(self, client: int) -> tuple[int, int]:
        """Give `client` what is not logged yet; the inode and size of the log, or nothing."""
        if self._file is None:
            self._file = LogFile(_LOGS.decode(self._log))
        for stream, rest in self._file.unwritten():
            self._tee(client, stream, rest)
        return self._file.extent()

    def detach(self, client: int) -> None:
        """Copy no more for `client`; one that is not attached is fine."""
        for stream in (STDOUT, STDERR):
            self._close(client, stream)
        self._attached.pop(client, None)
        self._given_up.pop(client, None)

    def drain(self) -> None:
        """Whoever could write is dead, so what is in the pipes is all there will be."""
        self._is_over = True
        for descriptor in list(self._streams):
            os.set_blocking(descriptor, False)
            while self._copy(descriptor):
                pass
        if self._file is not None:
            self._file.close(now_ns=time.time_ns())
        for pipe in list(self._rests):
            self._say_at_once(pipe)
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
        for client, pipes in self._attached.items():
            if pipes.get(stream) not in self._rests:
                self._close(client, stream)

    def _tee(self, client: int, stream: str, output: bytes) -> None:
        pipe = self._attached[client].get(stream)
        if pipe is None:
            return
        if pipe in self._rests:
            self._keep(pipe, client, stream, self._rests[pipe][2] + output)
            return
        try:
            rest = output[os.write(pipe, output) :]
        except BlockingIOError:
            rest = output
        except OSError:  # it does not want this stream any more
            self._close(client, stream)
            return
        if not rest:
            return
        given_up = self._given_up.get(client)
        if given_up is None:
            self._keep(pipe, client, stream, rest)
        else:
            self.detach(client)
            given_up(client)

    # --- whom the container waits for -----------------------------------------------------------

    def _keep(self, pipe: int, client: int, stream: str, rest: bytes) -> None:
        """Read no more of the stream until `rest` is gone."""
        self._rests[pipe] = client, stream, rest
        if not self._is_over:
            self._poll.watch(pipe, self._go_on, select.POLLOUT)
            for descriptor, name in self._streams.items():
                if name == stream:
                    self._poll.forget(descriptor)

    def _go_on(self, pipe: int) -> None:
        """There may be room again, or nobody who reads."""
        client, stream, rest = self._rests[pipe]
        try:
            rest = rest[os.write(pipe, rest) :]
        except BlockingIOError:
            return
        except OSError:
            self._close(client, stream)
            return
        if rest:
            self._rests[pipe] = client, stream, rest
        else:
            self._release(pipe, stream)

    def _release(self, pipe: int, stream: str) -> None:
        """Nothing is left for `pipe`: the stream goes on, unless another one is slow, too."""
        del self._rests[pipe]
        self._poll.forget(pipe)
        if self._is_over or any(name == stream for _, name, _ in self._rests.values()):
            return
        for descriptor, name in self._streams.items():
            if name == stream:
                self._poll.watch(descriptor, self._copy)

    def _say_at_once(self, pipe: int) -> None:
        """Have the pipe hold what is left: it is read by somebody else, after our end."""
        client, stream, rest = self._rests.pop(pipe)
        room = fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ) + len(rest) + _READ_BYTES
        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, room)
        deadline = time.monotonic() + _LAST_WORDS_S
        while rest:
            try:
                rest = rest[os.write(pipe, rest) :]
            except BlockingIOError:
                if time.monotonic() > deadline:
                    break
                select.select((), (pipe,), (), max(0.0, deadline - time.monotonic()))
            except OSError:
                break
        self._close(client, stream)

    def _close(self, client: int, stream: str) -> None:
        pipe = self._attached.get(client, {}).pop(stream, None)
        if pipe is None:
            return
        if pipe in self._rests:
            self._release(pipe, stream)
        os.close(pipe)
