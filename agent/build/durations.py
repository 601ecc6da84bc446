"""Read and write spans of time as Go does: `1m30s`."""

import re

from swarm.errors import Invalid

_UNITS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
_PIECE = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")


def parse(text: str) -> float:
    """Seconds; `Invalid` when it is no duration."""
    rest = text.lstrip("+")
    pieces = _PIECE.findall(rest)
    if rest == "0":
        return 0.0
    if not pieces or "".join(number + unit for number, unit in pieces) != rest:
        raise Invalid(f'time: invalid duration "{text}"', hint="write it as 1m30s")
    return sum(float(number) * _UNITS[unit] for number, unit in pieces)


def shown(seconds: float) -> str:
    """As Go prints it: `0s`, `1.5s`, `1m30s`, `1h0m0s`, `250ms`."""
    if seconds == 0:
        return "0s"
    if seconds < 1:
        return f"{_number(seconds * 1000)}ms"
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    lead = f"{int(hours)}h{int(minutes)}m" if hours else f"{int(minutes)}m" if minutes else ""
    return f"{lead}{_number(rest)}s"


def _number(value: float) -> str:
    return f"{round(value, 6):.6f}".rstrip("0").rstrip(".")
