"""Judge single values: names, counts, durations, and what has a reader of its own.

A problem is the path of a value and what is wrong with it; a value that is fine yields none.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator

from swarm.errors import Invalid

Problem = tuple[str, str]  # path, what is wrong with what is there

MAX_COUNT = 2**31 - 1
MAX_REPLICAS = 100_000
"""A service is planned as a whole now and then, and nobody else has a say meanwhile: with so many
replicas that takes a second or two, and with two thousand million the manager's memory and,
since the wish is stored, that of every leader after it. Several services may share more."""

_HOST_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?")


def labels(path: str, labels: dict[str, str]) -> Iterator[Problem]:
    """Labels of a service or a container."""
    for key in sorted(labels):
        if not key or any(map(str.isspace, key)) or "=" in key:
            yield (
                f"{path}[{key}]",
                f"{key!r}: a label's name is not empty and has neither space nor =",
            )


def count(path: str, number: int, *, least: int = 0, most: int = MAX_COUNT) -> Iterator[Problem]:
    """A number of things."""
    if number < 0:
        yield path, f"{number} must not be negative"
    elif number < least:
        yield path, f"{number} is less than {least}"
    elif number > most:
        yield path, f"{number} is more than {most}"


def replicas(path: str, number: int, *, least: int = 0) -> Iterator[Problem]:
    """How many tasks of one service there may be at a time."""
    if number > MAX_REPLICAS:
        yield (
            path,
            f"{number} is more than {MAX_REPLICAS}, the most that one service has; "
            "divide it into several services",
        )
    else:
        yield from count(path, number, least=least)


def duration(path: str, seconds: float) -> Iterator[Problem]:
    """A time that may be 0."""
    if not math.isfinite(seconds) or seconds < 0:
        yield path, f"{seconds:g} s must not be negative"


def ratio(path: str, share: float) -> Iterator[Problem]:
    """A share of a whole."""
    if not 0 <= share <= 1:
        yield path, f"{share:g} is not between 0 and 1"


def readable(path: str, read: Callable[[str], object], text: str) -> Iterator[Problem]:
    """Whatever `read` refuses."""
    try:
        read(text)
    except Invalid as err:
        yield path, f"{err.message}; {err.hint}" if err.hint else err.message


def all_readable(
    path: str, read: Callable[[str], object], texts: Iterable[str]
) -> Iterator[Problem]:
    """Whatever `read` refuses of several."""
    for index, text in enumerate(texts):
        yield from readable(f"{path}[{index}]", read, text)


def is_hostname(text: str) -> bool:
    """Whether this can name a host; a template is only checked for being closed."""
    if "{{" in text:
        return text.count("{{") == text.count("}}")
    return len(text) <= 253 and all(map(_HOST_LABEL.fullmatch, text.split(".")))
