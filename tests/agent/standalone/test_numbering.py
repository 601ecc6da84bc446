import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.standalone.numbering import MOST, numbers, ranges


@pytest.mark.parametrize(
    ("text", "found"),
    [("", ()), ("0", (0,)), ("0-2,5", (0, 1, 2, 5)), ("3-1", ()), ("x,1-y,2", (2,)), (",", ())],
)
def test_lists_of_numbers_are_read(text: str, found: tuple[int, ...]) -> None:
    assert numbers(text) == frozenset(found)


def test_nobody_makes_us_count_for_ever() -> None:
    assert max(numbers("0-99999999999")) == MOST


@given(st.frozensets(st.integers(0, 50)))
def test_law_what_is_written_is_read(found: frozenset[int]) -> None:
    assert numbers(ranges(found)) == found
