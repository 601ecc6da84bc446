"""Translate words, durations and shares of cores between Docker's writing and ours.

Docker counts time in nanoseconds and cores in billionths. Our seconds are floats, which hold
fifty days of nanoseconds exactly. Our cores are counted in thousandths: a finer share counts as the
next one up, and what was asked for is kept beside it.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import TypeVar

from swarm.errors import Invalid

E = TypeVar("E", bound=IntEnum)

NANOSECONDS = 1_000_000_000
_NANOCPUS_OF_A_MILLI = 1_000_000


def words_of(kind: type[E]) -> Mapping[str, E]:
    """Every member of `kind` by its word, such as `on-failure`."""
    return {word(each): each for each in kind}


def word(member: IntEnum) -> str:
    """A member as Docker's users write it."""
    return member.name.lower().replace("_", "-")


def read_word(path: str, text: str, kind: type[E], default: E) -> E:
    """The member that `text` means; `default` when nothing was said."""
    if not text:
        return default
    known = words_of(kind)
    if text.lower() not in known:
        raise Invalid(f"{path}: there is no {text!r}", hint=f"use {_either(known)}")
    return known[text.lower()]


def seconds(nanoseconds: int) -> float:
    """A duration of Docker's."""
    return nanoseconds / NANOSECONDS


def nanoseconds(duration_s: float) -> int:
    """A duration of ours."""
    return round(duration_s * NANOSECONDS)


def read_cpus(nano_cpus: int, *, least: int = 0) -> tuple[int, int]:
    """Thousandths of a core, of which there are at `least` some; what was asked for if finer."""
    millis = -(-nano_cpus // _NANOCPUS_OF_A_MILLI)
    counted = max(millis, least) if nano_cpus else 0
    return counted, 0 if counted * _NANOCPUS_OF_A_MILLI == nano_cpus else nano_cpus


def write_cpus(millis: int, nano_cpus: int, *, least: int = 0) -> int:
    """Billionths of a core: as asked for, unless somebody has changed what counts since."""
    is_present = bool(nano_cpus) and read_cpus(nano_cpus, least=least)[0] == millis
    return nano_cpus if is_present else millis * _NANOCPUS_OF_A_MILLI


def ordered(entries: Mapping[str, str]) -> dict[str, str]:
    """`entries` by key, as Go writes its maps."""
    return {key: entries[key] for key in sorted(entries)}


def _either(words: Mapping[str, object]) -> str:
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last
