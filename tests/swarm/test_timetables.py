"""Schedules are due when they say, also on the days when clocks are changed."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.errors import Invalid
from swarm.timetables import Cron, due_between, next_after, read_timetable

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"
YEAR_S = 365 * 86400.0
EXPRESSIONS = ("* * * * *", "*/7 3-5 * * *", "30 2 * * *", "0 */2 * * 1-5", "15,45 1,2 * * *")


def local(zone: str, text: str, *, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def dues(expression: str, zone: str, since: str, hours: int) -> list[str]:
    """When it is due in the hours since a local time, as a clock in UTC shows it."""
    start = local(zone, since)
    found = due_between(
        read_timetable(expression, zone), start, start + hours * 3600.0, most=10_000
    )
    return [datetime.fromtimestamp(at, UTC).strftime("%H:%M") for at in found]


# Berlin: 2026-03-29 02:00 +01:00 becomes 03:00 +02:00; 2026-10-25 03:00 +02:00 becomes 02:00.
# New York: 2026-03-08 02:00 -05:00 becomes 03:00 -04:00; 2026-11-01 02:00 -04:00 becomes 01:00.
@pytest.mark.parametrize(
    ("expression", "zone", "since", "hours", "expected"),
    [
        ("30 2 * * *", BERLIN, "2026-03-29 00:00", 24, ["01:00"]),
        ("0,30 2 * * *", BERLIN, "2026-03-29 00:00", 24, ["01:00"]),
        ("*/20 2 * * *", BERLIN, "2026-03-29 00:00", 24, ["01:00"]),
        ("0 2,3 * * *", BERLIN, "2026-03-29 00:00", 24, ["01:00"]),
        ("0 */2 * * *", BERLIN, "2026-03-29 00:30", 5, ["01:00", "02:00", "04:00"]),
        ("0 * * * *", BERLIN, "2026-03-29 00:30", 3, ["00:00", "01:00", "02:00"]),
        ("*/30 * * * *", BERLIN, "2026-03-29 01:15", 1, ["00:30", "01:00"]),
        ("30 2 * * *", BERLIN, "2026-10-25 00:00", 24, ["00:30"]),
        ("*/30 2 * * *", BERLIN, "2026-10-25 00:00", 24, ["00:00", "00:30"]),
        ("0 */2 * * *", BERLIN, "2026-10-25 01:30", 4, ["00:00", "03:00"]),
        ("0 * * * *", BERLIN, "2026-10-25 01:30", 3, ["00:00", "01:00", "02:00"]),
        ("30 2 * * *", NEW_YORK, "2026-03-08 00:00", 24, ["07:00"]),
        ("59 2 * * *", NEW_YORK, "2026-03-08 00:00", 24, ["07:00"]),
        ("30 1 * * *", NEW_YORK, "2026-11-01 00:00", 25, ["05:30"]),
        ("0 1,2 * * *", NEW_YORK, "2026-11-01 00:00", 24, ["05:00", "07:00"]),
        ("15 * * * *", NEW_YORK, "2026-11-01 00:30", 3, ["05:15", "06:15", "07:15"]),
    ],
)
def test_a_time_that_is_skipped_or_repeated_is_due_once(
    expression: str, zone: str, since: str, hours: int, expected: list[str]
) -> None:
    assert dues(expression, zone, since, hours) == expected


def test_what_was_due_in_the_first_of_two_equal_hours_is_not_due_in_the_second() -> None:
    second = local(BERLIN, "2026-10-25 02:10", fold=1)

    found = next_after(read_timetable("30 2 * * *", BERLIN), second)

    assert found == local(BERLIN, "2026-10-26 02:30")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("@hourly", "2026-05-06 08:00"),
        ("@daily", "2026-05-07 00:00"),
        ("@midnight", "2026-05-07 00:00"),
        ("@weekly", "2026-05-10 00:00"),
        ("@monthly", "2026-06-01 00:00"),
        ("@yearly", "2027-01-01 00:00"),
        ("@annually", "2027-01-01 00:00"),
        ("@every 90s", "2026-05-06 07:31:30"),
        ("@every 1h", "2026-05-06 08:30"),
    ],
)
def test_names_stand_for_expressions(name: str, expected: str) -> None:
    assert next_after(read_timetable(name), local("UTC", "2026-05-06 07:30")) == local(
        "UTC", expected
    )


@pytest.mark.parametrize(
    ("expression", "zone", "told"),
    [
        ("", "", "must have 5 fields"),
        ("* * * *", "", "must have 5 fields"),
        ("0 * * * * *", "", "must have 5 fields"),
        ("61 * * * *", "", "bad minute"),
        ("* 24 * * *", "", "bad hour"),
        ("*/0 * * * *", "", "bad minute"),
        ("0 0 30 2 *", "", "bad day-of-month"),
        ("@fortnightly", "", "there is no schedule"),
        ("@every", "", "duration"),
        ("@every 10ms", "", "more often than once a second"),
        ("@every -5s", "", "-5s"),
        ("* * * * *", "Mars/Olympus", "there is no time zone 'Mars/Olympus'"),
        ("* * * * *", "../etc/passwd", "there is no time zone"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(
    expression: str, zone: str, told: str
) -> None:
    with pytest.raises(Invalid) as refused:
        read_timetable(expression, zone)

    assert told in refused.value.message


def test_a_long_sleep_is_looked_back_on_from_its_end() -> None:
    table = read_timetable("* * * * *")
    until = local("UTC", "2026-05-06 07:30")

    assert due_between(table, until - 30 * YEAR_S, until, most=1) == (until,)
    assert len(due_between(table, until - 30 * YEAR_S, until, most=100)) == 100
    assert due_between(read_timetable("0 0 29 2 *"), until - 9 * YEAR_S, until, most=1) == (
        local("UTC", "2024-02-29 00:00"),
    )


@given(
    expression=st.sampled_from(EXPRESSIONS),
    zone=st.sampled_from([BERLIN, NEW_YORK, "UTC", "Australia/Lord_Howe"]),
    start=st.floats(local("UTC", "2026-01-01 00:00"), local("UTC", "2027-01-01 00:00")),
    cuts=st.lists(st.floats(1.0, 40_000.0), min_size=1, max_size=6),
)
def test_law_looking_often_finds_what_looking_once_finds(
    expression: str, zone: str, start: float, cuts: list[float]
) -> None:
    table = read_timetable(expression, zone)
    found: list[float] = []
    at = start
    for step in cuts:
        found += due_between(table, at, at + step, most=10_000)
        at += step

    assert found == list(due_between(table, start, at, most=10_000))
    assert found == sorted(set(found))
    assert all(start < each <= at for each in found)


@given(
    zone=st.sampled_from([BERLIN, NEW_YORK]),
    day=st.integers(0, 364),
    hour=st.integers(0, 23),
    minute=st.integers(0, 59),
)
def test_law_a_daily_time_is_due_once_on_every_day(
    zone: str, day: int, hour: int, minute: int
) -> None:
    table = read_timetable(f"{minute} {hour} * * *", zone)
    midnight = datetime(2026, 1, 1, tzinfo=ZoneInfo(zone)) + timedelta(days=day)
    start = midnight.timestamp() - 1
    end = (midnight + timedelta(days=1)).timestamp() - 1

    assert isinstance(table, Cron)
    assert len(due_between(table, start, end, most=10)) == 1
