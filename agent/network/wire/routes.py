"""Add, remove and read routes. Source: linux/rtnetlink.h.

A next hop of the destination's family is an `RTA_GATEWAY`, one of the other an `RTA_VIA`. A route
is removed by destination, table, metric, protocol and link, whatever its next hop is by now.
"""

import socket
import struct
from collections.abc import Callable
from typing import Final

from agent.network.kernel import Route, RouteKind, Scope, completed
from agent.network.wire.attributes import (
    attribute,
    decoded,
    family_of,
    packed,
    split_prefix,
    to_address,
    to_number,
    u32,
)
from agent.network.wire.messages import CREATE, DUMP, REPLACE, Request

NEW_ROUTE: Final = 24
DELETE_ROUTE: Final = 25
GET_ROUTE: Final = 26

_HEAD: Final = struct.Struct("=BBBBBBBBI")  # struct rtmsg
_DST, _OIF, _GATEWAY, _PRIORITY, _PREFSRC, _TABLE, _VIA = 1, 4, 5, 6, 7, 15, 18
_FAMILY: Final = struct.Struct("=H")  # struct rtvia
_ONLINK: Final = 4  # RTNH_F_ONLINK
_ANY_SCOPE: Final = 255  # RT_SCOPE_NOWHERE
_IN_ATTRIBUTE: Final = 0  # RT_TABLE_UNSPEC: the table is in RTA_TABLE
_IPV6_METRIC: Final = 1024  # IP6_RT_PRIO_USER, what an IPv6 route without one gets
_DEAD_ENDS: Final = {RouteKind.BLACKHOLE, RouteKind.UNREACHABLE, RouteKind.PROHIBIT}
_KINDS: Final = {kind.value for kind in RouteKind}


def put(value: Route, index: int | None) -> Request:
    """Have the route, by the link with that index (None: by none)."""
    scope = completed(value).scope or Scope.GLOBAL
    parts = [_head(value, scope), _target(value, index)]
    if value.via:
        parts.append(_next_hop(value))
    if value.source:
        parts.append(attribute(_PREFSRC, packed(value.source)))
    return Request(NEW_ROUTE, CREATE | REPLACE, b"".join(parts))


def remove(value: Route, index: int | None) -> Request:
    """Remove what leads to that destination by that link (None: by whatever link)."""
    is_ipv4 = family_of(value.destination) == socket.AF_INET
    head = _head(value, _ANY_SCOPE if is_ipv4 else Scope.GLOBAL)
    return Request(DELETE_ROUTE, 0, head + _target(value, index))


def get_all(family: int, protocol: int | None) -> Request:
    """Read the routes of a family in all tables, those of one protocol or all."""
    head = _HEAD.pack(family, 0, 0, 0, 0, protocol or 0, 0, 0, 0)
    return Request(GET_ROUTE, DUMP, head)


def decode(body: bytes, name_of: Callable[[int], str]) -> Route | None:
    """A route; None for what only the kernel makes (broadcast, multicast, anycast).

    One with several next hops has no link here, which is never what is wanted.
    """
    family, length, _, _, table, protocol, scope, kind, flags = _HEAD.unpack_from(body)
    if kind not in _KINDS:
        return None
    found = decoded(body, _HEAD.size)
    is_ipv6 = family == socket.AF_INET6
    metric = to_number(found.get(_PRIORITY, b""))
    via = found.get(_GATEWAY) or found.get(_VIA, b"")[_FAMILY.size :]
    has_link = _OIF in found and RouteKind(kind) not in _DEAD_ENDS
    return Route(
        destination=f"{to_address(found.get(_DST) or bytes(16 if is_ipv6 else 4))}/{length}",
        link=name_of(to_number(found[_OIF])) if has_link else "",
        via=to_address(via) if via else "",
        is_onlink=bool(flags & _ONLINK),
        source=to_address(found[_PREFSRC]) if _PREFSRC in found else "",
        table=to_number(found[_TABLE]) if _TABLE in found else table,
        metric=0 if is_ipv6 and metric == _IPV6_METRIC else metric,
        kind=RouteKind(kind),
        scope=_scope(scope),
        protocol=protocol,
    )


def _scope(number: int) -> Scope | None:
    """None for one that has no name here: such a route is never what is wanted."""
    try:
        return Scope(number)
    except ValueError:
        return None


def _head(value: Route, scope: int) -> bytes:
    return _HEAD.pack(
        family_of(value.destination),
        int(value.destination.rpartition("/")[2]),
        0,
        0,
        _IN_ATTRIBUTE,
        value.protocol,
        scope,
        value.kind,
        _ONLINK * value.is_onlink,
    )


def _target(value: Route, index: int | None) -> bytes:
    address, length = split_prefix(value.destination)
    parts = [u32(_TABLE, value.table)]
    if length:
        parts.append(attribute(_DST, address))
    if index is not None:
        parts.append(u32(_OIF, index))
    if value.metric:
        parts.append(u32(_PRIORITY, value.metric))
    return b"".join(parts)


def _next_hop(value: Route) -> bytes:
    family = family_of(value.via)
    if family == family_of(value.destination):
        return attribute(_GATEWAY, packed(value.via))
    return attribute(_VIA, _FAMILY.pack(family) + packed(value.via))
