"""Keep records in the order in which they changed, for readers that come by now and then.

Whoever has read up to some change is told what came after it, each record once and as it is now:
so a reader costs what has changed, however many others there are, and nothing has to be
remembered for each of them but a number. What is gone is remembered, too, until it is more than
what is there; a reader that was away for longer has to start over.
"""

from collections import OrderedDict

from msgspec import Struct

from swarm.topology import Record


class News(Struct, frozen=True):
    """What is new or different, and the keys of what is gone."""

    put: tuple[Record, ...] = ()
    gone: tuple[str, ...] = ()


class Bulletin:
    """The records of one subject, by key. `latest` is the number of the last change."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.latest = 0
        self._changed: OrderedDict[str, int] = OrderedDict()
        self._forgotten = 0

    def put(self, key: str, record: Record) -> bool:
        """Have a record be this; whether that is news."""
        if self.records.get(key) == record:
            return False
        self.records[key] = record
        self._note(key)
        return True

    def drop(self, key: str) -> bool:
        """Have a record be gone; whether that is news."""
        if self.records.pop(key, None) is None:
            return False
        self._note(key)
        if len(self._changed) > 2 * len(self.records) + FEW:
            self._forget()
        return True

    def since(self, number: int) -> News | None:
        """What has changed after a number; None when it is too long ago to tell."""
        if number < self._forgotten:
            return None
        put, gone = list[Record](), list[str]()
        for key in reversed(self._changed):
            if self._changed[key] <= number:
                break
            record = self.records.get(key)
            if record is None:
                gone.append(key)
            else:
                put.append(record)
        return News(tuple(reversed(put)), tuple(reversed(gone)))

    def known_since(self, number: int) -> list[str] | None:
        """What a reader may know who has read up to a number; None when nobody can tell."""
        return None if number < self._forgotten else [*self._changed]

    def _note(self, key: str) -> None:
        self.latest += 1
        self._changed[key] = self.latest
        self._changed.move_to_end(key)

    def _forget(self) -> None:
        """Remember what is gone no longer, but for what went last."""
        gone = [key for key in self._changed if key not in self.records]
        for key in gone[: -FEW // 2]:
            self._forgotten = max(self._forgotten, self._changed.pop(key))

    def check(self) -> None:
        """Assert that the order is that of the changes, and nothing is told that is not there."""
        numbers = list(self._changed.values())
        assert numbers == sorted(numbers)
        assert not numbers or numbers[-1] == self.latest
        assert self.records.keys() <= self._changed.keys()


FEW = 100
"""How many that are gone are remembered in any case."""
