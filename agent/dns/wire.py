"""Read questions and compose answers in the format of RFC 1035, as far as a resolver needs it.

Only headers, questions and the outlines of records are understood: what another server answered
is passed on as it came, with the caller's id and question in front, which have the same length.
Names are compared in lower case and given back in the case they were asked in (RFC 4343).
"""

import struct
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final, NamedTuple

A: Final = 1
SOA: Final = 6
PTR: Final = 12
AAAA: Final = 28
OPT: Final = 41
TSIG: Final = 250
IXFR: Final = 251
AXFR: Final = 252
ANY: Final = 255
IN: Final = 1

NOERROR: Final = 0
FORMERR: Final = 1
SERVFAIL: Final = 2
NXDOMAIN: Final = 3
NOTIMP: Final = 4
REFUSED: Final = 5
BADVERS: Final = 16

SMALLEST_UDP: Final = 512
LARGEST_UDP: Final = 4096  # what we send; it crosses a loopback device only
LARGEST_TCP: Final = 65535
UPSTREAM_UDP: Final = 1232  # what passes every path in one piece

_RESPONSE, _AUTHORITATIVE, _TRUNCATED, _RECURSE, _CAN_RECURSE = (
    0x8000, 0x0400, 0x0200, 0x0100, 0x0080,
)  # fmt: skip
_OPCODE: Final = 0x7800
_PASSED_ON: Final = 0x0130  # RD, AD and CD of a caller reach the server that is asked
_DNSSEC_OK: Final = 0x8000
_HEADER: Final = struct.Struct("!6H")
_FIXED: Final = struct.Struct("!HHIH")  # type, class, TTL and length of a record
_TAIL: Final = struct.Struct("!HH")
_TTL: Final = struct.Struct("!I")
_POINTER: Final = 0xC0
_LONGEST_NAME: Final = 255
_LONGEST_LABEL: Final = 63
_NAME_ASKED: Final = b"\xc0\x0c"  # the name of the question, wherever it is repeated
_LONGEST_TTL: Final = 0x7FFFFFFF


class Query(NamedTuple):
    """A well-formed question.

    `name` is in lower case without the last dot; a dot within a label has a backslash in front.
    `asked` is the question as it came; `payload` is how much the caller takes by UDP, and 0
    without EDNS.
    """

    id: int
    flags: int
    name: str
    kind: int
    asked: bytes
    payload: int = 0
    dnssec: bool = False
    version: int = 0

    @property
    def key(self) -> bytes:
        """What all have in common who ask the same and can take the same answer."""
        wants = (self.payload > 0) | self.dnssec << 1 | (self.flags & 0x30)
        return bytes((wants,)) + self.asked[:-4].lower() + self.asked[-4:]


class Rejected(NamedTuple):
    """A packet that asks something, but not so that it could be answered."""

    id: int
    flags: int
    rcode: int


class Reply(NamedTuple):
    """What another server answered.

    `lifetime_s` is how long it may be kept, 0 not at all; `ttls` is where its records' are.
    """

    packet: bytes
    rcode: int
    is_truncated: bool
    lifetime_s: int
    ttls: tuple[int, ...]

    @property
    def is_denial(self) -> bool:
        """Whether it says that there is nothing of the kind."""
        return self.rcode == NXDOMAIN or self.packet[6:8] == b"\0\0"


def read(packet: bytes) -> Query | Rejected | None:
    """What a caller asks; None for what must not be answered."""
    if len(packet) < _HEADER.size:
        return None
    ident, flags, *counts = _HEADER.unpack_from(packet)
    if flags & _RESPONSE:
        return None
    if flags & _OPCODE:
        return Rejected(ident, flags, NOTIMP)
    if counts[0] != 1:
        return Rejected(ident, flags, FORMERR)
    try:
        labels, end = _labels(packet, _HEADER.size)
        kind, _ = _TAIL.unpack_from(packet, end)
        payload, dnssec, version = _extensions(packet, end + 4, counts)
    except (struct.error, ValueError, IndexError):
        return Rejected(ident, flags, FORMERR)
    name = b".".join(labels).decode("latin-1").lower()
    asked = packet[_HEADER.size : end + 4]
    return Query(ident, flags, name, kind, asked, payload, dnssec, version)


