"""Read points in time as `--since` takes them, and write them in RFC 3339."""

import re
from datetime import UTC, datetime

from swarm.errors import Invalid
from swarm.quantities import parse_duration

LATEST = datetime(9999, 12, 31, tzinfo=UTC).timestamp()
_SHOWN = 40
_HINT = "write a time such as 2026-01-31T12:00:00Z, seconds since the epoch, or an age such as 10m"


def rfc3339(at: float) -> str:
    """Seconds since the epoch as Go writes them: no zeros at the end of a fraction."""
    return f"{stamp(at).removesuffix('Z').rstrip('0').rstrip('.')}Z"


def stamp(at: float) -> str:
    """Like `rfc3339`, in full length so that lines align.

    A float holds today's seconds to the microsecond; further digits would be noise.
    """
    whole, microseconds = divmod(round(at * 1_000_000), 1_000_000)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{microseconds:06}000Z"


def parse_since(text: str, *, now: float) -> float:
    """The point in time that `text` means, in seconds since the epoch."""
    try:
        at = _read(text, now)
        if not -LATEST <= at <= LATEST:
            raise Invalid(f"{text} is too far away")
    except (Invalid, ValueError, OverflowError) as err:
        raise Invalid(f"{_shortened(text)!r} is not a time", hint=_HINT) from err
    return at


def _read(text: str, now: float) -> float:
    if re.fullmatch(r"\d{4}-.*", text):
        return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text)).timestamp()
    if re.fullmatch(r"\d{9,}(\.\d+)?", text):
        return float(text)
    return now - parse_duration(text)


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}\u2026"
