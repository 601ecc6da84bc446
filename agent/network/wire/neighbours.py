"""Add, remove and read permanent neighbours, and where tunnels send frames.

Both are `ndmsg`s: of the address family for neighbours, of AF_BRIDGE for a device's forwarding
database. Only what is permanent is read; the rest is the kernel's own cache. Sources:
linux/neighbour.h, linux/rtnetlink.h.
"""

import socket
import struct
from collections.abc import Callable
from typing import Final

from agent.network.kernel import Forward, Neighbour
from agent.network.wire.attributes import (
    attribute,
    decoded,
    family_of,
    packed,
    packed_mac,
    to_address,
    to_mac,
)
from agent.network.wire.messages import CREATE, DUMP, REPLACE, Request

NEW_NEIGHBOUR: Final = 28
DELETE_NEIGHBOUR: Final = 29
GET_NEIGHBOUR: Final = 30

_HEAD: Final = struct.Struct("=BxxxiHBB")  # struct ndmsg
_DST, _LLADDR = 1, 2
_PERMANENT: Final = 0x80  # NUD_PERMANENT
_SELF: Final = 0x02  # NTF_SELF: the device's own database, not that of its bridge


def put(value: Neighbour, index: int) -> Request:
    """Have the neighbour on the link with that index."""
    head = _HEAD.pack(family_of(value.address), index, _PERMANENT, 0, 0)
    target = attribute(_DST, packed(value.address)) + attribute(_LLADDR, packed_mac(value.mac))
    return Request(NEW_NEIGHBOUR, CREATE | REPLACE, head + target)


def remove(value: Neighbour, index: int) -> Request:
    """Remove whoever has the address on the link."""
    head = _HEAD.pack(family_of(value.address), index, 0, 0, 0)
    return Request(DELETE_NEIGHBOUR, 0, head + attribute(_DST, packed(value.address)))


def put_forward(value: Forward, index: int) -> Request:
    """Have frames to that MAC address go there, and nowhere else."""
    head = _HEAD.pack(socket.AF_BRIDGE, index, _PERMANENT, _SELF, 0)
    target = attribute(_LLADDR, packed_mac(value.mac)) + attribute(_DST, packed(value.vtep))
    return Request(NEW_NEIGHBOUR, CREATE | REPLACE, head + target)


def remove_forward(value: Forward, index: int) -> Request:
    """Remove the entry of that MAC address."""
    head = _HEAD.pack(socket.AF_BRIDGE, index, _PERMANENT, _SELF, 0)
    return Request(DELETE_NEIGHBOUR, 0, head + attribute(_LLADDR, packed_mac(value.mac)))


def get_all(family: int) -> Request:
    """Read all neighbours of a family, or of AF_BRIDGE all forwarding databases."""
    return Request(GET_NEIGHBOUR, DUMP, _HEAD.pack(family, 0, 0, 0, 0))


def decode(body: bytes, name_of: Callable[[int], str]) -> Neighbour | None:
    """A neighbour, None for one that is not permanent."""
    _, index, state, _, _ = _HEAD.unpack_from(body)
    found = decoded(body, _HEAD.size)
    if not state & _PERMANENT or _DST not in found:
        return None
    return Neighbour(
        link=name_of(index),
        address=to_address(found[_DST]),
        mac=to_mac(found.get(_LLADDR, b"")),
    )


def decode_forward(body: bytes, name_of: Callable[[int], str]) -> Forward | None:
    """An entry that leads to a host, None for one that does not (of bridges, say)."""
    _, index, _, _, _ = _HEAD.unpack_from(body)
    found = decoded(body, _HEAD.size)
    if _DST not in found:
        return None
    return Forward(link=name_of(index), mac=to_mac(found[_LLADDR]), vtep=to_address(found[_DST]))
