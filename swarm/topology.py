"""Describe the networks as their nodes need to know them.

A node hears of the networks that its tasks are in: who else is in them, at which node, and which
services answer there. Every class but `Network` (of `swarm.objects`) mirrors the message of the
same name in `proto/swarm/api/v1/dispatch.proto`. Records have keys, by which a later one replaces
an earlier one: `/`-separated, the kind first and then the network's id, where there is one.
"""

from collections.abc import Iterable
from typing import assert_never

from msgspec import Struct

from swarm.ids import NetworkId, NodeId, ServiceId, TaskId
from swarm.objects import Network
from swarm.specs import Port


class Peer(Struct, frozen=True, kw_only=True):
    """A node that others reach through the data path, at `address` in the underlay.

    `number` is `Node.number`; `public_key` is WireGuard's, and empty where it has none.
    """

    node_id: NodeId
    number: int
    hostname: str = ""
    address: str = ""
    public_key: bytes = b""


class Endpoint(Struct, frozen=True, kw_only=True):
    """A task in a network. It answers for its service while it `is_serving`.

    It is known from before its start until nothing of it is left; `weight` is its share of new
    connections among its service's endpoints, and 0 is none. `slot` 0 is a global service's.
    """

    network_id: NetworkId
    task_id: TaskId
    task_name: str = ""
    service_id: ServiceId = ServiceId("")
    service_name: str = ""
    slot: int = 0
    node_id: NodeId = NodeId("")
    addresses: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    is_serving: bool = False
    weight: int = 1


class VirtualService(Struct, frozen=True, kw_only=True):
    """A service in a network: its names, and its virtual addresses (none with dnsrr)."""

    network_id: NetworkId
    service_id: ServiceId
    service_name: str = ""
    addresses: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()


class Publication(Struct, frozen=True, kw_only=True):
    """What a service publishes on every node; its endpoints in the ingress network answer."""

    service_id: ServiceId
    service_name: str = ""
    ports: tuple[Port, ...] = ()


class NetworkKey(Struct, frozen=True, kw_only=True):
    """What encrypted networks derive their keys from; the highest number is in force."""

    number: int
    secret: bytes = b""

    def __repr__(self) -> str:
        return f"NetworkKey({self.number})"


Record = Network | Peer | Endpoint | VirtualService | Publication | NetworkKey


class Topology(Struct, frozen=True, kw_only=True):
    """All that a node has to know of its networks (`is_complete`), or what changed of it.

    `removed` has keys. `data_path_port` is UDP's, for VXLAN; 0 leaves it as it was.
    """

    is_complete: bool = False
    networks: tuple[Network, ...] = ()
    peers: tuple[Peer, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    services: tuple[VirtualService, ...] = ()
    publications: tuple[Publication, ...] = ()
    keys: tuple[NetworkKey, ...] = ()
    removed: tuple[str, ...] = ()
    data_path_port: int = 0

    def records(self) -> tuple[Record, ...]:
        """Everything that is new or has changed; what others refer to comes first."""
        return (
            *self.networks,
            *self.peers,
            *self.keys,
            *self.services,
            *self.endpoints,
            *self.publications,
        )


def topology_of(
    records: Iterable[Record],
    *,
    removed: Iterable[str] = (),
    data_path_port: int = 0,
    is_complete: bool = False,
) -> Topology:
    """A message with these records, those of each kind in the order they come in."""
    found = tuple(records)
    return Topology(
        is_complete=is_complete,
        networks=tuple(each for each in found if isinstance(each, Network)),
        peers=tuple(each for each in found if isinstance(each, Peer)),
        endpoints=tuple(each for each in found if isinstance(each, Endpoint)),
        services=tuple(each for each in found if isinstance(each, VirtualService)),
        publications=tuple(each for each in found if isinstance(each, Publication)),
        keys=tuple(each for each in found if isinstance(each, NetworkKey)),
        removed=tuple(removed),
        data_path_port=data_path_port,
    )


def key_of(record: Record) -> str:
    """What the record replaces, and is removed by."""
    match record:
        case Network(id=network_id):
            return f"network/{network_id}"
        case Peer(node_id=node_id):
            return f"peer/{node_id}"
        case Endpoint(network_id=network_id, task_id=task_id):
            return f"endpoint/{network_id}/{task_id}"
        case VirtualService(network_id=network_id, service_id=service_id):
            return f"service/{network_id}/{service_id}"
        case Publication(service_id=service_id):
            return f"publication/{service_id}"
        case NetworkKey(number=number):
            return f"key/{number}"
        case _:
            assert_never(record)