def is_internet(query: Query) -> bool:
    """Whether it asks in the class that addresses are in, or in any."""
    return query.asked[-2:] in (b"\0\x01", b"\0\xff")


def room(query: Query) -> int:
    """How many bytes of an answer the caller takes by UDP."""
    return min(max(query.payload, SMALLEST_UDP), LARGEST_UDP)


def reject(rejected: Rejected) -> bytes:
    """Say that a packet cannot be answered; its question is not repeated."""
    flags = _RESPONSE | rejected.flags & (_OPCODE | _RECURSE) | rejected.rcode
    return _HEADER.pack(rejected.id, flags, 0, 0, 0, 0)


def answer(query: Query, records: Sequence[bytes], rcode: int, limit: int) -> bytes:
    """Answer from our own records; those that do not fit are left out, and it says so."""
    tail = _own_extensions(query, rcode)
    spare = limit - _HEADER.size - len(query.asked) - len(tail)
    held: Sequence[bytes] = records
    cut = 0
    if sum(map(len, records)) > spare:
        held, cut = _fitting(records, spare), _TRUNCATED
    flags = _RESPONSE | _AUTHORITATIVE | _CAN_RECURSE | cut | query.flags & 0x0110 | rcode & 15
    head = _HEADER.pack(query.id, flags, 1, len(held), 0, 1 if tail else 0)
    return b"".join((head, query.asked, *held, tail))


def fail(query: Query, rcode: int) -> bytes:
    """Say that there is no answer."""
    tail = _own_extensions(query, rcode)
    flags = _RESPONSE | _CAN_RECURSE | query.flags & 0x0110 | rcode & 15
    return _HEADER.pack(query.id, flags, 1, 0, 0, 1 if tail else 0) + query.asked + tail


def pass_on(query: Query, packet: bytes, limit: int) -> bytes:
    """Another server's answer as the answer to `query`; cut to nothing if it does not fit."""
    _, flags, _, answers, authorities, more = _HEADER.unpack_from(packet)
    flags = flags & ~_RECURSE | _CAN_RECURSE | query.flags & _RECURSE
    body = packet[_HEADER.size + len(query.asked) :]
    if _HEADER.size + len(query.asked) + len(body) > limit:
        body = _own_extensions(query, NOERROR)
        flags, answers, authorities, more = flags | _TRUNCATED, 0, 0, 1 if body else 0
    head = _HEADER.pack(query.id, flags, 1, answers, authorities, more)
    return head + query.asked + body


def ask(query: Query, ident: int) -> bytes:
    """The packet that asks another server the same, under an id that only we know."""
    flags = query.flags & _PASSED_ON | _RECURSE
    tail = _own_extensions(query, NOERROR, payload=UPSTREAM_UDP)
    return _HEADER.pack(ident, flags, 1, 0, 0, 1 if tail else 0) + query.asked + tail


def read_reply(packet: bytes, ident: int, query: Query) -> Reply | None:
    """What a server answered to `ask(query, ident)`; None for anything else."""
    try:
        got, flags, questions, *counts = _HEADER.unpack_from(packet)
        start = _HEADER.size + len(query.asked)
        repeated = packet[_HEADER.size : start]
        if got != ident or not flags & _RESPONSE or flags & _OPCODE or questions != 1:
            return None
        if repeated[:-4].lower() != query.asked[:-4].lower() or repeated[-4:] != query.asked[-4:]:
            return None
        cut = bool(flags & _TRUNCATED)
        if cut:
            return Reply(packet, flags & 15, True, 0, ())
        lifetime_s, ttls = _outline(packet, start, counts)
    except (struct.error, IndexError, ValueError):
        return None
    rcode = flags & 15
    return Reply(packet, rcode, cut, lifetime_s if rcode in (NOERROR, NXDOMAIN) else 0, ttls)


def aged(reply: Reply, age_s: int) -> bytes:
    """The packet of a reply that was kept for `age_s`: its records live that much shorter."""
    packet = bytearray(reply.packet)
    for offset in reply.ttls:
        (ttl,) = _TTL.unpack_from(packet, offset)
        _TTL.pack_into(packet, offset, max(0, ttl - age_s))
    return bytes(packet)


