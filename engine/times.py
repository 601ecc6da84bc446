"""Read and write moments as Docker's API does.

Inside they are seconds since the epoch, and 0 is never: the year 1 in Go's writing.
"""

import re
from datetime import UTC, datetime, timedelta

from swarm.errors import Invalid
from swarm.quantities import parse_duration

NEVER = "0001-01-01T00:00:00Z"

_SECONDS = re.compile(r"-?\d{1,12}(?:\.\d*)?")
_FRACTION = re.compile(r"\.(\d+)")


def stamp(at: float) -> str:
    """`at` as `2024-05-01T12:00:00.123456789Z`."""
    if not at:
        return NEVER
    nanoseconds = round(at * 1e9)
    whole, rest = divmod(nanoseconds, 1_000_000_000)
    text = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=whole)).strftime(
        "%Y-%m-%dT%H:%M:%S"
    )
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{text}{fraction}Z"


def log_stamp(at: float) -> str:
    """`at` with all nine digits, as lines of logs begin."""
    whole, rest = divmod(round(at * 1e9), 1_000_000_000)
    text = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=whole)).strftime(
        "%Y-%m-%dT%H:%M:%S"
    )
    return f"{text}.{rest:09d}Z"


def nanoseconds(at: float) -> int:
    """`at` in nanoseconds."""
    return round(at * 1e9)


def moment(text: str, *, now: float, name: str = "time") -> float:
    """Seconds since the epoch in `1700000000.5`, an RFC 3339 date, or a duration before `now`."""
    text = text.strip()
    if not text:
        return 0.0
    if _SECONDS.fullmatch(text):
        return float(text)
    if (found := _date(text)) is not None:
        return found
    try:
        return now - parse_duration(text)
    except Invalid as err:
        raise Invalid(
            f"{name}: {text!r} is not a time",
            hint="write seconds since 1970, a date such as 2024-05-01T12:00:00Z, or 10m",
        ) from err


def _date(text: str) -> float | None:
    # Python's own reader takes six digits of a second at most.
    fraction = _FRACTION.search(text)
    plain = text if fraction is None else text[: fraction.start()] + text[fraction.end() :]
    try:
        found = datetime.fromisoformat(plain)
        if found.tzinfo is None:
            found = found.replace(tzinfo=UTC)
        seconds = found.timestamp()
    except (ValueError, OverflowError):
        return None
    return seconds + (float(f"0.{fraction[1]}") if fraction else 0.0)
