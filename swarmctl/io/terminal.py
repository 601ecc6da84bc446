"""Borrow the terminal that swarmctl runs in, and always give it back.

Signals arrive on a pipe, so a loop that polls can act on them between two messages and
unwind in order; only `kill -9` can leave a terminal raw.
"""

import os
import signal
import termios
import tty
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress


@contextmanager
def raw(descriptor: int) -> Generator[None, None, None]:
    """Have keys come as they are typed, unechoed, for the block."""
    saved = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor, termios.TCSANOW)
        yield
    finally:
        # Its other end may be gone by now.
        with suppress(termios.error):
            termios.tcsetattr(descriptor, termios.TCSANOW, saved)


def size(*descriptors: int) -> tuple[int, int] | None:
    """Rows and columns of the first of these that is a terminal."""
    for each in descriptors:
        with suppress(OSError):
            found = os.get_terminal_size(each)
            return found.lines, found.columns
    return None


class Signals:
    """The signals that arrive, to be polled for."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self._numbers = tuple(numbers)
        self._before: list[tuple[int, object]] = []
        self._reading, self._writing = os.pipe()
        for each in (self._reading, self._writing):
            os.set_blocking(each, False)
        self._wakeup = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        for number in self._numbers:
            self._before.append((number, signal.signal(number, _ignored)))

    def fileno(self) -> int:
        """The descriptor to poll."""
        return self._reading

    def take(self) -> list[int]:
        """The signals that came since the last call, in their order."""
        with suppress(BlockingIOError):
            return [each for each in os.read(self._reading, 512) if each in self._numbers]
        return []

    def close(self) -> None:
        """Have signals do what they did before."""
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._before:
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal() gave us
        os.close(self._reading)
        os.close(self._writing)


def _ignored(number: int, frame: object) -> None:
    """The loop that polls hears of it."""
