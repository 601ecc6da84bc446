"""Which first processes can be asked to stop."""

import signal

from hypothesis import given
from hypothesis import strategies as st

from agent.hearing import Ear, Look, hears

STATUS = """Name:\tsleep
SigQ:\t0/96378
SigPnd:\t0000000000000000
ShdPnd:\t0000000000000000
SigBlk:\t{blocked:016x}
SigIgn:\t{ignored:016x}
SigCgt:\t{caught:016x}
CapInh:\t0000000000000000
voluntary_ctxt_switches:\t3
"""


def status(*, blocked: int = 0, ignored: int = 0, caught: int = 0) -> str:
    masks = {"blocked": blocked, "ignored": ignored, "caught": caught}
    return STATUS.format(**{name: 1 << (n - 1) if n else 0 for name, n in masks.items()})


def look(before: str, waits_in: str = "do_wait", *, ran_ms: int = 0, after: str = "") -> Look:
    schedstat = f"{ran_ms * 1_000_000} 5 3\n"
    return Look(before=before, waits_in=waits_in, schedstat=schedstat, after=after or before)


def judged(*looks: Look) -> list[int | None]:
    ear = Ear(signal.SIGTERM)
    return [ear.judge(each) for each in looks]


def test_a_sleeper_without_a_handler_is_killed_at_once() -> None:
    assert judged(look(status())) == [signal.SIGKILL]


def test_a_handler_a_block_or_an_explicit_ignore_are_respected() -> None:
    for text in (status(caught=15), status(blocked=15), status(ignored=15)):
        assert judged(look(text, "0"), look(text)) == [signal.SIGTERM] * 2


def test_a_handler_of_another_signal_does_not_count() -> None:
    assert judged(look(status(caught=signal.SIGHUP))) == [signal.SIGKILL]


def test_an_ending_process_gets_its_signal() -> None:
    assert judged(Look()) == [signal.SIGTERM]


def test_whoever_waits_for_signals_hears_them_whatever_its_masks_say() -> None:
    for place in ("do_sigtimedwait", "do_sigtimedwait.isra.0"):
        assert judged(look(status(), place)) == [signal.SIGTERM]


def test_who_woke_up_meanwhile_or_waits_for_a_processor_is_looked_at_again() -> None:
    woken = status().replace("switches:\t3", "switches:\t4")
    for unclear in (look(status(), after=woken), look(status(), "0"), Look(before=status())):
        assert judged(unclear, unclear) == [None, None]


def test_who_runs_for_long_without_a_sleep_is_deaf() -> None:
    woken = status().replace("switches:\t3", "switches:\t4")

    looks = [look(status(), "0", ran_ms=ms) for ms in (70, 80, 90)]
    assert judged(*looks) == [None, None, signal.SIGKILL]
    assert judged(*looks[:2], look(woken, "0", ran_ms=95)) == [None, None, None]


def test_what_the_kernel_writes_of_ourselves_is_understood() -> None:
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        with open("/proc/self/status") as file:
            text = file.read()
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert hears(text, signal.SIGUSR1)
    assert not hears(text, signal.SIGRTMIN + 9)


@given(st.integers(1, 64), st.integers(1, 64))
def test_law_exactly_the_caught_signal_is_heard(caught: int, asked: int) -> None:
    assert hears(status(caught=caught), asked) == (caught == asked)
