"""Which first processes can be asked to stop."""

import signal

from hypothesis import given
from hypothesis import strategies as st

from agent.hearing import effective_signal, hears, slept

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


def test_a_process_without_a_handler_is_killed_at_once() -> None:
    assert effective_signal(status(), "do_wait", signal.SIGTERM) == signal.SIGKILL


def test_a_handler_a_block_or_an_explicit_ignore_are_respected() -> None:
    for text in (status(caught=15), status(blocked=15), status(ignored=15)):
        assert effective_signal(text, "0", signal.SIGTERM) == signal.SIGTERM


def test_a_handler_of_another_signal_does_not_count() -> None:
    assert effective_signal(status(caught=signal.SIGHUP), "0", signal.SIGTERM) == signal.SIGKILL


def test_an_ending_process_gets_its_signal() -> None:
    assert effective_signal("", "", signal.SIGTERM) == signal.SIGTERM


def test_whoever_waits_for_signals_hears_them_whatever_its_masks_say() -> None:
    for place in ("do_sigtimedwait", "do_sigtimedwait.isra.0"):
        assert effective_signal(status(), place, signal.SIGTERM) == signal.SIGTERM


def test_only_who_stayed_where_it_was_slept() -> None:
    again = status().replace("switches:\t3", "switches:\t4")

    assert slept(status(), "do_wait", status())
    assert not slept(status(), "do_wait", again)
    assert not slept(status(), "0", status())
    assert not slept(status(), "do_wait", "")


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
