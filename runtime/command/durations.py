"""Read a time as Go writes it: `5s`, `1m30s`, `250ms`."""

from typing import Final

from swarm.errors import Invalid

_SECONDS: Final = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0,
}  # fmt: skip


def parse(text: str, *, flag: str) -> float:
    """Seconds. Raises `Invalid` naming `flag`."""
    total, left = 0.0, text
    while left and left != "0":
        digits = _prefix(left, "0123456789.")
        unit = _prefix(left[len(digits) :], "nuµμmsh")
        known = [each for each in (unit, unit[:2], unit[:1]) if each in _SECONDS]
        if not known or digits.count(".") > 1 or not digits.strip("."):
            raise Invalid(f"--{flag}: {text!r} is no time", hint="write it as 5s or 1m30s")
        total += float(digits) * _SECONDS[known[0]]
        left = left[len(digits) + len(known[0]) :]
    if not text:
        raise Invalid(f"--{flag}: must not be empty", hint="write it as 5s or 1m30s")
    return total


def _prefix(text: str, characters: str) -> str:
    return text[: len(text) - len(text.lstrip(characters))]
