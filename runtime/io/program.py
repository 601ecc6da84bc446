"""Follow one program in the container, from its fork in the shim to its end.

The forked child does all the work and tells over a pipe that closes on exec how far it came:
lines whose first byte says what follows. The kernel kills it with the container, and process 1
is not gone before we have reaped it.
"""

# Plain strings: pathlib would cost every shim memory.

import contextlib
import errno
import os
import signal
from collections.abc import Callable
from typing import Final, NoReturn, Protocol

from runtime.io.polling import Poll
from runtime.wire import Refused, encode

ENTERED: Final = b"e"  # its pid: it will run, unless it is
REFUSED: Final = b"r"  # a `Refused`, as a client is told
_READ_BYTES: Final = 4096


class Follower(Protocol):
    """Who wants to know. Either `refused` (with a `Refused` as a line) or `left` comes last."""

    def entered(self, pid: int) -> None: ...
    def refused(self, no: bytes) -> None: ...
    def left(self, exit_code: int) -> None: ...


class _Nobody:
    """Follows what has ended. Nothing else would break the cycle: shims collect no garbage."""

    def entered(self, pid: int) -> None:
        raise AssertionError("it has ended")

    def refused(self, no: bytes) -> None:
        raise AssertionError("it has ended")

    def left(self, exit_code: int) -> None:
        raise AssertionError("it has ended")


_NOBODY: Final = _Nobody()


class Program:
    """One program. `kill` may come at any time."""

    def __init__(self, poll: Poll, follower: Follower, become: Callable[[int], NoReturn]) -> None:
        """Fork; the child calls `become` with the descriptor to report on.

        Raises `OSError` if the container is ending, or has no room for one more process.
        """
        self._poll = poll
        self._follower: Follower = follower
        self._told = b""
        self._pidfd = -1
        self._report, report = os.pipe()
        try:
            self._pid = os.fork()
            if self._pid == 0:
                become(report)
        except OSError:
            os.close(self._report)
            raise
        finally:
            os.close(report)
        poll.watch(self._report, self._hear)

    def kill(self, number: int) -> int:
        """Send a signal to the program: 0, or the kernel's reason."""
        try:
            os.kill(self._pid, number)
        except OSError as err:
            return err.errno or errno.EIO
        return 0

    def end(self) -> None:
        """Kill the program and its process group."""
        self.kill(signal.SIGKILL)
        with contextlib.suppress(OSError):
            os.killpg(self._pid, signal.SIGKILL)

    def _hear(self, report: int) -> None:
        if told := os.read(report, _READ_BYTES):
            self._told += told
            return
        self._poll.forget(report)
        os.close(report)
        words = {line[:1]: line[1:] for line in self._told.split(b"\n")}
        if ENTERED in words and REFUSED not in words:
            self._enter(int(words[ENTERED]))
            return
        _, status = os.waitpid(self._pid, 0)
        no = words.get(REFUSED) or _silent(os.waitstatus_to_exitcode(status))
        self._part().refused(no + b"\n")

    def _enter(self, pid: int) -> None:
        if pid != self._pid:  # it took one more fork; what we forked has nothing more to do
            os.waitpid(self._pid, 0)
            self._pid = pid
        self._pidfd = os.pidfd_open(pid)
        self._poll.watch(self._pidfd, self._reap)
        self._follower.entered(pid)

    def _reap(self, pidfd: int) -> None:
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        if pid:
            self._poll.forget(pidfd)
            os.close(pidfd)
            code = os.waitstatus_to_exitcode(status)
            self._part().left(code if code >= 0 else 128 - code)

    def _part(self) -> Follower:
        follower, self._follower = self._follower, _NOBODY
        return follower


def fork_refused(err: OSError) -> bytes:
    """Say why there could be no child: the kernel has no memory for one that joins the dead."""
    number = err.errno or errno.EIO
    text = "the container is ending" if number == errno.ENOMEM else os.strerror(number).lower()
    return encode(Refused("fork", number, f"fork: {text}"))


def _silent(code: int) -> bytes:
    return encode(
        Refused(
            "start", errno.EIO, f"it ended with {code} before its program could run",
            hint="the container may be ending, or its memory limit may be too low",
        )
    ).rstrip()  # fmt: skip
