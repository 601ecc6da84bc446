"""Look up what the names of the swarm's networks stand for.

A name means what it means in the first of the asker's networks that knows it, so that two
services of one name are never mixed; its addresses are those in all networks where the same
one has that name.
A name that is known has an answer even if nobody serves it at the moment: an empty one. Only
names that no network of the asker knows are for other servers to answer. What carries published
ports is a way in and no place to meet: nothing has a name there.
"""

from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address

from msgspec import Struct

from agent.dns.asking import Asker
from agent.dns.zones import Zone, unique_names
from agent.topology import is_local
from swarm.ids import NetworkId, TaskId
from swarm.objects import Network
from swarm.topology import Endpoint, Record, Topology, VirtualService, key_of

_REVERSE_4, _REVERSE_6 = ".in-addr.arpa", ".ip6.arpa"

_Zones = Sequence[tuple[NetworkId, Zone]]


class Found(Struct, frozen=True):
    """What a name stands for: addresses, or for a reverse name names.

    `network_id` is where it was found. Only the order of `is_interchangeable` ones is free.
    """

    network_id: NetworkId
    values: tuple[str, ...] = ()
    is_interchangeable: bool = False
    exists: bool = True


class Names:
    """The records of all networks of this node, by the names that they give."""

    def __init__(self) -> None:
        self._zones: dict[NetworkId, Zone] = {}
        self._records: dict[str, Record] = {}
        self._homes: dict[TaskId, dict[NetworkId, Endpoint]] = {}

    def take(self, topology: Topology, *, is_local: bool = False) -> frozenset[str] | None:
        """Apply what is new; returns the names that may stand for something else now.

        None means any name. Costs as much as the change. What is complete may be so of the node's
        own networks only.
        """
        touched: set[str] = set()
        everything = False
        named = {key_of(each): each for each in topology.records()}
        removed = topology.removed
        if topology.is_complete:
            removed = tuple(k for k, v in self._records.items() if not is_local or _is_local(v))
        for key in [each for each in removed if each not in named and each in self._records]:
            everything |= self._remove(self._records.pop(key), touched)
        for key, record in named.items():
            before = self._records.get(key)
            if before == record or not isinstance(record, Network | Endpoint | VirtualService):
                continue
            if before is not None:
                everything |= self._remove(before, touched)
            self._records[key] = record
            everything |= self._put(record, touched)
        return None if everything else frozenset(touched)

    def name_of(self, network_id: NetworkId) -> str:
        """What a network is called; its id while nobody has told."""
        zone = self._zones.get(network_id)
        return (zone.network.spec.name if zone and zone.network else "") or network_id

    def is_closed(self, asker: Asker) -> bool:
        """Whether none of its networks has a way out, so that it may reach nobody else."""
        zones = [self._zones.get(each) for each in asker.networks]
        return bool(zones) and all(
            zone is not None and zone.network is not None and zone.network.spec.internal
            for zone in zones
        )

    def lookup(self, asker: Asker, name: str) -> Found | None:
        """What `name` (lower case, no last dot) stands for, whatever the asker itself is called.

        None if no network of the asker knows it.
        """
        zones = self._zones_of(asker)
        for zone_id, zone in zones:
            if name in zone.names:
                return _found(zone_id, zone, name, zones)
        for zone_id, zone in zones:
            bare = name.removesuffix(f".{zone.name}") if zone.name else name
            if bare != name and bare in zone.names:
                return _found(zone_id, zone, bare, ((zone_id, zone),))
        return None

    def own(self, asker: Asker, name: str) -> Found | None:
        """The asker's addresses if `name` is what it alone is called: it knows itself first.

        Others hear of it only while it serves.
        """
        homes = self._homes.get(asker.task_id)
        if not homes:
            return None
        named = [
            (zone_id, homes[zone_id])
            for zone_id, zone in self._zones_of(asker)
            if zone_id in homes and _is_called(homes[zone_id], name, zone.name)
        ]
        return _addresses(named)

    def nicknamed(self, asker: Asker, name: str) -> Found | None:
        """What `name` stands for if it is a nickname that this asker has for somebody."""
        for each in asker.nicknames:
            zone = self._zones.get(each.network_id) if each.network_id in asker.networks else None
            if zone is None or name not in (
                each.alias.lower(),
                f"{each.alias}.{zone.name}".lower(),
            ):
                continue
            if (known := each.name.lower()) in zone.names:
                return _found(each.network_id, zone, known, ((each.network_id, zone),))
        return None

    def hostname(self, asker: Asker, name: str) -> Found | None:
        """The asker's addresses if `name` is the hostname that it gave itself."""
        homes = self._homes.get(asker.task_id)
        if not homes or not name or name != asker.hostname.lower():
            return None
        zones = self._zones_of(asker)
        return _addresses([(each, homes[each]) for each, _ in zones if each in homes])

    def reverse(self, asker: Asker, name: str) -> Found | None:
        """What an address is called, whose reverse name this is.

        Addresses of the asker's networks that nobody has do not exist: no one else can know them.
        """
        address = reversed_address(name)
        if address is None:
            return None
        zones = self._zones_of(asker)
        for zone_id, zone in zones:
            if known := zone.reverse.get(address):
                return Found(zone_id, tuple(_qualified(each, zone.name) for each in known.values()))
        for zone_id, zone in zones:
            if zone.holds(address):
                return Found(zone_id, exists=False)
        return None

    def check(self) -> None:
        """Assert that what was built change by change is what all records together give."""
        again = Names()
        for record in self._records.values():
            assert isinstance(record, Network | Endpoint | VirtualService)
            again._put(record, set())
        assert self._homes == again._homes
        assert self._zones.keys() == again._zones.keys()
        for zone_id, zone in self._zones.items():
            assert vars(zone) == vars(again._zones[zone_id])

    def _zones_of(self, asker: Asker) -> _Zones:
        found = [(each, self._zones.get(each)) for each in asker.networks]
        return [(each, zone) for each, zone in found if zone is not None and not zone.is_way_in]

    def _put(self, record: Network | Endpoint | VirtualService, touched: set[str]) -> bool:
        if isinstance(record, Network):
            zone = self._zones.setdefault(record.id, Zone())
            zone.network, zone.name = record, record.spec.name.lower()
            return True
        zone = self._zones.setdefault(record.network_id, Zone())
        _note(touched, zone.put(record), zone.name)
        if isinstance(record, Endpoint):
            self._homes.setdefault(record.task_id, {})[record.network_id] = record
        return False

    def _remove(self, record: Record, touched: set[str]) -> bool:
        match record:
            case Network(id=network_id):
                self._zones[network_id].network, self._zones[network_id].name = None, ""
            case Endpoint(network_id=network_id) | VirtualService(network_id=network_id):
                zone = self._zones[network_id]
                _note(touched, zone.remove(record), zone.name)
            case _:
                raise AssertionError(f"{record} gives no names")
        if self._zones[network_id].is_empty:
            del self._zones[network_id]
        if isinstance(record, Endpoint):
            homes = self._homes[record.task_id]
            del homes[network_id]
            if not homes:
                del self._homes[record.task_id]
        return isinstance(record, Network)


