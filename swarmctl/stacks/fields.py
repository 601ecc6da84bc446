"""Read the fields of a mapping, and collect all that is wrong with them.

Nothing is raised: a field that cannot be read is a problem with its path, and counts as not
given, so that a file's problems are told at once. Numbers and switches may be text, as they
are once a variable was filled in. A field that nobody asked for is a problem as well, unless it
begins with `x-`; `done` tells.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from swarm.errors import Invalid
from swarm.quantities import (
    parse_bytes,
    parse_cpus,
    parse_duration,
    parse_integer,
    parse_number,
)
from swarmctl.edits import words
from swarmctl.stacks.documents import Document, Value

V = TypeVar("V")

_BOOLEANS = {"true": True, "false": False}


class Fields:
    """The mapping at `path`; `problems` is shared by all of a file."""

    def __init__(self, value: Value, path: str, problems: list[str]) -> None:
        self.path = path
        self.problems = problems
        self._asked = set[str]()
        if value is not None and not isinstance(value, dict):
            self.problem("", f"{value!r} is not a mapping")
            value = None
        self._fields: Document = value or {}

    def __contains__(self, name: str) -> bool:
        return self._fields.get(name) is not None

    def names(self) -> Iterator[str]:
        """All names but extensions, in the order of the file."""
        return (name for name in self._fields if not name.startswith("x-"))

    def at(self, name: str) -> str:
        """The path of a field."""
        return ".".join(filter(None, (self.path, name)))

    def problem(self, name: str, text: str) -> None:
        """Note what is wrong."""
        self.problems.append(f"{self.at(name)}: {text}")

    def value(self, name: str) -> Value:
        """The field as it is."""
        self._asked.add(name)
        return self._fields.get(name)

    def within(self, name: str) -> "Fields":
        """The mapping in a field, which may be missing."""
        return Fields(self.value(name), self.at(name), self.problems)

    def read(self, name: str, parse: Callable[[str], V]) -> V | None:
        """What `parse` makes of the text in a field; its `Invalid` becomes a problem."""
        text = self._scalar(name, self.value(name))
        return None if text is None else self._parsed(name, text, parse)

    def read_all(self, name: str, parse: Callable[[str], V]) -> tuple[V, ...]:
        """The same for a list of texts."""
        found = (
            self._parsed(f"{name}[{at}]", text, parse) for at, text in enumerate(self.texts(name))
        )
        return tuple(each for each in found if each is not None)

    def text(self, name: str) -> str | None:
        """Text; numbers and switches are as they were written."""
        return self.read(name, str)

    def boolean(self, name: str) -> bool | None:
        """`true` or `false`."""
        return self.read(name, _boolean)

    def count(self, name: str) -> int | None:
        """A whole number."""
        return self.read(name, parse_integer)

    def ratio(self, name: str) -> float | None:
        """A number."""
        return self.read(name, parse_number)

    def duration(self, name: str) -> float | None:
        """Seconds in `1m30s`."""
        return self.read(name, parse_duration)

    def size(self, name: str) -> int | None:
        """Bytes in `64M`."""
        return self.read(name, parse_bytes)

    def cpus(self, name: str) -> int | None:
        """Thousandths of a core in `0.5`."""
        return self.read(name, parse_cpus)

    def mode(self, name: str) -> int | None:
        """Permissions: a number, or octal digits."""
        value = self.value(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        return self.read(name, _octal)

    def items(self, name: str) -> Sequence[Value]:
        """A list."""
        value = self.value(name)
        if value is None or isinstance(value, list):
            return value or ()
        self.problem(name, f"{value!r} is not a list")
        return ()

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts, or one of them."""
        value = self.value(name)
        found = (
            (self._scalar(f"{name}[{at}]", each) for at, each in enumerate(value))
            if isinstance(value, list)
            else (self._scalar(name, value),)
        )
        return tuple(each for each in found if each is not None)

    def words(self, name: str) -> tuple[str, ...] | None:
        """A command: a list of words, or text that is split as a shell does."""
        value = self.value(name)
        if isinstance(value, list):
            return self.texts(name)
        return self.read(name, words)

    def pairs(self, name: str, *, separator: str = "=") -> dict[str, str | None]:
        """`KEY=VALUE` each, or a mapping; a value may be missing."""
        value = self.value(name)
        if not isinstance(value, dict):
            texts = (text.partition(separator) for text in self.texts(name))
            return {key: word if there else None for key, there, word in texts}
        return {key: self._scalar(f"{name}.{key}", each) for key, each in value.items()}

    def labels(self, name: str) -> dict[str, str]:
        """The same where what is missing is empty."""
        return {key: value or "" for key, value in self.pairs(name).items()}

    def ignored(self, names: Iterable[str]) -> tuple[str, ...]:
        """Which of these are there; nobody asks for them again."""
        self._asked |= {*(names := tuple(names))}
        return tuple(name for name in names if name in self)

    def done(self, hints: Callable[[str], str] = lambda _: "") -> None:
        """Complain of whatever is there and was never asked for."""
        for name in self.names():
            if name not in self._asked:
                self.problem(name, hints(name) or "there is no such key")

    def _parsed(self, name: str, text: str, parse: Callable[[str], V]) -> V | None:
        try:
            return parse(text)
        except Invalid as err:
            self.problem(name, f"{err.message}; {err.hint}" if err.hint else err.message)
            return None

    def _scalar(self, name: str, value: Value) -> str | None:
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, list | dict):
            self.problem(name, f"{value!r} is not a single value")
            return None
        return None if value is None else str(value)


def _boolean(text: str) -> bool:
    found = _BOOLEANS.get(text.lower())
    if found is None:
        raise Invalid(f"{text!r} is neither true nor false")
    return found


def _octal(text: str) -> int:
    try:
        return int(text, 8)
    except ValueError as err:
        raise Invalid(f"{text!r} is not octal", hint='write it like 0440 or "0440"') from err
