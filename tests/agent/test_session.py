"""Dialling, beating and giving up."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from agent.session import DIAL_S, LONGEST_PATIENCE_S, WELCOME_S, Beat, Dial, HangUp, Phase, Session


def session(*managers: str) -> Session:
    return Session(managers or ("m1", "m2"), random=Random(7))


def live(*managers: str, now: float = 0.0) -> Session:
    one = session(*managers)
    one.due(now=now)
    one.connected(one.attempt, now=now)
    one.welcomed(managers, 1.0, now=now)
    return one


def test_the_first_dial_is_at_once() -> None:
    assert session().due(now=0.0) == (Dial("m1", 1),)


def test_a_hanging_dial_gives_way_to_the_next_manager_without_more_waiting() -> None:
    one = session()
    one.due(now=0.0)

    effects = one.due(now=DIAL_S)

    assert isinstance(effects[0], HangUp)
    assert effects[1] == Dial("m2", 2)


def test_refused_dials_back_off_up_to_a_second() -> None:
    one, now, gaps = session("m1"), 0.0, list[float]()

    for _ in range(8):
        dialled_at = now
        one.due(now=now)
        one.broken(one.attempt, now=now)
        now = one.next_deadline()
        gaps.append(now - dialled_at)

    assert 0.05 <= gaps[0] <= 0.1
    assert 0.5 <= gaps[-1] <= 1.0


def test_a_broken_session_is_dialled_anew_at_once_elsewhere() -> None:
    one = live("m1", "m2")

    one.broken(1, now=5.0)

    assert one.due(now=5.0) == (Dial("m2", 2),)


def test_sessions_that_break_at_once_back_off_like_failed_dials() -> None:
    """Manager and agent disagree about the sequence, every time."""
    one, now, dials = session("m1"), 0.0, 0

    while now < 5.0:
        dials += sum(isinstance(each, Dial) for each in one.due(now=now))
        one.connected(one.attempt, now=now)
        one.welcomed((), 1.0, now=now)
        one.broken(one.attempt, now=now)
        now = one.next_deadline()

    assert dials < 15


def test_it_beats_and_is_lost_after_three_silent_periods() -> None:
    one = live("m1")

    assert one.due(now=1.0) == (Beat(),)
    assert one.due(now=2.0) == (Beat(),)
    effects = one.due(now=3.0)

    assert isinstance(effects[0], HangUp)
    assert "silent" in effects[0].reason
    assert effects[1] == Dial("m1", 2)


def test_who_has_just_reported_does_not_beat_as_well() -> None:
    one = live("m1")

    one.reported(now=0.9)

    assert one.due(now=1.0) == ()
    assert one.due(now=1.9) == (Beat(),)


def test_any_word_of_the_manager_keeps_the_line() -> None:
    one = live("m1")

    for second in range(1, 10):
        assert one.due(now=float(second)) == (Beat(),)
        one.heard(now=float(second))

    assert one.is_live


def test_an_old_attempt_cannot_break_or_open_the_new_one() -> None:
    one = session()
    one.due(now=0.0)
    one.due(now=DIAL_S)

    one.broken(1, now=1.1)
    assert not one.connected(1, now=1.1)
    assert one.phase is Phase.DIALING


def test_a_manager_that_connects_but_does_not_welcome_is_left() -> None:
    one = session()
    one.due(now=0.0)
    one.connected(1, now=0.5)

    assert one.next_deadline() == 0.5 + WELCOME_S
    assert isinstance(one.due(now=0.5 + WELCOME_S)[0], HangUp)


def test_whoever_ran_out_of_time_waits_longer_the_next_time() -> None:
    """A manager has thousands to let in, and cannot within a second."""
    one, now, waits = session("m1"), 0.0, list[float]()

    for _ in range(6):
        one.due(now=now)
        waits.append(one.next_deadline() - now)
        now = one.next_deadline()

    assert waits == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    one.due(now=now)
    assert one.connected(one.attempt, now=now)
    assert one.next_deadline() == now + LONGEST_PATIENCE_S


def test_a_welcome_ends_all_patience() -> None:
    one = session("m1")
    one.due(now=0.0)
    one.due(now=DIAL_S)
    one.connected(one.attempt, now=1.5)
    one.welcomed((), 1.0, now=1.5)

    one.broken(one.attempt, now=5.0)
    one.due(now=5.0)

    assert one.next_deadline() == 5.0 + DIAL_S


def test_the_address_that_works_is_kept_among_the_advertised() -> None:
    one = session("nat:1")
    one.due(now=0.0)
    one.connected(1, now=0.0)

    one.welcomed(("m1", "m2"), 1.0, now=0.0)

    assert one.managers == ("m1", "m2", "nat:1")
    assert one.address == "nat:1"


@given(st.lists(st.tuples(st.sampled_from(["break", "ok", "wait"]), st.floats(0, 2)), max_size=40))
def test_law_a_link_that_comes_back_is_used_within_two_seconds(
    acts: list[tuple[str, float]],
) -> None:
    one, now = session(), 0.0
    for act, delay in acts:
        now += delay
        one.due(now=now)
        if act == "break":
            one.broken(one.attempt, now=now)
        elif act == "ok" and one.connected(one.attempt, now=now):
            one.welcomed((), 1.0, now=now)
        one.check()
    one.broken(one.attempt, now=now)

    assert one.next_deadline() <= now + 1.0


def test_without_managers_nothing_is_ever_due() -> None:
    one = Session((), random=Random(7))

    assert one.is_idle
    assert one.due(now=1e9) == ()
    assert one.next_deadline() is None
    assert not one.is_live
    one.check()