def address_record(address: str, ttl_s: int) -> bytes:
    """A record that gives the name asked for an address."""
    raw = ip_address(address).packed
    kind = A if len(raw) == 4 else AAAA
    return _NAME_ASKED + _FIXED.pack(kind, IN, ttl_s, len(raw)) + raw


def pointer_record(name: str, ttl_s: int) -> bytes:
    """A record that says what the address asked for is called; nothing if no name can be it."""
    labels = [each.encode("latin-1", "replace") for each in name.split(".")]
    if not all(0 < len(each) <= _LONGEST_LABEL for each in labels):
        return b""
    raw = b"".join(bytes((len(each),)) + each for each in labels) + b"\0"
    if len(raw) > _LONGEST_NAME:
        return b""
    return _NAME_ASKED + _FIXED.pack(PTR, IN, ttl_s, len(raw)) + raw


def _labels(packet: bytes, offset: int) -> tuple[list[bytes], int]:
    """The labels of an uncompressed name and where it ends."""
    labels: list[bytes] = []
    start = offset
    while length := packet[offset]:
        if length > _LONGEST_LABEL:
            raise ValueError("a question's name has nothing to point to")
        offset += 1
        label = packet[offset : offset + length]
        labels.append(label.replace(b".", b"\\.") if b"." in label else label)
        offset += length
    offset += 1
    if offset - start > _LONGEST_NAME or offset > len(packet):
        raise ValueError("too long")
    return labels, offset


def _past_name(packet: bytes, offset: int) -> int:
    while length := packet[offset]:
        if length >= _POINTER:
            return offset + 2
        offset += 1 + length
    return offset + 1


def _extensions(packet: bytes, offset: int, counts: Sequence[int]) -> tuple[int, bool, int]:
    """What a caller says of itself (RFC 6891): its payload size, DNSSEC OK, and the version."""
    found = (0, False, 0)
    for _ in range(sum(counts[1:])):
        end = _past_name(packet, offset)
        kind, size, more, length = _FIXED.unpack_from(packet, end)
        if kind == OPT:
            if found[0] or packet[offset]:
                raise ValueError("a question has one set of extensions, and it has no name")
            found = (max(size, SMALLEST_UDP), bool(more & _DNSSEC_OK), more >> 16 & 255)
        offset = end + _FIXED.size + length
        if offset > len(packet):
            raise ValueError("cut off")
    return found


def _own_extensions(query: Query, rcode: int, payload: int = LARGEST_UDP) -> bytes:
    """Our extensions for whoever has some; others could not read them."""
    if not query.payload:
        return b""
    more = (rcode >> 4) << 24 | (_DNSSEC_OK if query.dnssec else 0)
    return b"\0" + _FIXED.pack(OPT, payload, more, 0)


def _fitting(records: Sequence[bytes], spare: int) -> list[bytes]:
    held: list[bytes] = []
    for record in records:
        spare -= len(record)
        if spare < 0:
            break
        held.append(record)
    return held


def _outline(packet: bytes, offset: int, counts: Sequence[int]) -> tuple[int, tuple[int, ...]]:
    """How long a reply may be kept and where the TTLs are.

    The shortest life of its answers counts; where there is none, what its zone says of names
    that it does not have (RFC 2308), or else nothing is kept.
    """
    answers, authorities, _ = counts
    ttls: list[int] = []
    shortest, denied = _LONGEST_TTL, -1
    for number in range(sum(counts)):
        offset = _past_name(packet, offset)
        kind, _, ttl, length = _FIXED.unpack_from(packet, offset)
        end = offset + _FIXED.size + length
        if end > len(packet):
            raise ValueError("cut off")
        if kind not in (OPT, TSIG):
            ttl = ttl if ttl <= _LONGEST_TTL else 0
            ttls.append(offset + 4)
            if number < answers:
                shortest = min(shortest, ttl)
            elif number < answers + authorities and kind == SOA:
                (minimum,) = _TTL.unpack_from(packet, end - 4)
                denied = min(ttl, minimum)
        offset = end
    if answers and denied < 0:
        return shortest, tuple(ttls)
    return min(shortest, max(denied, 0)), tuple(ttls)
