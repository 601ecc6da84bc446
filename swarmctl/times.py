"""Read points in time as `--since` takes them, and write them in RFC 3339."""

import re
from datetime import UTC, datetime

from swarm.errors import Invalid
from swarm.quantities import parse_duration

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
    if re.fullmatch(r"\d{4}-.*", text):
        try:
            read = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
        except ValueError as err:
            raise Invalid(f"{text!r} is not a time", hint=_HINT) from err
        return read.timestamp()
    if re.fullmatch(r"\d{9,}(\.\d+)?", text):
        return float(text)
    try:
        return now - parse_duration(text)
    except Invalid as err:
        raise Invalid(f"{text!r} is not a time", hint=_HINT) from err
