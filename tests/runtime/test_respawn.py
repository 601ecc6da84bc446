from hypothesis import given
from hypothesis import strategies as st

from runtime.respawn import LONGEST_DELAY_S, Respawns, after_death


def test_the_first_death_is_answered_at_once_and_the_next_ever_later() -> None:
    record, now, delays = Respawns(), 1000.0, []
    for _ in range(10):
        record, delay_s = after_death(record, now=now)
        delays.append(delay_s)
        now += delay_s + 0.5

    assert delays == [0, 1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_a_long_life_clears_the_record() -> None:
    record, _ = after_death(Respawns(), now=1000.0)
    record, delay_s = after_death(record, now=1001.0)
    assert delay_s == 1

    _, delay_s = after_death(record, now=record.last_at + 61)

    assert delay_s == 0


@given(st.integers(0, 100), st.floats(0, 2e9), st.floats(0, 2e9))
def test_law_a_wait_is_bounded_whatever_the_clock_does(n: int, last: float, now: float) -> None:
    _, delay_s = after_death(Respawns(deaths=n, last_at=last), now=now)

    assert 0 <= delay_s <= LONGEST_DELAY_S
