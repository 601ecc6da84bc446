"""Turn operations into messages, and refusals into what they mean.

To remove what is not there is no failure, and the kernel has a different error for each kind of
thing that is not there.
"""

import errno
from collections.abc import Mapping
from typing import Final

from agent.network.kernel import (
    Address,
    Element,
    Forward,
    Link,
    Neighbour,
    Operation,
    Put,
    Remove,
    Route,
    Rule,
    Table,
    Tunnel,
    TunnelPeer,
    Value,
    Veth,
    Vxlan,
)
from agent.network.wire import addresses, neighbours, routes, rules, wireguard
from agent.network.wire.messages import Refusal, Request
from swarm.errors import KernelRefused

_ABSENT: Final[Mapping[type[Value], frozenset[int]]] = {
    Link: frozenset({errno.ENODEV}),
    Veth: frozenset({errno.ENODEV}),
    Vxlan: frozenset({errno.ENODEV}),
    Address: frozenset({errno.EADDRNOTAVAIL}),
    Route: frozenset({errno.ESRCH}),
    Neighbour: frozenset({errno.ENOENT}),
    Forward: frozenset({errno.ENOENT}),
    Rule: frozenset({errno.ENOENT}),
    Tunnel: frozenset({errno.ENODEV}),
    TunnelPeer: frozenset({errno.ENODEV}),
}
_HINTS: Final = {
    errno.EPERM: "swarmd must run as root, with CAP_NET_ADMIN",
    errno.EOPNOTSUPP: "this kernel lacks what it takes: is the module there, or built in?",
    errno.ENODEV: "somebody removed the link; it is made again within a minute",
    errno.EADDRINUSE: "another program has the port in that namespace: stop it or choose another",
    errno.ENOSPC: "a table is full: see net.ipv6.route.max_size and the size of the set",
}


def request(operation: Put | Remove, index: int | None) -> Request:
    """The message of rtnetlink for what hangs on a link, or on none."""
    match operation:
        case Put(Route() as route):
            return routes.put(route, index)
        case Remove(Route() as route):
            return routes.remove(route, index)
        case Put(Rule() as rule):
            return rules.put(rule)
        case Remove(Rule() as rule):
            return rules.remove(rule)
        case _:
            assert index is not None
            return _on_link(operation, index)


def _on_link(operation: Put | Remove, index: int) -> Request:
    match operation:
        case Put(Address() as address):
            return addresses.put(address, index)
        case Remove(Address() as address):
            return addresses.remove(address, index)
        case Put(Neighbour() as neighbour):
            return neighbours.put(neighbour, index)
        case Remove(Neighbour() as neighbour):
            return neighbours.remove(neighbour, index)
        case Put(Forward() as forward):
            return neighbours.put_forward(forward, index)
        case Remove(Forward() as forward):
            return neighbours.remove_forward(forward, index)
        case _:
            raise AssertionError(f"not a thing of rtnetlink: {operation}")


def tunnel_request(operation: Operation, family: int) -> Request:
    """The message of WireGuard, whose family has this number."""
    match operation:
        case Put(Tunnel() as tunnel):
            return wireguard.put(tunnel, family)
        case Remove(Tunnel() as tunnel):
            return wireguard.remove(tunnel, family)
        case Put(TunnelPeer() as peer):
            return wireguard.put_peer(peer, family)
        case Remove(TunnelPeer() as peer):
            return wireguard.remove_peer(peer, family)
        case _:
            raise AssertionError(f"not a thing of WireGuard: {operation}")


def link_of(value: Value) -> str:
    """The link that `value` hangs on, empty for none."""
    match value:
        case Address() | Neighbour() | Forward() | Route():
            return value.link
        case _:
            return ""


def is_done(operation: Operation, refused: Refusal) -> bool:
    """Whether the kernel only says that there was nothing to do."""
    if isinstance(operation, Remove):
        return refused.errno in _ABSENT.get(type(operation.value), frozenset())
    return isinstance(operation.value, Rule) and refused.errno == errno.EEXIST


def described(value: Value) -> str:
    """What `value` is, in an error's words."""
    match value:
        case Link() | Veth() | Vxlan():
            return f"link {value.name}"
        case Address():
            return f"address {value.address} of {value.link}"
        case Route():
            way = f" via {value.via}" * bool(value.via) + f" by {value.link}" * bool(value.link)
            return f"route {value.destination}{way} in table {value.table}"
        case Neighbour():
            return f"neighbour {value.address} ({value.mac}) of {value.link}"
        case Forward():
            return f"forwarding of {value.mac} to {value.vtep} by {value.link}"
        case Rule():
            return f"rule {value.priority}: mark {value.mark:#x} to table {value.table}"
        case Table():
            return f"table {value.family.name.lower()} {value.name}"
        case Element():
            return (
                f"element {value.key.hex()} of set {value.of.name} of {described(value.of.table)}"
            )
        case Tunnel():
            return f"tunnel {value.link}"
        case TunnelPeer():
            return f"peer {value.endpoint or value.public_key.hex()} of tunnel {value.link}"


def refused(operation: Operation, why: Refusal, strerror: str) -> KernelRefused:
    """The failure that an operator is told of; `strerror` is the number in words."""
    verb = "put" if isinstance(operation, Put) else "remove"
    said = f"{strerror} ({why.text})" if why.text else strerror
    return KernelRefused(
        f"{verb} {type(operation.value).__name__.lower()}",
        why.errno,
        f"the kernel refused to {verb} {described(operation.value)}: {said}",
        hint=_HINTS.get(why.errno, ""),
    )
