"""Encode and decode netlink attributes, the lists of type, length and value in every message.

Lengths do not count the padding to four bytes that follows. Numbers are in this machine's order,
but those of netfilter, and ports and addresses everywhere, in the network's. Source:
linux/netlink.h, struct nlattr.
"""

import socket
import struct
import sys
from collections.abc import Iterator
from typing import Final

_HEAD: Final = struct.Struct("=HH")
_U32: Final = struct.Struct("=I")
_BE32: Final = struct.Struct(">I")
_KIND_BITS: Final = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER
_NESTED: Final = 0x8000
_PADDING: Final = (b"", b"\0\0\0", b"\0\0", b"\0")
_LONGEST: Final = 0xFFFF


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute. `ValueError` when it is too long for its two bytes of length."""
    length = 4 + len(payload)
    if length > _LONGEST:
        raise ValueError(f"attribute {kind} has {len(payload)} bytes; 65531 is the most")
    return _HEAD.pack(length, kind) + payload + _PADDING[length & 3]


def nested(kind: int, *attributes: bytes) -> bytes:
    """An attribute that holds others."""
    return attribute(kind | _NESTED, b"".join(attributes))


def text(kind: int, value: str) -> bytes:
    """A string, with the NUL that most of them must end with."""
    return attribute(kind, value.encode() + b"\0")


def u8(kind: int, value: int) -> bytes:
    """A number of one byte."""
    return attribute(kind, bytes((value,)))


def u16(kind: int, value: int) -> bytes:
    """A number of two bytes, in this machine's order."""
    return attribute(kind, struct.pack("=H", value))


def u32(kind: int, value: int) -> bytes:
    """A number of four bytes, in this machine's order."""
    return attribute(kind, _U32.pack(value))


def be16(kind: int, value: int) -> bytes:
    """A number of two bytes, in the network's order."""
    return attribute(kind, value.to_bytes(2, "big"))


def be32(kind: int, value: int) -> bytes:
    """A number of four bytes, in the network's order; negative ones as their complement."""
    return attribute(kind, _BE32.pack(value & 0xFFFFFFFF))


def listed(raw: bytes, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """The attributes from `offset` on; `ValueError` when one reaches beyond the end."""
    end = len(raw)
    while offset + 4 <= end:
        length, kind = _HEAD.unpack_from(raw, offset)
        if length < 4 or offset + length > end:
            raise ValueError(f"attribute {kind & _KIND_BITS} has {length} bytes of {end - offset}")
        yield kind & _KIND_BITS, raw[offset + 4 : offset + length]
        offset += (length + 3) & ~3


def decoded(raw: bytes, offset: int = 0) -> dict[int, bytes]:
    """The attributes from `offset` on, by kind; of a kind the last counts."""
    return dict(listed(raw, offset))


def to_text(payload: bytes) -> str:
    """A string; kernels end some of them with NUL and others not."""
    return payload.rstrip(b"\0").decode(errors="replace")


def to_number(payload: bytes) -> int:
    """A number in this machine's order, of any length; of nothing 0."""
    return int.from_bytes(payload, sys.byteorder)


def to_be(payload: bytes) -> int:
    """A number in the network's order, of any length; of nothing 0."""
    return int.from_bytes(payload, "big")


def family_of(address: str) -> int:
    """AF_INET or AF_INET6, of an address or prefix."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def packed(address: str) -> bytes:
    """An address in network order."""
    return socket.inet_pton(family_of(address), address)


def to_address(payload: bytes) -> str:
    """An address of either family, by its length."""
    return socket.inet_ntop(socket.AF_INET if len(payload) == 4 else socket.AF_INET6, payload)


def packed_mac(mac: str) -> bytes:
    """A MAC address of text."""
    return bytes.fromhex(mac.replace(":", ""))


def to_mac(payload: bytes) -> str:
    """A MAC address as text."""
    return payload.hex(":")


def split_prefix(prefix: str) -> tuple[bytes, int]:
    """The address and the length of a prefix; `ValueError` when it has no length."""
    address, slash, length = prefix.partition("/")
    if not slash:
        raise ValueError(f"{prefix} has no prefix length")
    return packed(address), int(length)
