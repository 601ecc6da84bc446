"""Keep what other servers answered for as long as they said.

Nothing is kept longer than an hour, and what does not exist for five minutes at most, since
that is what people wait for. What was not asked for the longest time makes room.
"""

from collections import OrderedDict
from typing import Final

from agent.dns import wire

LONGEST_S: Final = 3600
LONGEST_DENIAL_S: Final = 300
_ENTRY_BYTES: Final = 500  # what an entry costs beside its packet, roughly


class Cache:
    """Replies by who asked whom what. A `scope` is whose servers answered."""

    def __init__(self, *, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._kept: OrderedDict[tuple[str, bytes], tuple[float, float, wire.Reply]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, scope: str, key: bytes, now: float) -> bytes | None:
        """The packet that answers `key`, its records as old as they are."""
        found = self._kept.get((scope, key))
        if found is None:
            return None
        since, until, reply = found
        if not since <= now < until:
            self._drop((scope, key))
            return None
        self._kept.move_to_end((scope, key))
        return wire.aged(reply, int(now - since))

    def put(self, scope: str, key: bytes, reply: wire.Reply, now: float) -> None:
        """Keep a reply, if it may be kept."""
        longest = LONGEST_DENIAL_S if reply.is_denial else LONGEST_S
        lifetime_s = min(reply.lifetime_s, longest)
        self._drop((scope, key))
        if lifetime_s <= 0 or _size(reply) > self._most_bytes // 4:
            return
        self._kept[scope, key] = (now, now + lifetime_s, reply)
        self._bytes += _size(reply)
        while self._bytes > self._most_bytes:
            _, (_, _, dropped) = self._kept.popitem(last=False)
            self._bytes -= _size(dropped)

    def forget(self, scope: str) -> None:
        """Drop all that somebody's own servers answered."""
        for place in [each for each in self._kept if each[0] == scope]:
            self._drop(place)

    def check(self) -> None:
        """Assert that it knows its size."""
        assert self._bytes == sum(_size(reply) for _, _, reply in self._kept.values())
        assert self._bytes <= self._most_bytes

    def _drop(self, place: tuple[str, bytes]) -> None:
        if (dropped := self._kept.pop(place, None)) is not None:
            self._bytes -= _size(dropped[2])


def _size(reply: wire.Reply) -> int:
    return len(reply.packet) + _ENTRY_BYTES
