"""Keep what the host's namespace shall hold by owner, and answer a change with operations.

Two owners may want the same for a while: a node that joined anew has two peers at one address
until word of the first one's end arrives. What anybody still wants stays.
"""

from collections.abc import Iterable, Iterator

from agent.network.kernel import Element, Operation, Put, Remove, Value, identity, is_met

Values = tuple[Value, ...]


class Ledger:
    """Values by owner; what is for one identity is the same whoever wants it."""

    def __init__(self) -> None:
        self._values: dict[str, Values] = {}
        self._holders: dict[tuple[object, ...], set[str]] = {}

    def __bool__(self) -> bool:
        return bool(self._values)

    def values(self) -> Iterator[Value]:
        """Everything that somebody wants, some of it more than once."""
        for values in self._values.values():
            yield from values

    def set(self, owner: str, values: Values, *, is_lost: bool = False) -> list[Operation]:
        """Have `owner` want these and nothing else.

        What it wanted before is put once more if the kernel may have lost it.
        """
        before = {identity(each): each for each in self._values.pop(owner, ())}
        after = {identity(each): each for each in values}
        if values:
            self._values[owner] = values
        gone = [Remove(each) for key, each in before.items() if self._release(owner, key, after)]
        new = [Put(each) for key, each in after.items() if is_lost or before.get(key) != each]
        for key in after:
            self._holders.setdefault(key, set()).add(owner)
        return [*new, *gone]

    def _release(
        self, owner: str, key: tuple[object, ...], after: dict[tuple[object, ...], Value]
    ) -> bool:
        """Whether nobody wants it any more."""
        if key in after:
            return False
        holders = self._holders[key]
        holders.discard(owner)
        if holders:
            return False
        del self._holders[key]
        return True


def mend(wanted: Iterable[Value], found: Iterable[Value], *, is_all: bool) -> list[Operation]:
    """Make of what was found what is wanted; what is too much goes only if this `is_all`."""
    there = {identity(each): each for each in found}
    lacking: dict[tuple[object, ...], Operation] = {}
    kept: set[tuple[object, ...]] = set()
    for value in wanted:
        key = identity(value)
        kept.add(key)
        if (before := there.get(key)) is None or not is_met(value, before):
            lacking[key] = Put(value)
    foreign = [Remove(each) for key, each in there.items() if key not in kept] if is_all else []
    return ordered([*lacking.values(), *foreign])


def ordered(operations: Iterable[Operation]) -> list[Operation]:
    """What hangs on links first, then elements, which become one transaction that way."""
    return sorted(operations, key=lambda each: isinstance(each.value, Element))
