"""Add, remove and read policy rules that choose a table by a packet's mark.

Rules that choose by anything else are not read: what cannot be said cannot be compared. Sources:
linux/fib_rules.h.
"""

import socket
import struct
from typing import Final

from agent.network.kernel import Rule
from agent.network.wire.attributes import decoded, to_number, u8, u32
from agent.network.wire.messages import CREATE, DUMP, EXCLUSIVE, Request

NEW_RULE: Final = 32
DELETE_RULE: Final = 33
GET_RULE: Final = 34

_HEAD: Final = struct.Struct("=BBBBBxxBI")  # struct fib_rule_hdr
_PRIORITY, _MARK, _TABLE, _MASK, _PROTOCOL = 6, 10, 15, 16, 21
_TO_TABLE: Final = 1  # FR_ACT_TO_TBL
_SUPPRESS_PREFIX: Final = 14  # always reported, -1 when there is none
_NOTHING_ELSE: Final = {_PRIORITY, _MARK, _TABLE, _MASK, _PROTOCOL, _SUPPRESS_PREFIX}


def put(value: Rule) -> Request:
    """Have the rule. That it is there already is refused with EEXIST."""
    return Request(NEW_RULE, CREATE | EXCLUSIVE, _body(value))


def remove(value: Rule) -> Request:
    """Remove the rule."""
    return Request(DELETE_RULE, 0, _body(value))


def get_all(family: int) -> Request:
    """Read the rules of a family."""
    return Request(GET_RULE, DUMP, _HEAD.pack(family, 0, 0, 0, 0, 0, 0))


def decode(body: bytes) -> Rule | None:
    """A rule, None for one that does not just choose a table by a mark."""
    family, to_bits, from_bits, tos, table, action, flags = _HEAD.unpack_from(body)
    found = decoded(body, _HEAD.size)
    if action != _TO_TABLE or to_bits or from_bits or tos or flags:
        return None
    if _MARK not in found or not found.keys() <= _NOTHING_ELSE:
        return None
    return Rule(
        mark=to_number(found[_MARK]),
        table=to_number(found[_TABLE]) if _TABLE in found else table,
        priority=to_number(found.get(_PRIORITY, b"")),
        mask=to_number(found.get(_MASK, b"\xff\xff\xff\xff")),
        is_ipv6=family == socket.AF_INET6,
        protocol=to_number(found.get(_PROTOCOL, b"")),
    )


def _body(value: Rule) -> bytes:
    family = socket.AF_INET6 if value.is_ipv6 else socket.AF_INET
    return b"".join(
        (
            _HEAD.pack(family, 0, 0, 0, 0, _TO_TABLE, 0),
            u32(_PRIORITY, value.priority),
            u32(_MARK, value.mark),
            u32(_MASK, value.mask),
            u32(_TABLE, value.table),
            u8(_PROTOCOL, value.protocol),
        )
    )
