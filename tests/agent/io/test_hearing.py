"""What the kernel shows of processes that are about to be stopped."""

import asyncio
import signal
from pathlib import Path

import pytest

from agent.io.hearing import choose_signal
from tests.cluster.hosts import wait_for
from tests.programs import running

WAITING = """
import signal
signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
print(flush=True)
raise SystemExit(int(signal.sigwait(signal.valid_signals()) == signal.SIGTERM))
"""

WAKING = """
import signal
signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
print(flush=True)
while True:
    signal.sigtimedwait(signal.valid_signals(), 0.00005)
"""


def choose(pid: int) -> int:
    return asyncio.run(choose_signal(pid, signal.SIGTERM))


@pytest.mark.kernel
def test_a_program_in_sigwait_gets_its_signal() -> None:
    """The kernel shows it as one that neither catches nor blocks anything."""
    with running(WAITING) as program:
        masks = Path(f"/proc/{program.pid}/status")
        wait_for("it waits", lambda: f"SigBlk:\t{0:016x}" in masks.read_text(), within_s=30)

        number = choose(program.pid)
        program.send_signal(number)

        assert (number, program.wait(30)) == (signal.SIGTERM, 1)


@pytest.mark.kernel
def test_a_program_that_goes_in_and_out_of_sigwait_gets_its_signal() -> None:
    with running(WAKING) as program:
        chosen = [choose(program.pid) for _ in range(500)]

    assert set(chosen) == {signal.SIGTERM}


@pytest.mark.kernel
def test_a_program_that_never_sleeps_is_deaf_for_all_that() -> None:
    with running("print(flush=True)\nwhile True: pass") as program:
        assert choose(program.pid) == signal.SIGKILL


def test_one_that_is_gone_gets_what_was_asked_for() -> None:
    assert choose(0) == signal.SIGTERM
