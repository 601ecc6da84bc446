"""Derive what interfaces, next hops and marks are called, from numbers that never change.

Nothing here is looked up or remembered: two nodes that never spoke agree on all of it, and an
agent that was killed names everything as before. Next hops are addresses that no packet bears.
They stand for MAC addresses: a peer's leads through the tunnel, and every veth has the same
two ends. So nobody is ever asked for a MAC address.
"""

import ipaddress
from hashlib import blake2b
from typing import Final

from swarm.ids import NetworkId, TaskId

PEERS: Final = "240.0.0.0/8"
"""Where nodes are each other's next hops: 240 and the three bytes of a node's number."""

MOST_NODES: Final = 2**24 - 3
ANY_PEER: Final = MOST_NODES + 1
"""Nobody's number: what goes to this next hop gets its MAC address on the way out."""

NODE_MARK: Final = 0x53000000
NODE_MARK_MASK: Final = 0xFF000000
"""A mark with this upper byte holds the number of the node where a connection came in."""

_ZONES: Final = 2**16 - 1
"""Zones of connections are 16 bits, and 0 is where whoever came by no node is, and all answers."""

HOST_MAC: Final = "02:53:48:00:00:01"
ROUTER_MAC: Final = "02:53:52:00:00:01"
"""Of every veth's end at the host, and at a router. The other end is somebody else's link."""

HOST_VIA: Final = "169.254.83.1"
HOST_VIA6: Final = "fe80::53:1"
"""What routers know their host as, on `UPLINK`."""

ROUTER_VIA: Final = "169.254.83.2"
ROUTER_VIA6: Final = "fe80::53:2"
"""What a host knows each router as, on that router's link."""

TUNNEL: Final = "vx0"
UPLINK: Final = "up0"

_VXLAN_BYTES: Final = 50
_VXLAN6_BYTES: Final = 70
_WIREGUARD_BYTES: Final = 60
_WIREGUARD6_BYTES: Final = 80


def peer_via(number: int) -> str:
    """The IPv4 next hop that a node is."""
    return f"240.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def peer_via6(number: int) -> str:
    """The IPv6 next hop that a node is."""
    return str(ipaddress.IPv6Address((0xFE80 << 112) + (0x5357 << 32) + number))


def peer_mac(number: int) -> str:
    """The MAC address of a node's end of every tunnel."""
    return f"02:53:57:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"


def peer_mark(number: int) -> int:
    """The mark of connections that came in at a node."""
    return NODE_MARK | number


def peer_zone(number: int) -> int:
    """The zone of connections that came in at a node; where there are too many, nodes share one."""
    return (number - 1) % _ZONES + 1


def container_mac(address: str) -> str:
    """The MAC address of the interface that has `address`: its last four bytes make it."""
    last = ipaddress.ip_address(address).packed[-4:]
    return "0a:53:" + ":".join(f"{byte:02x}" for byte in last)


def host_link(network_id: NetworkId) -> str:
    """The host's end of a router's way to it."""
    return f"sw-{_digest(network_id, 4)}"


def task_link(task_id: TaskId) -> str:
    """A router's end of a container's veth; a task is in a network once."""
    return f"ep{_digest(task_id, 6)}"


def host_prefix(address: str) -> str:
    """The prefix that holds one address and no other."""
    return f"{address}/{128 if ':' in address else 32}"


def is_ipv6(address: str) -> bool:
    """Whether an address or prefix is of that family."""
    return ":" in address


def is_loopback(address: str) -> bool:
    """Whether nobody but this node has that address as its own."""
    return bool(address) and ipaddress.ip_address(address).is_loopback


def inner_mtu(underlay: int, *, is_ipv6_underlay: bool, is_encrypted: bool) -> int:
    """What is left of the path between nodes for packets of containers."""
    if is_encrypted:
        return encrypted_mtu(underlay, is_ipv6_underlay=is_ipv6_underlay) - _VXLAN_BYTES
    return underlay - (_VXLAN6_BYTES if is_ipv6_underlay else _VXLAN_BYTES)


def encrypted_mtu(underlay: int, *, is_ipv6_underlay: bool) -> int:
    """What is left of it for what is encrypted, which has addresses of IPv4 in any case."""
    return underlay - (_WIREGUARD6_BYTES if is_ipv6_underlay else _WIREGUARD_BYTES)


def _digest(text: str, size: int) -> str:
    return blake2b(text.encode(), digest_size=size).hexdigest()
