"""Read what ps(1) prints, and keep what is about certain processes.

The last column takes all that is left of a line. Lines of threads have a dash for their number
and belong to the process before them.
"""

import re
from collections.abc import Collection, Iterator

from msgspec import Struct

from swarm.errors import Invalid

DEFAULT_ARGUMENTS = ("-ef",)

_RENAMED = re.compile(r"(?:^|[\s,])([^\s,=]*)=\s*(PID\S*)")
_SPACE = re.compile(r"[\t\n\f\r ]+")


class Listing(Struct, frozen=True, kw_only=True):
    """Titles of columns, and a row for each process."""

    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def arguments(asked: Collection[str]) -> tuple[str, ...]:
    """The words of what somebody typed for ps; `Invalid` when its column of pids would lie."""
    text = " ".join(asked)
    for name, title in _RENAMED.findall(text):
        if name != "pid":
            raise Invalid(f'specifying "{name}={title}" is not allowed')
    if "\0" in text:
        raise Invalid("arguments of ps hold no NUL character")
    return tuple(filter(None, text.split(" "))) or DEFAULT_ARGUMENTS


def listing(text: str, pids: Collection[int]) -> Listing:
    """What `text` says of `pids`."""
    lines = text.split("\n")
    titles = _fields(lines[0])
    if "PID" not in titles:
        raise Invalid("Couldn't find PID field in ps output")
    return Listing(titles=titles, rows=tuple(_rows(lines[1:], titles, pids)))


def _rows(
    lines: list[str], titles: tuple[str, ...], pids: Collection[int]
) -> Iterator[tuple[str, ...]]:
    place, is_ours = titles.index("PID"), False
    for line in lines:
        fields = _fields(line, most=len(titles))
        if len(fields) <= place:
            continue
        pid = fields[place]
        if pid != "-":
            is_ours = pid.isdecimal() and int(pid) in pids
        if is_ours:
            yield fields + ("",) * (len(titles) - len(fields))


def _fields(line: str, *, most: int = 0) -> tuple[str, ...]:
    found = _SPACE.split(line.strip("\t\n\f\r "), maxsplit=most - 1 if most else 0)
    return tuple(found) if found != [""] else ()
