"""Read and write durations, sizes and cpu shares as Docker's users know them.

Sizes that people type are binary (`64m` is 64 MiB), and so are those of memory that we print;
only sizes of images are printed in decimal units. Cpu shares are thousandths of a core all the
way, so a share that needs a finer step is refused rather than rounded to something else.
"""

import re
from decimal import Decimal, InvalidOperation

from swarm.errors import Invalid

_UNITS_NS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_DURATION = re.compile(r"(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h)")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([kmgtp])(?:i?b)?|b)?", re.IGNORECASE)
_NUMBER = re.compile(r"\d+(?:\.\d*)?|\.\d+")

_DURATION_HINT = "write it like 500ms, 10s, 1m30s or 2h"
_SIZE_HINT = "write it like 512k, 64m or 1.5GiB"
_CPU_HINT = "write it like 0.5 or 2"

MAX_DURATION_S = 292 * 365 * 86400.0  # what Go clients of the same fields can hold
MAX_BYTES = 2**63 - 1


def parse_duration(text: str) -> float:
    """Seconds in `1h30m`, `500ms` or `0`; `Invalid` for a bare number, which has no unit."""
    text = text.strip()
    if text in ("0", "+0", "-0"):
        return 0.0
    if text.startswith("-"):
        raise Invalid(f"duration {text!r} is negative", hint=_DURATION_HINT)
    pieces = _DURATION.findall(text)
    if not pieces or "".join(pieces) != text.removeprefix("+"):
        unit = " has no unit" if _NUMBER.fullmatch(text) else " is not a duration"
        raise Invalid(f"{text!r}{unit}", hint=_DURATION_HINT)
    seconds = float(sum(map(_nanoseconds, pieces)) / 1_000_000_000)
    if seconds > MAX_DURATION_S:
        raise Invalid(f"duration {text!r} is too long", hint=_DURATION_HINT)
    return seconds


def parse_bytes(text: str) -> int:
    """Bytes in `64m`, `1GiB` or `4096`, with binary multiples."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise Invalid(f"{text!r} is not a size", hint=_SIZE_HINT)
    power = "kmgtp".index(match[2].lower()) + 1 if match[2] else 0
    size = int(Decimal(match[1]) * 1024**power)
    if size > MAX_BYTES:
        raise Invalid(f"size {text!r} is too large", hint=_SIZE_HINT)
    return size


def parse_cpus(text: str) -> int:
    """Thousandths of a core in `0.5`."""
    if not _NUMBER.fullmatch(text.strip()):
        raise Invalid(f"{text!r} is not a number of cpus", hint=_CPU_HINT)
    try:
        millis = Decimal(text.strip()) * 1000
    except InvalidOperation as err:
        raise Invalid(f"{text!r} is not a number of cpus", hint=_CPU_HINT) from err
    if millis != int(millis):
        raise Invalid(f"{text!r} is finer than a thousandth of a cpu", hint="round it to 0.001")
    if millis > 1_000_000_000:
        raise Invalid(f"{text!r} is more than any host has", hint=_CPU_HINT)
    return int(millis)


def format_duration(seconds: float) -> str:
    """`1h30m0s`, `10s`, `500ms`: what `parse_duration` reads back."""
    nanoseconds = round(seconds * 1_000_000_000)
    if nanoseconds == 0:
        return "0s"
    if nanoseconds < _UNITS_NS["s"]:
        unit = next(u for u in ("ms", "us", "ns") if nanoseconds >= _UNITS_NS[u])
        return f"{_trimmed(Decimal(nanoseconds) / _UNITS_NS[unit])}{unit}"
    minutes, rest = divmod(nanoseconds, _UNITS_NS["m"])
    hours, minutes = divmod(minutes, 60)
    text = f"{_trimmed(Decimal(rest) / _UNITS_NS['s'])}s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text


def format_memory(size: int) -> str:
    """Four digits in binary units: `1.5GiB`."""
    return _scaled(size, 1024, ("B", "KiB", "MiB", "GiB", "TiB", "PiB"), digits=4)


def format_size(size: int) -> str:
    """Three digits in decimal units, as image sizes are printed: `4.26MB`."""
    return _scaled(size, 1000, ("B", "kB", "MB", "GB", "TB", "PB"), digits=3)


def format_cpus(millis: int) -> str:
    """`0.5` for 500."""
    return _trimmed(Decimal(millis) / 1000)


def format_elapsed(seconds: float) -> str:
    """How long ago something was, in one unit: `3 seconds`, `About an hour`, `2 weeks`."""
    whole = int(max(seconds, 0))
    if whole < 1:
        return "Less than a second"
    if whole < 60:
        return "1 second" if whole == 1 else f"{whole} seconds"
    minutes, hours = whole // 60, (whole + 1800) // 3600
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    if hours < 48:
        return "About an hour" if hours == 1 else f"{hours} hours"
    days = hours // 24
    for limit, length, unit in ((14, 1, "days"), (60, 7, "weeks"), (730, 30, "months")):
        if days < limit:
            return f"{days // length} {unit}"
    return f"{days // 365} years"


def _nanoseconds(piece: str) -> Decimal:
    number = piece.rstrip("nuµμmsh")
    return Decimal(number) * _UNITS_NS[piece[len(number) :]]


def _trimmed(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _scaled(size: int, base: int, units: tuple[str, ...], *, digits: int) -> str:
    scaled, unit = float(size), 0
    while scaled >= base and unit < len(units) - 1:
        scaled, unit = scaled / base, unit + 1
    return f"{scaled:.{digits}g}{units[unit]}" if scaled < 1000 else f"{scaled:.0f}{units[unit]}"


def parse_integer(text: str) -> int:
    """A whole number."""
    try:
        return int(text)
    except ValueError as err:
        raise Invalid(f"{text!r} is not a whole number") from err


def parse_number(text: str) -> float:
    """Any number."""
    try:
        return float(text)
    except ValueError as err:
        raise Invalid(f"{text!r} is not a number") from err
