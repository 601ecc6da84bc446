"""Frame netlink messages, and tell what the answers are.

Many requests travel in one buffer, and are numbered one by one. The kernel handles them in order
and goes on after a refusal (but for transactions of nftables), and reports every refusal whether
or not an acknowledgement was asked for. So only the last request of a buffer asks for one:
when that is read, all are done. Source: linux/netlink.h.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Final, NamedTuple

from agent.network.wire.attributes import decoded, to_number, to_text

REQUEST: Final = 0x1
MULTI: Final = 0x2
ACK: Final = 0x4
INTERRUPTED: Final = 0x10
DUMP: Final = 0x300
REPLACE: Final = 0x100
EXCLUSIVE: Final = 0x200
CREATE: Final = 0x400
APPEND: Final = 0x800

ERROR: Final = 2
DONE: Final = 3
OVERRUN: Final = 4

_HEAD: Final = struct.Struct("=IHHII")
_ERRNO: Final = struct.Struct("=i")
_CAPPED: Final = 0x100
_HAS_DETAILS: Final = 0x200  # NLM_F_ACK_TLVS
_DETAIL_TEXT: Final = 1  # NLMSGERR_ATTR_MSG
_DETAIL_OFFSET: Final = 2  # NLMSGERR_ATTR_OFFS


class Request(NamedTuple):
    """A message to the kernel, not numbered yet."""

    kind: int
    flags: int
    body: bytes


class Reply(NamedTuple):
    """A message of the kernel; `sequence` is that of the request."""

    kind: int
    flags: int
    sequence: int
    body: bytes


class Refusal(NamedTuple):
    """Why a request failed. `errno` 0 is none: it was acknowledged.

    `offset` is where in the request the kernel found the fault, counted from its header, or 0.
    """

    errno: int
    text: str = ""
    offset: int = 0


def framed(requests: Sequence[Request], first: int, *, is_fenced: bool = True) -> bytes:
    """The requests in one buffer, numbered from `first` on; the last asks to be acknowledged."""
    parts: list[bytes] = []
    last = len(requests) - 1
    for position, (kind, flags, body) in enumerate(requests):
        fence = ACK if is_fenced and position == last else 0
        length = _HEAD.size + len(body)
        parts += (
            _HEAD.pack(length, kind, flags | REQUEST | fence, first + position, 0),
            body,
            bytes(-length & 3),
        )
    return b"".join(parts)


def split(received: bytes) -> Iterator[Reply]:
    """The messages that arrived together; `ValueError` when one was cut off."""
    offset, end = 0, len(received)
    while offset + _HEAD.size <= end:
        length, kind, flags, sequence, _ = _HEAD.unpack_from(received, offset)
        if length < _HEAD.size or offset + length > end:
            raise ValueError(f"message {kind} has {length} bytes of {end - offset}")
        yield Reply(kind, flags, sequence, received[offset + _HEAD.size : offset + length])
        offset += (length + 3) & ~3


def dumped(
    datagrams: Iterable[Sequence[Reply]], sequence: int
) -> tuple[list[Reply], Refusal] | None:
    """All that answers the request of that number; None when it changed while it was read.

    Stops reading at the end of the answer. Without a refusal the answer is whole.
    """
    found: list[Reply] = []
    for reply in chain.from_iterable(datagrams):
        if reply.sequence != sequence:
            continue
        if reply.flags & INTERRUPTED:
            return None
        if reply.kind in {DONE, ERROR}:
            return found, refusal(reply)
        found.append(reply)
    return None


def refusal(reply: Reply) -> Refusal:
    """What an ERROR or a DONE says."""
    if len(reply.body) < _ERRNO.size:
        return Refusal(0)
    errno = -_ERRNO.unpack_from(reply.body)[0]
    if not reply.flags & _HAS_DETAILS:
        return Refusal(errno)
    details = decoded(reply.body, _ERRNO.size + _quoted(reply))
    return Refusal(
        errno, to_text(details.get(_DETAIL_TEXT, b"")), to_number(details.get(_DETAIL_OFFSET, b""))
    )


def _quoted(reply: Reply) -> int:
    """How much of an error is the request: its header, or all of it."""
    if reply.kind == DONE:
        return 0
    if reply.flags & _CAPPED:
        return _HEAD.size
    return (to_number(reply.body[_ERRNO.size : _ERRNO.size + 4]) + 3) & ~3
