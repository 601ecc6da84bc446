"""Add, remove and read addresses of links. Source: linux/if_addr.h, linux/rtnetlink.h.

Those that the kernel gave to links by itself (of loopback, link-local, from router advertisements)
are not read: they are nobody's decision, and not to be removed as foreign. Not all kernels say
which these are, so some are told by what they are.
"""

import socket
import struct
from collections.abc import Callable
from typing import Final

from agent.network.kernel import Address
from agent.network.wire.attributes import (
    attribute,
    decoded,
    family_of,
    split_prefix,
    to_address,
    to_number,
    u32,
)
from agent.network.wire.messages import CREATE, DUMP, REPLACE, Request

NEW_ADDRESS: Final = 20
DELETE_ADDRESS: Final = 21
GET_ADDRESS: Final = 22

_HEAD: Final = struct.Struct("=BBBBI")  # struct ifaddrmsg
_LINK_SCOPE: Final = 253  # RT_SCOPE_LINK
_ADDRESS, _LOCAL, _FLAGS, _ORIGIN = 1, 2, 8, 11
_NO_DETECTION: Final = 0x02  # IFA_F_NODAD
_NO_PREFIX_ROUTE: Final = 0x200
_LINK_LOCAL: Final = b"\xfe\x80"
_LOOPBACK: Final = {(b"\x7f\0\0\1", 8), (bytes(15) + b"\1", 128)}


def put(value: Address, index: int) -> Request:
    """Have `value` on the link with that index."""
    flags = 0 if value.has_prefix_route else _NO_PREFIX_ROUTE
    if family_of(value.address) == socket.AF_INET6:
        flags |= _NO_DETECTION
    body = _body(value, index) + (u32(_FLAGS, flags) if flags else b"")
    return Request(NEW_ADDRESS, CREATE | REPLACE, body)


def remove(value: Address, index: int) -> Request:
    """Take `value` from the link with that index."""
    return Request(DELETE_ADDRESS, 0, _body(value, index))


def get_all() -> Request:
    """Read the addresses of all links."""
    return Request(GET_ADDRESS, DUMP, _HEAD.pack(socket.AF_UNSPEC, 0, 0, 0, 0))


def decode(body: bytes, name_of: Callable[[int], str]) -> Address | None:
    """An address, None for one that the kernel gave to the link."""
    family, length, flags, scope, index = _HEAD.unpack_from(body)
    found = decoded(body, _HEAD.size)
    address = found.get(_LOCAL) or found[_ADDRESS]
    flags = to_number(found.get(_FLAGS, bytes((flags,))))
    is_own_link_local = address.startswith(_LINK_LOCAL) and not flags & _NO_DETECTION
    if _ORIGIN in found or is_own_link_local or (address, length) in _LOOPBACK:
        return None
    return Address(
        link=name_of(index),
        address=f"{to_address(address)}/{length}",
        has_prefix_route=not flags & _NO_PREFIX_ROUTE,
        on_link_only=family == socket.AF_INET and scope == _LINK_SCOPE,
    )


def _body(value: Address, index: int) -> bytes:
    address, length = split_prefix(value.address)
    scope = _LINK_SCOPE if value.on_link_only else 0
    head = _HEAD.pack(family_of(value.address), length, 0, scope, index)
    return head + attribute(_LOCAL, address) + attribute(_ADDRESS, address)
