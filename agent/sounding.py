"""Find out how well a peer is reached through a network, by ICMP echo (RFC 792).

First whether anything comes back, then whether a packet as large as the network allows does,
and if not, which is the largest: two sizes that differ by one byte end the search. A lost
packet is tried again before its size counts as failed. Sizes are in IP's count: 20 bytes of
header, 8 of ICMP, and the rest is ours.
"""

import struct
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

IP_HEADER: Final = 20
SMALLEST: Final = 64
TRIES: Final = 3
_REQUEST, _REPLY = 8, 0
_HEADER = struct.Struct("!BBHHH")


class Sounding(Struct, frozen=True, kw_only=True):
    """What is known of one peer. `passed` is the largest size that came back, `failed` the
    smallest that did not; `lost` counts packets in a row of the size that is asked for."""

    mtu: int
    passed: int = 0
    failed: int = 0
    lost: int = 0
    round_trip_s: float = 0.0

    @property
    def is_reached(self) -> bool:
        """Whether anything came back."""
        return self.passed > 0

    def next_size(self) -> int:
        """The size to try now; 0 when all is known."""
        if not self.passed:
            return 0 if self.failed else min(SMALLEST, self.mtu)
        if self.passed >= self.mtu:
            return 0
        if not self.failed:
            return self.mtu
        return 0 if self.failed - self.passed <= 1 else (self.passed + self.failed) // 2

    def answered(self, size: int, round_trip_s: float) -> "Sounding":
        """A packet of that size came back."""
        best = min(self.round_trip_s or round_trip_s, round_trip_s)
        return replace(self, passed=max(self.passed, size), lost=0, round_trip_s=best)

    def unanswered(self, size: int) -> "Sounding":
        """A packet of that size did not."""
        if self.lost + 1 < TRIES:
            return replace(self, lost=self.lost + 1)
        return replace(self, failed=size, lost=0)

    def verdict(self, *, address: str, port: int) -> str:
        """What is broken on the way to a node, in words; empty when nothing is."""
        if not self.is_reached:
            return f"nothing comes back: do UDP packets to port {port} of {address} get through?"
        if self.passed < self.mtu:
            return (
                f"packets of more than {self.passed} bytes are lost, although the network has"
                f" {self.mtu}: the path to {address} takes smaller ones, so give it a smaller mtu"
            )
        return ""


def request(*, ident: int, number: int, token: bytes, size: int) -> bytes:
    """An echo request that makes an IP packet of `size` bytes; `token` is its content."""
    content = token.ljust(size - IP_HEADER - _HEADER.size, b"\0")
    bare = _HEADER.pack(_REQUEST, 0, 0, ident, number) + content
    return _HEADER.pack(_REQUEST, 0, checksum(bare), ident, number) + content


def reply(packet: bytes, *, ident: int, token: bytes) -> tuple[int, int] | None:
    """The number and the size of the request that an IPv4 packet answers, if it is ours."""
    start = (packet[0] & 0x0F) * 4 if packet else 0
    if len(packet) < start + _HEADER.size:
        return None
    kind, code, _, found, number = _HEADER.unpack_from(packet, start)
    if (kind, code, found) != (_REPLY, 0, ident):
        return None
    if not packet.startswith(token, start + _HEADER.size):
        return None
    return number, len(packet)


def checksum(data: bytes) -> int:
    """The internet checksum (RFC 1071)."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
