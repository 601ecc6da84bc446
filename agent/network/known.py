"""Keep the records of all networks, and say which of them each router is concerned with.

A router is there only while this node has a container in its network, or while something is
published in the ingress network, through which every node lets clients in. The records of the
others are kept until then. Peers are everybody's.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

from msgspec import Struct

from agent.network.addressing import MOST_NODES, inner_mtu, is_ipv6
from agent.network.router import Site, Vtep
from agent.topology import Changes
from swarm.checking.networks import LEAST_MTU_IPV6
from swarm.errors import Missing, Refused, Unavailable
from swarm.ids import NetworkId, NodeId
from swarm.objects import Network
from swarm.specs import NetworkDriver
from swarm.topology import Endpoint, Peer, Publication, Record, VirtualService, key_of

_ETHERNET_MTU = 1500

MtuOf = Callable[[str], int]
"""The MTU of the link that has an address of the host; 0 when none has it."""


class Part(Struct, frozen=True):
    """What of some changes concerns one network."""

    put: tuple[Record, ...] = ()
    gone: tuple[Record, ...] = ()


class Known:
    """The records, as this node `node_id` was told them."""

    def __init__(self, node_id: NodeId) -> None:
        self._node_id = node_id
        self._port = 0
        self._networks: dict[NetworkId, Network] = {}
        self._peers: dict[NodeId, Peer] = {}
        self._publications: set[str] = set()
        self._members: dict[NetworkId, dict[str, Record]] = {}

    def take(self, changes: Changes) -> None:
        """Follow the changes."""
        self._port = changes.data_path_port or self._port
        for record in changes.gone:
            self._forget(record)
        for record in changes.put:
            self._learn(record)

    def network(self, network_id: NetworkId) -> Network:
        """A network; `Missing` when nobody told of it."""
        if network_id not in self._networks:
            raise Missing(f"this node was told of no network {network_id}")
        return self._networks[network_id]

    def records(self, network_id: NetworkId) -> tuple[Record, ...]:
        """All that a router of the network has to know."""
        return (*self._peers.values(), *self._members.get(network_id, {}).values())

    def leaving(self, changes: Changes) -> dict[NetworkId, list[str]]:
        """Addresses that answered until now, and do not answer after `changes`; ask before."""
        found: dict[NetworkId, list[str]] = {}
        for record in changes.put:
            if isinstance(record, Endpoint) and not record.is_serving:
                old = self._members.get(record.network_id, {}).get(key_of(record))
                if isinstance(old, Endpoint) and old.is_serving:
                    found.setdefault(record.network_id, []).extend(record.addresses)
        return found

    def open_doors(self) -> frozenset[NetworkId]:
        """Networks that clients come in through, whether a container is in them or not."""
        if not self._publications:
            return frozenset()
        return frozenset(each.id for each in self._networks.values() if each.spec.ingress)

    def site(self, network_id: NetworkId, *, vtep: Vtep, mtu_of: MtuOf) -> Site:
        """How this node takes part; `Unavailable` while something is missing for it.

        `Refused` where no packet of IPv6 would fit between the nodes.
        """
        network = self.network(network_id)
        own = self._peers.get(self._node_id)
        if network.spec.driver is not NetworkDriver.OVERLAY:
            underlay = (mtu_of(own.address) if own else 0) or _ETHERNET_MTU
            return Site(network=network, mtu=network.spec.mtu or underlay)
        if own is None or not self._port:
            raise Unavailable("this node was not told its own place in the overlay yet")
        if own.number > MOST_NODES:
            raise Unavailable(f"node number {own.number} is more than overlays have room for")
        underlay = mtu_of(own.address)
        if not underlay:
            raise Unavailable(
                f"no interface of this node has its data path address {own.address}",
                hint="join with --data-path-addr and an address of this node",
            )
        left = inner_mtu(
            underlay,
            is_ipv6_underlay=is_ipv6(own.address),
            is_encrypted=network.spec.encrypted,
        )
        site = Site(
            network=network,
            mtu=network.spec.mtu or left,
            number=own.number,
            vtep=vtep(own),
            port=self._port,
        )
        if site.has_ipv6 and site.mtu < LEAST_MTU_IPV6:
            raise Refused(
                f"network {network.spec.name} has IPv6, whose packets need {LEAST_MTU_IPV6} bytes, "
                f"and the link of {own.address} leaves {site.mtu} to them",
                hint=f"raise that link's MTU to {underlay + LEAST_MTU_IPV6 - site.mtu}, or make "
                "the network without IPv6",
            )
        return site

    def _learn(self, record: Record) -> None:
        match record:
            case Network():
                self._networks[record.id] = record
            case Peer():
                self._peers[record.node_id] = record
            case Publication():
                self._publications.add(key_of(record))
            case Endpoint() | VirtualService():
                self._members.setdefault(record.network_id, {})[key_of(record)] = record
            case _:
                pass

    def _forget(self, record: Record) -> None:
        match record:
            case Network():
                self._networks.pop(record.id, None)
            case Peer():
                self._peers.pop(record.node_id, None)
            case Publication():
                self._publications.discard(key_of(record))
            case Endpoint() | VirtualService():
                members = self._members.get(record.network_id, {})
                members.pop(key_of(record), None)
                if not members:
                    self._members.pop(record.network_id, None)
            case _:
                pass


def parts(changes: Changes, open_ones: Iterable[NetworkId]) -> Mapping[NetworkId, Part]:
    """What of the changes concerns each of the `open_ones`, where there is anything."""
    put, gone = _by_network(changes.put), _by_network(changes.gone)
    found: dict[NetworkId, Part] = {}
    for network_id in open_ones:
        part = Part(
            put=(*put.get(None, ()), *put.get(network_id, ())),
            gone=(*gone.get(None, ()), *gone.get(network_id, ())),
        )
        if part.put or part.gone:
            found[network_id] = part
    return found


def gone_addresses(part: Part) -> Iterator[str]:
    """Addresses that nobody has any more."""
    for record in part.gone:
        if isinstance(record, Endpoint):
            yield from record.addresses


def _by_network(records: Iterable[Record]) -> dict[NetworkId | None, list[Record]]:
    """Records by the network that they are of; None: of every network."""
    found: dict[NetworkId | None, list[Record]] = {}
    for record in records:
        match record:
            case Peer():
                found.setdefault(None, []).append(record)
            case Endpoint() | VirtualService():
                found.setdefault(record.network_id, []).append(record)
            case _:
                pass
    return found
