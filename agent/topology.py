"""Hold what this node was told of its networks, and say what each message changed of it.

A complete topology replaces everything, and yet only what differs from before counts as
changed: after a reconnection nothing is done to records that stayed as they were. In the order
of its changes whatever a record refers to is there before it and gone after it. What a message
both names and removes is there.
"""

from collections.abc import Iterator, Mapping

from msgspec import Struct

from swarm.ids import NetworkId, ServiceId, TaskId
from swarm.objects import Network
from swarm.specs import BRIDGE
from swarm.topology import Endpoint, Record, Topology, key_of

LOCAL_ID_LENGTH = 64

_ORDER = ("network", "peer", "key", "service", "endpoint", "publication")


def is_local(network_id: NetworkId) -> bool:
    """Whether it is a network of this node alone: the bridge, or one that somebody made here.

    Their ids have as many digits as Docker's; those that managers make have fewer.
    """
    return network_id == BRIDGE or len(network_id) == LOCAL_ID_LENGTH


class Changes(Struct, frozen=True, kw_only=True):
    """What is new or different now, and the old records of what is gone.

    `data_path_port` is 0 where it stayed what it was.
    """

    put: tuple[Record, ...] = ()
    gone: tuple[Record, ...] = ()
    data_path_port: int = 0

    def __bool__(self) -> bool:
        return bool(self.put or self.gone or self.data_path_port)


class Backlog:
    """Changes that nobody has followed yet, joined into one: what was put and gone meanwhile, or
    put twice, is followed once or not at all."""

    def __init__(self) -> None:
        self._followed: dict[str, Record] = {}
        self._open: dict[str, Record | None] = {}
        self._data_path_port = 0

    def add(self, changes: Changes) -> None:
        """Something changed."""
        for each in changes.gone:
            self._open[key_of(each)] = None
        for each in changes.put:
            self._open[key_of(each)] = each
        self._data_path_port = changes.data_path_port or self._data_path_port

    def take(self) -> Changes:
        """All of it, which is followed from now on."""
        before, self._open = self._open, {}
        put = [
            (key, each)
            for key, each in before.items()
            if each is not None and self._followed.get(key) != each
        ]
        gone = [key for key, each in before.items() if each is None and key in self._followed]
        port, self._data_path_port = self._data_path_port, 0
        changes = Changes(
            put=tuple(each for _, each in sorted(put, key=lambda entry: _rank(entry[0]))),
            gone=tuple(self._followed.pop(key) for key in sorted(gone, key=_rank, reverse=True)),
            data_path_port=port,
        )
        self._followed.update(put)
        return changes


class Table:
    """All records by key. `data_path_port` is 0 until a manager has said it."""

    def __init__(self) -> None:
        self.data_path_port = 0
        self._records: dict[str, Record] = {}
        self._endpoints: dict[TaskId, dict[NetworkId, Endpoint]] = {}
        self._serving: dict[tuple[NetworkId, ServiceId], set[TaskId]] = {}

    @property
    def records(self) -> Mapping[str, Record]:
        """Everything that is known, by key."""
        return self._records

    def take(self, topology: Topology) -> Changes:
        """Apply what a message says; costs as much as the message, not as the table."""
        named = {key_of(each): each for each in topology.records()}
        put = tuple(each for key, each in named.items() if self._records.get(key) != each)
        removed = self._records if topology.is_complete else dict.fromkeys(topology.removed)
        keys = [key for key in removed if key not in named and key in self._records]
        gone = tuple(self._remove(key) for key in sorted(keys, key=_rank, reverse=True))
        for each in put:
            self._put(each)
        before, self.data_path_port = (
            self.data_path_port,
            topology.data_path_port or self.data_path_port,
        )
        port = self.data_path_port if self.data_path_port != before else 0
        return Changes(put=put, gone=gone, data_path_port=port)

    def network(self, network_id: NetworkId) -> Network | None:
        """A network of the swarm; None when nobody told of it."""
        found = self._records.get(f"network/{network_id}")
        return found if isinstance(found, Network) else None

    def endpoints(self, task_id: TaskId) -> Mapping[NetworkId, Endpoint]:
        """Where a task is, by network."""
        return self._endpoints.get(task_id, {})

    def serving(self, network_id: NetworkId, service_id: ServiceId) -> frozenset[TaskId]:
        """The tasks that answer for a service in a network."""
        return frozenset(self._serving.get((network_id, service_id), ()))

    def is_relieved(self, task_id: TaskId) -> bool:
        """Whether others answer for its service in a network that it is in.

        Only then it pays to answer on for a moment while the word spreads that it ends: callers
        that heard it go there. They would find nobody if it were the last.
        """
        return any(
            self._serving.get((each.network_id, each.service_id), set[TaskId]()) - {task_id}
            for each in self.endpoints(task_id).values()
        )

    def check(self) -> None:
        """Assert that the indexes say what the records say."""
        endpoints = [each for each in self._records.values() if isinstance(each, Endpoint)]
        assert {key_of(each) for each in endpoints} == {
            key_of(each) for found in self._endpoints.values() for each in found.values()
        }
        assert all(self._endpoints.values())
        serving = {
            (each.network_id, each.service_id, each.task_id)
            for each in endpoints
            if each.is_serving
        }
        assert serving == set(self._all_serving())
        assert all(self._serving.values())

    def _all_serving(self) -> Iterator[tuple[NetworkId, ServiceId, TaskId]]:
        for (network_id, service_id), tasks in self._serving.items():
            for task_id in tasks:
                yield network_id, service_id, task_id

    def _put(self, record: Record) -> None:
        key = key_of(record)
        if key in self._records:
            self._remove(key)
        self._records[key] = record
        if isinstance(record, Endpoint):
            self._endpoints.setdefault(record.task_id, {})[record.network_id] = record
            if record.is_serving:
                place = (record.network_id, record.service_id)
                self._serving.setdefault(place, set()).add(record.task_id)

    def _remove(self, key: str) -> Record:
        record = self._records.pop(key)
        if isinstance(record, Endpoint):
            networks = self._endpoints[record.task_id]
            del networks[record.network_id]
            if not networks:
                del self._endpoints[record.task_id]
            place = (record.network_id, record.service_id)
            if (serving := self._serving.get(place)) is not None:
                serving.discard(record.task_id)
                if not serving:
                    del self._serving[place]
        return record


def _rank(key: str) -> tuple[int, str]:
    return _ORDER.index(key.partition("/")[0]), key
