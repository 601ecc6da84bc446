"""Stay with a program until it ends: pass signals on, move its terminal's bytes, reap.

The exit status is the program's, or 128 and the signal that ended it.
"""

import contextlib
import os
import select
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Final

from runtime import constants as k
from runtime.io import kernel
from runtime.io.command.terminal import Copying, raw

# Ours alone, or about this process rather than the container.
_KEPT: Final = frozenset(
    {
        signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGPIPE, signal.SIGURG,
        signal.SIGTTIN, signal.SIGTTOU, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL,
        signal.SIGFPE, signal.SIGABRT, signal.SIGXFSZ,
    }
)  # fmt: skip


class Signals:
    """Signals that come in, as bytes to be read from a descriptor."""

    def __init__(self) -> None:
        self.descriptor, self._end = os.pipe()
        for each in (self.descriptor, self._end):
            os.set_blocking(each, False)
        signal.set_wakeup_fd(self._end, warn_on_full_buffer=False)
        for number in (*(set(signal.valid_signals()) - _KEPT), signal.SIGCHLD):
            with contextlib.suppress(OSError, ValueError):
                signal.signal(number, _note)

    def come(self) -> bytes:
        """The numbers of those that came since the last call."""
        try:
            return os.read(self.descriptor, 4096)
        except BlockingIOError:
            return b""


def _note(_number: int, _frame: FrameType | None) -> None:
    """That it came is in the descriptor."""


def become_subreaper() -> None:
    """Have the container's orphans become our children, so that somebody reaps them."""
    kernel.prctl(k.PR_SET_CHILD_SUBREAPER, 1)


def wait(pid: int, signals: Signals, master: int = -1) -> int:
    """Wait for child `pid`; the exit status that its end is worth."""
    if master < 0:
        return _wait(pid, signals, None)
    copying = Copying(master)
    with raw():
        copying.resize()
        status = _wait(pid, signals, copying)
        copying.drain()
    return status


def _wait(pid: int, signals: Signals, copying: Copying | None) -> int:
    """It may have ended before there was anything to tell us, so we look first."""
    while True:
        status = _reap(pid)
        if status is not None:
            return status
        for descriptor, events in _poll(signals, copying):
            if descriptor == signals.descriptor:
                for number in signals.come():
                    _handle(number, pid, copying)
            elif copying is not None and not copying.ready(descriptor, events):
                copying = None


def _poll(signals: Signals, copying: Copying | None) -> Iterator[tuple[int, int]]:
    """SIGCHLD that came before we looked is in the descriptor, so no end is missed."""
    poll = select.poll()
    poll.register(signals.descriptor, select.POLLIN)
    for descriptor, events in copying.wishes() if copying is not None else ():
        poll.register(descriptor, events)
    yield from poll.poll()


def _handle(number: int, pid: int, copying: Copying | None) -> None:
    if number == signal.SIGWINCH and copying is not None:
        copying.resize()
    elif number != signal.SIGCHLD:
        with contextlib.suppress(ProcessLookupError):  # a zombie until we reap it: never another's
            os.kill(pid, number)


def _reap(pid: int) -> int | None:
    """Collect whatever has ended; how, if the program is among it."""
    found: int | None = None
    with contextlib.suppress(ChildProcessError):
        while True:
            ended, status = os.waitpid(-1, os.WNOHANG)
            if ended == 0:
                return found
            if ended == pid:
                code = os.waitstatus_to_exitcode(status)
                found = code if code >= 0 else 128 - code
    return found
