"""A forked program, followed to its end, whatever it says or does not say."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from runtime import wire
from runtime.io.polling import Poll
from runtime.io.program import ENTERED, REFUSED, Program, fork_refused

NO = wire.Refused("exec", 2, "exec x: no such file or directory", "check")


class Witness:
    """What was told, in order."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def entered(self, pid: int) -> None:
        self.told.append(("entered", pid))

    def refused(self, no: bytes) -> None:
        self.told.append(wire.decode_report(no))

    def left(self, exit_code: int) -> None:
        self.told.append(("left", exit_code))

    @property
    def is_over(self) -> bool:
        return bool(self.told) and (
            isinstance(self.told[-1], wire.Refused) or "left" in str(self.told[-1])
        )


def follow(child: Callable[[int], None], act: Callable[[Program], None] | None = None) -> Witness:
    """Fork `child`, which is given its report, and wait until all is told."""
    poll, witness, before = Poll(), Witness(), len(list(Path("/proc/self/fd").iterdir()))

    def become(report: int) -> NoReturn:
        try:
            child(report)
        finally:
            os._exit(70)

    program = Program(poll, witness, become)
    if act is not None:
        act(program)
    for _ in range(100):
        if witness.is_over:
            break
        poll.turn(1.0)
    assert witness.is_over
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    return witness


def enter(report: int, argv: tuple[str, ...]) -> None:
    os.write(report, ENTERED + b"%d\n" % os.getpid())
    os.execv(argv[0], argv)


def test_a_program_that_runs_is_followed_to_its_exit_code() -> None:
    witness = follow(lambda report: enter(report, ("/bin/sh", "-c", "exit 3")))

    entered, left = witness.told
    assert left == ("left", 3)
    assert isinstance(entered, tuple)


def test_a_signal_counts_128() -> None:
    witness = follow(lambda report: enter(report, ("/bin/sh", "-c", "kill -9 $$")))

    assert witness.told[-1] == ("left", 137)


def test_a_refusal_is_passed_on_as_it_is() -> None:
    def refuse(report: int) -> None:
        os.write(report, REFUSED + wire.encode(NO))

    assert follow(refuse).told == [NO]


def test_an_exec_that_fails_after_all_is_a_refusal() -> None:
    def try_in_vain(report: int) -> None:
        os.write(report, ENTERED + b"%d\n" % os.getpid())
        os.write(report, REFUSED + wire.encode(NO))

    assert follow(try_in_vain).told == [NO]


@pytest.mark.parametrize("number", [0, signal.SIGKILL])
def test_silence_is_a_refusal_that_says_how_it_ended(number: int) -> None:
    (no,) = follow(lambda _: os.kill(os.getpid(), number)).told

    assert isinstance(no, wire.Refused)
    assert no.step == "start"
    assert f"ended with {-number or 70}" in no.message


def test_what_is_killed_before_it_runs_is_refused() -> None:
    def stall(report: int) -> None:
        signal.pause()

    (no,) = follow(stall, act=lambda program: program.end()).told

    assert isinstance(no, wire.Refused)
    assert "ended with -9" in no.message


def test_a_program_that_forked_once_more_is_followed_under_its_own_number() -> None:
    """With CLONE_PARENT it is our child, too; here a stand-in: a process that we adopt."""
    grandchild = os.fork()
    if grandchild == 0:
        signal.pause()
        os._exit(0)

    def stand_in(report: int) -> None:
        os.write(report, ENTERED + b"%d\n" % grandchild)
        os._exit(0)

    def later(program: Program) -> None:
        assert program.kill(0) == 0

    poll, witness = Poll(), Witness()

    def become(report: int) -> NoReturn:
        stand_in(report)
        os._exit(70)

    program = Program(poll, witness, become)
    later(program)
    while not witness.told:
        poll.turn(1.0)
    assert program.kill(signal.SIGTERM) == 0
    while not witness.is_over:
        poll.turn(1.0)

    assert witness.told == [("entered", grandchild), ("left", 143)]


def test_no_room_for_a_child_is_told_in_words() -> None:
    ending = wire.decode_report(fork_refused(OSError(12, "no memory")))
    full = wire.decode_report(fork_refused(OSError(11, "again")))

    assert ending == wire.Refused("fork", 12, "fork: the container is ending")
    assert full == wire.Refused("fork", 11, "fork: resource temporarily unavailable")
