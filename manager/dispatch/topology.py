"""Tell one node of its networks: everything at first, and afterwards only what changed.

What is put together once for all nodes (`manager.dispatch.networks`) is read here up to where
the subjects stand, subject by subject; a session remembers nothing but how far it has read. A
node that begins to follow a subject is told all of it, and one that ceases to that it is gone,
but for what other subjects of its own still say. A session that fell too far behind begins anew
with everything.

Of a network that does not reach beyond its nodes, a node hears of its own tasks only.
"""

from collections.abc import Iterable, Mapping

from manager.dispatch.bulletins import Bulletin
from manager.dispatch.networks import Networks
from swarm.ids import NetworkId, NodeId
from swarm.topology import Endpoint, Record, Topology, key_of, topology_of


class Surroundings:
    """What one session was told of its node's networks; nothing before it `is_open`."""

    def __init__(self, node_id: NodeId, networks: Networks) -> None:
        self._node_id = node_id
        self._networks = networks
        self._read: dict[str, tuple[Bulletin, int]] = {}
        self._port = 0
        self.is_open = False

    def open(self) -> Topology:
        """Everything, with which a session begins."""
        subjects = self._networks.subjects_of(self._node_id)
        self._read = {name: (each, each.latest) for name, each in subjects.items()}
        self._port, self.is_open = self._networks.data_path_port, True
        records = {
            key: record for each in subjects.values() for key, record in each.records.items()
        }
        return topology_of(
            sorted(self._own(records.values()), key=key_of),
            data_path_port=self._port,
            is_complete=True,
        )

    def diff(self) -> Topology | None:
        """What has changed since this was last asked; None when nothing has."""
        if not self.is_open:
            return self.open()
        subjects = self._networks.subjects_of(self._node_id)
        put, gone = dict[str, Record](), dict[str, None]()
        for name, bulletin in subjects.items():
            known, number = self._read.get(name, (bulletin, 0))
            if known is bulletin and number == bulletin.latest:
                continue
            news = bulletin.since(number if known is bulletin else 0)
            if news is None:
                return self.open()
            put.update((key_of(each), each) for each in news.put)
            gone.update(dict.fromkeys(news.gone))
        for name, (bulletin, number) in self._read.items():
            if subjects.get(name) is not bulletin:
                keys = bulletin.known_since(number)
                if keys is None:
                    return self.open()
                gone.update(dict.fromkeys(keys))
        self._read = {name: (each, each.latest) for name, each in subjects.items()}
        removed = [key for key in gone if not _is_in(subjects, key)]
        own = self._own(put.values())
        port, self._port = self._port, self._networks.data_path_port
        if not own and not removed and port == self._port:
            return None
        return topology_of(
            sorted(own, key=key_of),
            removed=removed,
            data_path_port=self._port if port != self._port else 0,
        )

    def check(self, told: Iterable[Record]) -> None:
        """Assert that these records, which are what was told, are what there is to tell."""
        fresh = Surroundings(self._node_id, self._networks).open()
        assert {key_of(each): each for each in told} == {
            key_of(each): each for each in fresh.records()
        }

    def _own(self, records: Iterable[Record]) -> list[Record]:
        local = self._networks.local
        return [each for each in records if not local or self._is_own(each, local)]

    def _is_own(self, record: Record, local: set[NetworkId]) -> bool:
        if not isinstance(record, Endpoint) or record.network_id not in local:
            return True
        return record.node_id == self._node_id


def _is_in(subjects: Mapping[str, Bulletin], key: str) -> bool:
    """Whether something else says that it is there: nodes and keys are in many networks."""
    return any(key in each.records for each in subjects.values())
