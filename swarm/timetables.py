"""Tell when a schedule is due, also where clocks are put forward and back.

An expression has the five fields of cron, in the time zone of its schedule; a name such as
`@daily`; or `@every 90s`, which counts from the firing before. A local time that is skipped
in spring is due once, when the clock has passed it, and one that comes twice in autumn is due
the first time only. Where the hour is `*`, the hours that go by count, so nothing is skipped
and nothing is left out for an hour. This is the only module that knows the library.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from msgspec import Struct

from swarm.errors import Invalid
from swarm.quantities import parse_duration

NAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
EVERY = "@every"
LEAST_PERIOD_S = 1.0

_FIELDS = ("minute", "hour", "day of the month", "month", "day of the week")
_WINDOWS_S = (120.0, 3600.0, 86400.0, 31 * 86400.0, 366 * 86400.0)
_HINT = "write it like '*/5 * * * *', @daily or '@every 90s'"


class Every(Struct, frozen=True):
    """Due `period_s` after it was due before."""

    period_s: float


class Cron(Struct, frozen=True):
    """Due when a clock in `zone` shows what `expression` says."""

    expression: str
    zone: ZoneInfo


Timetable = Every | Cron


@lru_cache(maxsize=1024)
def read_timetable(expression: str, timezone: str = "") -> Timetable:
    """Read an expression and an IANA time zone (empty: UTC); `Invalid` says what is wrong."""
    zone = read_zone(timezone)
    text = expression.strip()
    if text.partition(" ")[0] == EVERY:
        return Every(_period_s(text))
    if text.startswith("@") and text.lower() not in NAMES:
        raise Invalid(f"there is no schedule {text!r}", hint=f"names are {', '.join(NAMES)}")
    text = NAMES.get(text.lower(), text)
    found = Cron(_normal(text), zone)
    if next_after(found, _SOME_TIME) is None:
        raise Invalid(f"{text!r} never comes", hint="no month has such a day")
    return found


@lru_cache(maxsize=256)
def read_zone(timezone: str) -> ZoneInfo:
    """The zone of that name; `Invalid` when there is none."""
    try:
        return ZoneInfo(timezone or "UTC")
    except (OSError, ValueError, KeyError) as err:
        raise Invalid(
            f"there is no time zone {timezone!r}", hint="use a name like Europe/Berlin, or UTC"
        ) from err


def next_after(timetable: Timetable, after: float) -> float | None:
    """When it is due next, strictly after a time; None when it never is."""
    if isinstance(timetable, Every):
        return after + timetable.period_s
    return next(_dues(timetable, after), None)


def due_between(
    timetable: Timetable, after: float, until: float, *, most: int
) -> tuple[float, ...]:
    """When it was due after `after` and no later than `until`: the last `most` times.

    A swarm that slept for a year does not count the minutes since: it looks back from the end.
    """
    if until <= after:
        return ()
    if isinstance(timetable, Every):
        count = int((until - after) / timetable.period_s)
        first = max(1, count - most + 1)
        return tuple(after + k * timetable.period_s for k in range(first, count + 1))
    found: list[float] = []
    for window_s in (*_WINDOWS_S, until - after):
        start = max(after, until - window_s)
        found = _until(timetable, start, until)
        if len(found) >= most or start == after:
            break
    return tuple(found[-most:])


def _until(timetable: Cron, after: float, until: float) -> list[float]:
    found: list[float] = []
    for at in _dues(timetable, after):
        if at > until:
            break
        found.append(at)
    return found


def _dues(timetable: Cron, after: float) -> Iterator[float]:
    """All times it is due after `after`; what is due twice at one time is told once."""
    latest = after
    for each in CronSim(timetable.expression, datetime.fromtimestamp(after, timetable.zone)):
        if (at := each.timestamp()) > latest:
            yield at
            latest = at


def _period_s(text: str) -> float:
    period_s = parse_duration(text.removeprefix(EVERY).strip())
    if period_s < LEAST_PERIOD_S:
        raise Invalid(f"{text!r} is more often than once a second", hint="give 1s or more")
    return period_s


def _normal(text: str) -> str:
    """The expression with hours that go by as `*`, and everything else as times of the day.

    The library tells the two apart by the first character of minute and hour, so that `0 */2`
    would be due twice, or not at all, on the days when clocks are changed.
    """
    fields = text.split()
    if len(fields) != len(_FIELDS):
        raise Invalid(f"{text!r} must have 5 fields: {', '.join(_FIELDS)}", hint=_HINT)
    try:
        parsed = CronSim(text, _EPOCH)
    except (CronSimError, AssertionError, ValueError) as err:
        raise Invalid(f"{text!r}: {str(err).lower() or 'cannot be read'}", hint=_HINT) from err
    if len(parsed.hours) == 24:
        return " ".join((fields[0], "*", *fields[2:]))
    return " ".join((_listed(parsed.minutes), _listed(parsed.hours), *fields[2:]))


def _listed(numbers: set[int]) -> str:
    return ",".join(map(str, sorted(numbers)))


_EPOCH = datetime(2024, 1, 1, tzinfo=UTC)
_SOME_TIME = _EPOCH.timestamp()
