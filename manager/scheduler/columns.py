"""Keep what the rows of the node table have in columns of one kind each.

Counts of a service are few on a large swarm, or on all of its nodes: they are a dictionary
until an array is smaller. Attributes are codes, so that a wish is compared once with each
value that there is and not once with each node.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from swarm.objects import Node
from swarm.specs import GenericResource

Int = NDArray[np.int64]
Mask = NDArray[np.bool_]
Text = NDArray[np.object_]

PLENTY = 1 << 40
"""More tasks than any node takes: the capacity of a node that nothing limits."""

_C = TypeVar("_C", bound=np.generic)
_V = TypeVar("_V", bound=Hashable)

_FEW = 64
_DICTIONARY_COST = 16  # an entry of a dictionary takes as much memory as so many of an array


class Counts:
    """How many there are on each row; `total` on all of them."""

    __slots__ = ("_few", "_many", "total")

    def __init__(self) -> None:
        self._few: Counter[int] = Counter()
        self._many: NDArray[np.int32] | None = None
        self.total = 0

    def add(self, rows: Int, signs: Int | int, length: int) -> None:
        """Count one more (`signs` 1) or one less (-1) on each of `rows`, which may repeat."""
        added = signs * len(rows) if isinstance(signs, int) else int(signs.sum())
        self.total += added
        entries = len(self._few) + len(rows)
        if self._many is None and entries > max(_FEW, length // _DICTIONARY_COST):
            self._many, self._few = self.dense(length).astype(np.int32), Counter()
        if self._many is not None:
            self._many = _as_long_as(self._many, length)
            np.add.at(self._many, rows, signs)
            return
        if isinstance(signs, int) and signs == 1:
            self._few.update(rows.tolist())
            return
        every: list[int] = np.broadcast_to(signs, rows.shape).tolist()
        for row, sign in zip(rows.tolist(), every, strict=True):
            left = self._few.get(row, 0) + sign
            if left:
                self._few[row] = left
            else:
                del self._few[row]

    def copied(self) -> "Counts":
        """The same, apart."""
        copy = Counts()
        copy.total, copy._few = self.total, self._few.copy()
        copy._many = self._many.copy() if self._many is not None else None
        return copy

    def dense(self, length: int) -> Int:
        """The counts as an array of the table's length."""
        found = np.zeros(length, np.int64)
        if self._many is not None:
            found[: len(self._many)] = self._many
        elif self._few:
            rows = np.fromiter(self._few.keys(), np.int64, len(self._few))
            found[rows] = np.fromiter(self._few.values(), np.int64, len(self._few))
        return found

    def at(self, row: int) -> int:
        """How many there are on one row."""
        if self._many is None:
            return self._few.get(row, 0)
        return int(self._many[row]) if row < len(self._many) else 0


class Column(Generic[_V]):
    """What each node has of one attribute. Code 0 is `nothing`, which unused rows have."""

    def __init__(self, read: Callable[[Node], _V], nothing: _V, length: int) -> None:
        self.codes: Int = np.zeros(length, np.int64)
        self.values: list[_V] = [nothing]
        self._read = read
        self._code_of: dict[_V, int] = {nothing: 0}

    def put(self, row: int, node: Node | None) -> None:
        """Take over what a node has, or that there is none any more."""
        value = self._read(node) if node is not None else self.values[0]
        code = self._code_of.setdefault(value, len(self.values))
        if code == len(self.values):
            self.values.append(value)
        self.codes[row] = code

    def is_value(self, value: _V) -> Mask:
        """Which rows have this value."""
        found: Mask = self.codes == self._code_of.get(value, -1)
        return found

    def satisfies(self, judge: Callable[[_V], bool]) -> Mask:
        """Which rows have a value of which `judge` thinks well."""
        verdicts = np.fromiter(map(judge, self.values), np.bool_, len(self.values))
        found: Mask = verdicts[self.codes]
        return found

    def measured(self, measure: Callable[[_V], int]) -> Int:
        """A number for each row's value."""
        found: Int = np.fromiter(map(measure, self.values), np.int64, len(self.values))[self.codes]
        return found

    def at(self, row: int) -> _V:
        """What one row has."""
        return self.values[int(self.codes[row])]

    def grow(self) -> None:
        """Follow the table to twice its length."""
        self.codes = longer(self.codes)


class Stock:
    """One kind of generic resource: counted on some nodes, each with its name on others."""

    def __init__(self, kind: str, length: int) -> None:
        self.kind = kind
        self.total: Int = np.zeros(length, np.int64)
        self.reserved: Int = np.zeros(length, np.int64)
        self._unclaimed: Int = np.full(length, PLENTY, np.int64)
        self._names: dict[int, tuple[str, ...]] = {}
        self._claims: dict[int, dict[str, int]] = {}

    def put(self, row: int, have: GenericResource | None) -> None:
        """Take over what a node has."""
        names = have.names if have is not None else ()
        self.total[row] = len(names) if names else have.count if have is not None else 0
        self._names.pop(row, None)
        if names:
            self._names[row] = names
        self._recount(row)

    def claim(self, row: int, names: tuple[str, ...], sign: int) -> None:
        """Give names to a task (1) or take them back (-1)."""
        claims = self._claims.setdefault(row, {})
        for name in names:
            left = claims.get(name, 0) + sign
            if left:
                claims[name] = left
            else:
                del claims[name]
        if not claims:
            del self._claims[row]
        self._recount(row)

    def free(self) -> Int:
        """How much of it each node has left; may be negative."""
        left: Int = np.minimum(self.total - self.reserved, self._unclaimed)
        return left

    def unclaimed(self, row: int) -> Iterator[str]:
        """The names on a node that no task has, in the node's order."""
        claims = self._claims.get(row, {})
        return (name for name in self._names.get(row, ()) if name not in claims)

    @property
    def has_names(self) -> bool:
        """Whether tasks get theirs by name on any node."""
        return bool(self._names)

    def is_named(self, row: int) -> bool:
        """Whether tasks get theirs by name on this node."""
        return row in self._names

    def row(self, row: int) -> tuple[int, int, int]:
        """What one node has, what is reserved of it, and what is left."""
        return int(self.total[row]), int(self.reserved[row]), int(self.free()[row])

    def grow(self) -> None:
        """Follow the table to twice its length."""
        self.total, self.reserved = longer(self.total), longer(self.reserved)
        more = np.full(len(self._unclaimed), PLENTY, np.int64)
        self._unclaimed = np.concatenate([self._unclaimed, more])

    def _recount(self, row: int) -> None:
        is_named = row in self._names
        self._unclaimed[row] = sum(1 for _ in self.unclaimed(row)) if is_named else PLENTY


def longer(column: NDArray[_C]) -> NDArray[_C]:
    """Twice as long, with nothing in the new half."""
    return np.concatenate([column, np.zeros_like(column)])


def _as_long_as(column: NDArray[_C], length: int) -> NDArray[_C]:
    if len(column) >= length:
        return column
    return np.concatenate([column, np.zeros(length - len(column), column.dtype)])
