"""Hold one thing that is wrong with a config.json, and refuse a file that has any."""

from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import Struct

from swarm.errors import Invalid

_LISTED: Final = 12


class Problem(Struct, frozen=True):
    """`path` in the file, and what is wrong there.

    `because` is the path of another property on which this rests: if that could not be read,
    nothing can be said here.
    """

    path: str
    text: str
    because: str = ""

    def __str__(self) -> str:
        return f"{self.path}: {self.text}" if self.path else self.text


def refuse(name: str, problems: Iterable[Problem]) -> None:
    """Raise `Invalid` if there is any problem; `name` is that of the file."""
    found = tuple(str(each) for each in problems)
    if found:
        raise Invalid(
            f"{name}: {found[0]}",
            hint="" if len(found) == 1 else f"and {len(found) - 1} more",
            problems=found,
        )


def absolute(path: str, value: str) -> Iterator[Problem]:
    """The problem of a value that is no absolute path, if it is none."""
    if not value.startswith("/"):
        yield Problem(path, f"must be an absolute path, is {value!r}")


def one_of(path: str, value: str, names: Iterable[str]) -> Iterator[Problem]:
    """The problem of a value that is not in a table."""
    known = tuple(names)
    if value in known:
        return
    if len(known) > _LISTED:
        yield Problem(path, f"must be a name such as {known[0]}, is {value!r}")
    else:
        listed = ", ".join(name for name in known if name)
        yield Problem(path, f"must be one of {listed}; is {value!r}")


def twice(path: str, names: Iterable[str]) -> Iterator[Problem]:
    """A problem for each name that was there before; `path` holds `{}` for the number."""
    seen: set[str] = set()
    for number, name in enumerate(names):
        if name in seen:
            yield Problem(path.format(number), f"is there twice: {name!r}")
        seen.add(name)