def reversed_address(name: str) -> str | None:
    """The address that a reverse name stands for (RFC 1035 3.5, RFC 3596 2.5)."""
    try:
        if name.endswith(_REVERSE_4):
            return str(ip_address(".".join(reversed(name.removesuffix(_REVERSE_4).split(".")))))
        if name.endswith(_REVERSE_6):
            digits = name.removesuffix(_REVERSE_6).split(".")
            if len(digits) == 32 and all(len(each) == 1 for each in digits):
                return str(IPv6Address(int("".join(reversed(digits)), 16)))
    except ValueError:
        pass
    return None


def _is_local(record: Record) -> bool:
    match record:
        case Network(id=network_id):
            return is_local(network_id)
        case Endpoint(network_id=network_id) | VirtualService(network_id=network_id):
            return is_local(network_id)
        case _:
            return False


def _found(network_id: NetworkId, home: Zone, name: str, zones: _Zones) -> Found:
    """What the owners of a name in the network `home` have where the name is theirs, too."""
    owners = home.owners(name)
    values = dict.fromkeys(
        value
        for _, zone in zones
        for owner in zone.owners(name)
        if owner in owners
        for value in zone.values(owner)
    )
    free = not all(home.is_virtual(owner) for owner in owners)
    return Found(network_id, tuple(values), is_interchangeable=free)


def _addresses(homes: list[tuple[NetworkId, Endpoint]]) -> Found | None:
    if not homes:
        return None
    return Found(homes[0][0], tuple(address for _, each in homes for address in each.addresses))


def _is_called(endpoint: Endpoint, name: str, network: str) -> bool:
    names = unique_names(endpoint)
    return name in names or (bool(network) and name.removesuffix(f".{network}") in names)


def _qualified(name: str, network: str) -> str:
    return f"{name}.{network}" if network else name


def _note(touched: set[str], changed: set[str], network: str) -> None:
    touched |= changed
    if network:
        touched |= {f"{name}.{network}" for name in changed}
