"""Times are read as people write them and written as Go does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.errors import Invalid
from swarmctl.times import parse_since, rfc3339, stamp

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("10m", NOW - 600),
        ("1h30m", NOW - 5400),
        ("0", NOW),
        ("1700000000", NOW),
        ("1700000000.5", NOW + 0.5),
        ("2023-11-14T22:13:20Z", NOW),
        ("2023-11-14T22:13:20.500000000Z", NOW + 0.5),
        ("2023-11-14T23:13:20+01:00", NOW),
    ],
)
def test_a_point_in_time_is_read(text: str, at: float) -> None:
    assert parse_since(text, now=NOW) == at


@pytest.mark.parametrize(
    "text", ["", "yesterday", "10", "2023-13-01", "2023-", "0001-01-01", "9" * 400, f"{'9' * 20}h"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="is not a time") as caught:
        parse_since(text, now=NOW)

    assert "10m" in caught.value.hint


def test_times_are_written_short_or_aligned() -> None:
    assert rfc3339(NOW + 0.25) == "2023-11-14T22:13:20.25Z"
    assert rfc3339(NOW) == "2023-11-14T22:13:20Z"
    assert stamp(NOW) == "2023-11-14T22:13:20.000000000Z"


@given(st.floats(0, 4e9))
def test_law_what_is_written_reads_back(at: float) -> None:
    assert parse_since(rfc3339(at), now=NOW) == pytest.approx(at, abs=2e-6)
