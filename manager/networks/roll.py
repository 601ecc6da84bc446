"""Hold what is known of guests: by their keys, by container, by node, and by network."""

from collections.abc import Mapping
from typing import TypeVar

from manager.decoding import GuestKey
from swarm.ids import NetworkId, NodeId, TaskId
from swarm.objects import Guest

_K = TypeVar("_K")


class Roll:
    """All guests. `of` is by key; look into it freely, and change it here."""

    def __init__(self) -> None:
        self.of: dict[GuestKey, Guest] = {}
        self._on: dict[NodeId, dict[GuestKey, Guest]] = {}
        self._in: dict[NetworkId, dict[GuestKey, Guest]] = {}
        self._stays: dict[TaskId, dict[GuestKey, Guest]] = {}

    def put(self, key: GuestKey, guest: Guest) -> None:
        """There is this guest, or it has changed."""
        self.drop(key)
        self.of[key] = guest
        self._on.setdefault(guest.node_id, {})[key] = guest
        self._in.setdefault(guest.network_id, {})[key] = guest
        self._stays.setdefault(guest.id, {})[key] = guest

    def drop(self, key: GuestKey) -> None:
        """It is gone; content when it was never there."""
        guest = self.of.pop(key, None)
        if guest is not None:
            _take_out(self._on, guest.node_id, key)
            _take_out(self._in, guest.network_id, key)
            _take_out(self._stays, guest.id, key)

    def on(self, node_id: NodeId) -> Mapping[GuestKey, Guest]:
        """The guests of a node."""
        return self._on.get(node_id, {})

    def within(self, network_id: NetworkId) -> Mapping[GuestKey, Guest]:
        """The guests in a network."""
        return self._in.get(network_id, {})

    def stays(self, container_id: TaskId) -> tuple[Guest, ...]:
        """Where one container is, in order of the networks."""
        return tuple(each for _, each in sorted(self._stays.get(container_id, {}).items()))

    def nodes(self) -> tuple[NodeId, ...]:
        """The nodes that have guests, or had when they left."""
        return tuple(sorted(self._on))

    def check(self) -> None:
        """Assert that the indexes say what the guests say."""
        fresh = Roll()
        for key, guest in self.of.items():
            assert key == (guest.id, guest.network_id)
            fresh.put(key, guest)
        assert (fresh._on, fresh._in) == (self._on, self._in)
        assert fresh._stays == self._stays


def _take_out(outer: dict[_K, dict[GuestKey, Guest]], key: _K, guest: GuestKey) -> None:
    found = outer.get(key, {})
    found.pop(guest, None)
    if not found:
        outer.pop(key, None)
