"""Answer a packet, or say that another server has to.

What the swarm's networks know is answered here, and all of it: a name that is known never goes
to another server, whatever is asked of it. Answers live for no time at all, since a task that
stopped must not be asked for a second longer, and asking again costs a few microseconds.
Prepared records are kept per name and thrown away with it when something of it changes.
"""

from random import Random
from typing import Final

from msgspec import Struct

from agent.dns import wire
from agent.dns.asking import Asker
from agent.dns.names import Found, Names
from swarm.ids import NetworkId
from swarm.topology import Topology

TTL_S: Final = 0
_SMALLEST_RECORD: Final = 16
_NOWHERE: Final = NetworkId("")


class Answer(Struct, frozen=True):
    """What the caller is told. `network_id` is where it was found."""

    packet: bytes
    network_id: NetworkId = _NOWHERE
    is_failure: bool = False


class Forward(Struct, frozen=True):
    """Ask another server."""

    query: wire.Query


Verdict = Answer | Forward


class Answers:
    """What callers are told of the swarm's networks."""

    def __init__(self, names: Names, random: Random) -> None:
        self.names = names
        self._random = random
        self._prepared: dict[str, dict[tuple[tuple[NetworkId, ...], int], _Prepared]] = {}

    def take(self, topology: Topology, *, is_local: bool = False) -> None:
        """Apply what has changed."""
        changed = self.names.take(topology, is_local=is_local)
        if changed is None:
            self._prepared.clear()
            return
        for name in changed:
            self._prepared.pop(name, None)

    def verdict(self, packet: bytes, asker: Asker, *, is_tcp: bool) -> Verdict | None:
        """What to do about a packet; None is to say nothing."""
        query = wire.read(packet)
        match query:
            case None:
                return None
            case wire.Rejected():
                return Answer(wire.reject(query), is_failure=True)
            case wire.Query():
                pass
        if query.version:
            return Answer(wire.fail(query, wire.BADVERS), is_failure=True)
        if query.kind in (wire.AXFR, wire.IXFR):
            return Answer(wire.fail(query, wire.REFUSED), is_failure=True)
        if (prepared := self._find(query, asker)) is not None:
            limit = wire.LARGEST_TCP if is_tcp else wire.room(query)
            return self._answer(query, prepared, limit)
        if not asker.servers and self.names.is_closed(asker):
            return Answer(wire.fail(query, wire.NXDOMAIN))
        return Forward(query)

    def _find(self, query: wire.Query, asker: Asker) -> "_Prepared | None":
        if not wire.is_internet(query):
            return None
        if (own := self.names.own(asker, query.name)) is not None:
            return _prepare(own, query.kind)
        if (nicknamed := self.names.nicknamed(asker, query.name)) is not None:
            return _prepare(nicknamed, query.kind)
        place = (asker.networks, query.kind)
        if (known := self._prepared.get(query.name, {}).get(place)) is not None:
            return known
        if (found := self.names.lookup(asker, query.name)) is not None:
            prepared = _prepare(found, query.kind)
            self._prepared.setdefault(query.name, {})[place] = prepared
            return prepared
        if (own := self.names.hostname(asker, query.name)) is not None:
            return _prepare(own, query.kind)
        if (named := self.names.reverse(asker, query.name)) is not None:
            return _prepare_pointers(named, query.kind)
        return None

    def _answer(self, query: wire.Query, prepared: "_Prepared", limit: int) -> Answer:
        records = prepared.records
        if prepared.is_interchangeable and len(records) > 1:
            fitting = limit // _SMALLEST_RECORD + 1
            records = tuple(self._random.sample(records, min(len(records), fitting)))
        return Answer(wire.answer(query, records, prepared.rcode, limit), prepared.network_id)


class _Prepared(Struct, frozen=True):
    """The records of an answer, in the format of the wire."""

    network_id: NetworkId
    records: tuple[bytes, ...]
    rcode: int = wire.NOERROR
    is_interchangeable: bool = False


def _prepare(found: Found, kind: int) -> _Prepared:
    wanted = [each for each in found.values if kind in (wire.ANY, _kind_of(each))]
    records = tuple(wire.address_record(each, TTL_S) for each in wanted)
    return _Prepared(found.network_id, records, is_interchangeable=found.is_interchangeable)


def _prepare_pointers(found: Found, kind: int) -> _Prepared:
    if not found.exists:
        return _Prepared(found.network_id, (), rcode=wire.NXDOMAIN)
    named = found.values if kind in (wire.PTR, wire.ANY) else ()
    records = (wire.pointer_record(each, TTL_S) for each in named)
    return _Prepared(found.network_id, tuple(each for each in records if each))


def _kind_of(address: str) -> int:
    return wire.AAAA if ":" in address else wire.A
