"""Build the keys and the data of nftables elements, byte for byte as the kernel keeps them.

Addresses, ports and MAC addresses are in network order, marks and zones in this machine's. In a
concatenated key or data (`ipv4_addr . mark`) every field is filled up to four bytes; a field that
is alone is not.
"""

import socket
import struct
from typing import Final

from agent.network.kernel import Verdict

PROTOCOLS: Final = {"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58, "sctp": 132}
_NAME_BYTES: Final = 16  # IFNAMSIZ

DROP: Final = Verdict(0)
ACCEPT: Final = Verdict(1)


def address(text: str) -> bytes:
    """`ipv4_addr` or `ipv6_addr`."""
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


def port(number: int) -> bytes:
    """`inet_service`."""
    return number.to_bytes(2, "big")


def mark(number: int) -> bytes:
    """`mark`."""
    return struct.pack("=I", number)


def zone(number: int) -> bytes:
    """What `ct zone` is set to."""
    return struct.pack("=H", number)


def mac(text: str) -> bytes:
    """`ether_addr`."""
    return bytes.fromhex(text.replace(":", ""))


def protocol(name: str) -> bytes:
    """`inet_proto`, by name."""
    return bytes((PROTOCOLS[name],))


def link(name: str) -> bytes:
    """`ifname`."""
    return name.encode().ljust(_NAME_BYTES, b"\0")


def joined(*fields: bytes) -> bytes:
    """A concatenation of two or more."""
    return b"".join(field + bytes(-len(field) % 4) for field in fields)


def jump(chain: str) -> Verdict:
    """Go on in `chain` and come back."""
    return Verdict(-3, chain)


def goto(chain: str) -> Verdict:
    """Go on in `chain`."""
    return Verdict(-4, chain)
