import os
import pty
import signal
import termios
from collections.abc import Iterator

import pytest

from swarmctl.io.terminal import Signals, raw, size


@pytest.fixture
def slave() -> Iterator[int]:
    master, slave = pty.openpty()
    yield slave
    os.close(master)
    os.close(slave)


def test_a_terminal_is_raw_for_the_block_and_then_as_before(slave: int) -> None:
    before = termios.tcgetattr(slave)

    with raw(slave):
        assert not termios.tcgetattr(slave)[3] & (termios.ICANON | termios.ECHO | termios.ISIG)

    assert termios.tcgetattr(slave) == before


def test_a_terminal_is_given_back_when_something_fails(slave: int) -> None:
    before = termios.tcgetattr(slave)

    with pytest.raises(ZeroDivisionError), raw(slave):
        _ = 1 / 0

    assert termios.tcgetattr(slave) == before


def test_the_size_is_that_of_the_first_terminal(slave: int) -> None:
    termios.tcsetwinsize(slave, (12, 34))
    reading, writing = os.pipe()

    assert size(reading, slave) == (12, 34)
    assert size(reading) is None
    assert size(9999) is None
    os.close(reading)
    os.close(writing)


def test_signals_wait_to_be_taken_and_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    signals = Signals((signal.SIGUSR1, signal.SIGUSR2))
    try:
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGUSR2)

        assert signals.take() == [signal.SIGUSR1, signal.SIGUSR2]
        assert signals.take() == []
    finally:
        signals.close()

    assert signal.getsignal(signal.SIGUSR1) is before
    assert signal.set_wakeup_fd(-1) == -1
