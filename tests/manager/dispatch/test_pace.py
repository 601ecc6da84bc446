import pytest

from manager.dispatch.pace import Pace


def test_each_is_told_after_the_one_before() -> None:
    pace = Pace(first_s=0.5, later_s=2.0)

    assert [pace.turn(now=10.0) for _ in range(3)] == [10.5, 11.0, 11.5]


def test_time_that_nobody_used_is_not_made_up_for() -> None:
    pace = Pace(first_s=0.5, later_s=2.0)
    pace.turn(now=10.0)

    assert pace.turn(now=20.0) == 20.5


def test_turns_move_apart_while_somebody_waits() -> None:
    """Of the four that wait, the first is told at 11, but three are still there at 12."""
    pace = Pace(first_s=1.0, later_s=2.5)
    assert [pace.turn(now=10.0) for _ in range(4)] == [11.0, 12.0, 13.0, 14.0]

    assert pace.turn(now=11.0) == 16.0
    assert pace.turn(now=12.0) == 18.5


def test_nobody_waits_longer_than_the_longest_wait() -> None:
    pace = Pace(first_s=0.5, later_s=2.0, longest_s=5.0)

    turns = [pace.turn(now=10.0) for _ in range(100)]

    assert turns[-1] == pytest.approx(15.0)
    assert turns == sorted(turns)
