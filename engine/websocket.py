"""Speak WebSocket (RFC 6455) as far as a raw stream needs it: messages of bytes, both ways."""

import base64
import hashlib
import struct
from collections.abc import Mapping
from enum import IntEnum

from msgspec import Struct

from engine.refusals import BAD_REQUEST, Denied

MOST_BYTES = 1 << 20

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_FINAL, _MASKED = 0x80, 0x80


class Opcode(IntEnum):
    """What a frame is."""

    MORE = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class Frame(Struct, frozen=True):
    """One frame, unmasked."""

    opcode: Opcode
    payload: bytes


class Malformed(Exception):
    """The other side does not speak WebSocket, or more of it than we take."""


def accept(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The headers that answer a client's handshake (section 4.2); raises `Denied`."""
    key = headers.get("sec-websocket-key", "")
    if headers.get("upgrade", "").lower() != "websocket" or not key:
        raise Denied(BAD_REQUEST, "not a WebSocket handshake: Upgrade and Sec-WebSocket-Key")
    if headers.get("sec-websocket-version", "13") != "13":
        raise Denied(BAD_REQUEST, "Sec-WebSocket-Version: only 13 is spoken")
    digest = hashlib.sha1(key.strip().encode("latin-1") + _MAGIC).digest()
    answer = (("Sec-WebSocket-Accept", base64.b64encode(digest).decode()),)
    wanted = headers.get("sec-websocket-protocol", "").partition(",")[0].strip()
    return (*answer, ("Sec-WebSocket-Protocol", wanted)) if wanted else answer


def encode(opcode: Opcode, payload: bytes) -> bytes:
    """A whole message in one frame; servers do not mask (section 5.1)."""
    length = len(payload)
    if length < 126:
        header = struct.pack(">BB", _FINAL | opcode, length)
    elif length < 1 << 16:
        header = struct.pack(">BBH", _FINAL | opcode, 126, length)
    else:
        header = struct.pack(">BBQ", _FINAL | opcode, 127, length)
    return header + payload


class Decoder:
    """Takes frames out of what a client sends. Raises `Malformed`."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes."""
        self._held += data
        found: list[Frame] = []
        while (frame := self._take()) is not None:
            found.append(frame)
        return found

    def _take(self) -> Frame | None:
        held = self._held
        if len(held) < 2:
            return None
        if not held[1] & _MASKED:
            raise Malformed("clients mask what they send")
        length, start = held[1] & 0x7F, 2
        if length >= 126:
            size = 2 if length == 126 else 8
            start += size
            if len(held) < start:
                return None
            length = int.from_bytes(held[2:start])
        if length > MOST_BYTES:
            raise Malformed(f"a frame of {length} bytes")
        if len(held) < start + 4 + length:
            return None
        mask, masked = bytes(held[start : start + 4]), bytes(held[start + 4 : start + 4 + length])
        try:
            opcode = Opcode(held[0] & 0x0F)
        except ValueError as err:
            raise Malformed(str(err)) from err
        del held[: start + 4 + length]
        return Frame(opcode, _unmask(masked, mask))


def _unmask(masked: bytes, mask: bytes) -> bytes:
    """Section 5.3, as one operation on two large numbers."""
    length = len(masked)
    keys = (mask * (length // 4 + 1))[:length]
    return (int.from_bytes(masked) ^ int.from_bytes(keys)).to_bytes(length)
