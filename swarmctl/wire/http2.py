"""Speak gRPC over HTTP/2 (RFC 9113) without touching a socket: bytes in, events out.

A command makes its calls one after another, so a connection has at most one call at a time,
and what belongs to an earlier one is dropped. The stock library would do as well, but to import
it takes longer than most commands take in all (docs/decisions/0007-own-grpc-client.md).
"""

import struct
from base64 import b64decode

from msgspec import Struct, field

from swarm.errors import Unavailable
from swarmctl.wire import hpack

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    0, 1, 3, 4, 6, 7, 8, 9,
)  # fmt: skip
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITY = 0x20

_HEADER_TABLE_SIZE, _ENABLE_PUSH, _INITIAL_WINDOW_SIZE, _MAX_FRAME_SIZE = 1, 2, 4, 5
_CANCEL = 8
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_WINDOW = 2**31 - 1
_DEFAULT_WINDOW = 65_535
_REFILL = 1 << 24

OK, CANCELLED, UNKNOWN, INTERNAL, UNAVAILABLE = 0, 1, 2, 13, 14
_STATUS_OF_RESET = {7: UNAVAILABLE, 8: CANCELLED, 11: 8, 12: 7}
_STATUS_OF_HTTP = {400: INTERNAL, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14}


class Message(Struct, frozen=True):
    """One message arrived, still serialised."""

    payload: bytes


class Ended(Struct, frozen=True, kw_only=True):
    """The call is over, with a gRPC status; `details` is the trailing metadata."""

    status: int
    message: str = ""
    details: dict[str, bytes] = field(default_factory=dict[str, bytes])


Event = Message | Ended


class Connection:
    """One HTTP/2 connection, seen from the client.

    `take()` yields the bytes to write after any other call; `receive()` wants the bytes that
    were read.
    """

    def __init__(self) -> None:
        self._stream = -1
        self._is_open = False
        self._in = bytearray()
        self._body = bytearray()
        self._block = bytearray()
        self._block_flags = 0
        self._headers: dict[str, bytes] = {}
        self._pending = bytearray()
        self._is_last = self._has_closed = False
        self._room = self._stream_room = self._initial_room = _DEFAULT_WINDOW
        self._frame_size = 16_384
        self._unacknowledged = 0
        settings = ((_HEADER_TABLE_SIZE, 0), (_ENABLE_PUSH, 0), (_INITIAL_WINDOW_SIZE, _WINDOW))
        self._out = bytearray(_PREFACE)
        self._frame(SETTINGS, 0, b"".join(struct.pack(">HI", *each) for each in settings))
        self._frame(WINDOW_UPDATE, 0, struct.pack(">I", _WINDOW - _DEFAULT_WINDOW))

    @property
    def pending_bytes(self) -> int:
        """What was sent but waits for the peer to make room."""
        return len(self._pending)

    def begin(self, path: str, *, timeout_s: float | None = None) -> None:
        """Start the call of the method `path`; an earlier call must have ended."""
        assert not self._is_open, "one call at a time"
        self._stream += 2
        self._is_open, self._is_last, self._has_closed = True, False, False
        self._stream_room = self._initial_room
        for buffer in (self._body, self._pending):
            buffer.clear()
        self._headers = {}
        headers: list[hpack.Header] = [
            (":method", b"POST"),
            (":scheme", b"http"),
            (":path", path.encode()),
            (":authority", b"localhost"),
            ("te", b"trailers"),
            ("content-type", b"application/grpc"),
            ("user-agent", b"swarmctl"),
        ]
        if timeout_s is not None:
            headers.append(("grpc-timeout", b"%dm" % max(1, round(timeout_s * 1000))))
        self._frame(HEADERS, END_HEADERS, hpack.encode(headers))

    def send(self, payload: bytes, *, is_last: bool = False) -> None:
        """Queue one message."""
        assert not self._is_last, "no message may follow the last"
        if self._is_open:
            self._pending += struct.pack(">BI", 0, len(payload)) + payload
            self._is_last = is_last
            self._flush()

    def close_sending(self) -> None:
        """Say that no more messages come."""
        self._is_last = True
        self._flush()

    def cancel(self) -> None:
        """Give the call up."""
        if self._is_open:
            self._frame(RST_STREAM, 0, struct.pack(">I", _CANCEL))
            self._is_open = False

    def take(self) -> bytes:
        """The bytes to write now."""
        out = bytes(self._out)
        self._out.clear()
        return out

    def receive(self, data: bytes) -> list[Event]:
        """Take in what was read; `Unavailable` when it is not HTTP/2."""
        self._in += data
        events: list[Event] = []
        try:
            self._take_frames(events)
        except (struct.error, IndexError, ValueError) as err:
            raise Unavailable("whoever answers does not speak HTTP/2") from err
        return events

    def _take_frames(self, events: list[Event]) -> None:
        while len(self._in) >= 9:
            size = int.from_bytes(self._in[:3], "big")
            if self._in.startswith(b"HTTP"):
                raise ValueError("HTTP/1")
            if len(self._in) < 9 + size:
                break
            kind, flags, stream = struct.unpack_from(">BBI", self._in, 3)
            payload = bytes(self._in[9 : 9 + size])
            del self._in[: 9 + size]
            self._take_frame(kind, flags, stream & 0x7FFFFFFF, payload, events)

    def _take_frame(
        self, kind: int, flags: int, stream: int, payload: bytes, events: list[Event]
    ) -> None:
        if kind == SETTINGS:
            self._take_settings(flags, payload)
        elif kind == PING and not flags & ACK:
            self._frame(PING, ACK, payload, stream=0)
        elif kind == WINDOW_UPDATE:
            self._take_room(stream, struct.unpack(">I", payload)[0] & 0x7FFFFFFF)
        elif kind == GOAWAY:
            if struct.unpack_from(">I", payload)[0] & 0x7FFFFFFF < self._stream:
                self._end(events, Ended(status=UNAVAILABLE, message="the daemon goes away"))
        elif kind == DATA:
            self._refill(stream, len(payload))
            if stream == self._stream and self._is_open:
                self._take_data(_unpadded(flags, payload), events)
                self._end_of_stream(flags, events)
        elif kind in (HEADERS, CONTINUATION):
            self._take_headers(kind, flags, stream, payload, events)
        elif kind == RST_STREAM and stream == self._stream:
            code = struct.unpack(">I", payload)[0]
            status = _STATUS_OF_RESET.get(code, INTERNAL)
            self._end(events, Ended(status=status, message=f"the call was reset ({code})"))

    def _take_settings(self, flags: int, payload: bytes) -> None:
        if flags & ACK:
            return
        for name, value in struct.iter_unpack(">HI", payload):
            if name == _INITIAL_WINDOW_SIZE:
                self._stream_room += value - self._initial_room
                self._initial_room = value
            elif name == _MAX_FRAME_SIZE:
                self._frame_size = value
        self._frame(SETTINGS, ACK, b"", stream=0)
        self._flush()

    def _take_room(self, stream: int, increment: int) -> None:
        if stream == 0:
            self._room += increment
        elif stream == self._stream:
            self._stream_room += increment
        self._flush()

    def _take_headers(
        self, kind: int, flags: int, stream: int, payload: bytes, events: list[Event]
    ) -> None:
        if kind == HEADERS:
            payload = _unpadded(flags, payload)
            self._block_flags = flags
            self._block = bytearray(payload[5:] if flags & PRIORITY else payload)
        else:
            self._block += payload
        if not flags & END_HEADERS:
            return
        if stream == self._stream and self._is_open:
            self._headers.update(hpack.decode(bytes(self._block)))
            self._end_of_stream(self._block_flags, events)

    def _take_data(self, data: bytes, events: list[Event]) -> None:
        self._body += data
        while len(self._body) >= 5:
            compressed, size = struct.unpack_from(">BI", self._body)
            if compressed:
                self.cancel()
                events.append(Ended(status=INTERNAL, message="a message came compressed"))
                return
            if len(self._body) < 5 + size:
                return
            events.append(Message(bytes(self._body[5 : 5 + size])))
            del self._body[: 5 + size]

    def _end_of_stream(self, flags: int, events: list[Event]) -> None:
        if flags & END_STREAM:
            self._end(events, _ended(self._headers))

    def _end(self, events: list[Event], ended: Ended) -> None:
        if self._is_open:
            self._is_open = False
            self._pending.clear()
            events.append(ended)

    def _refill(self, stream: int, size: int) -> None:
        self._unacknowledged += size
        if self._unacknowledged >= _REFILL:
            increment = struct.pack(">I", self._unacknowledged)
            self._frame(WINDOW_UPDATE, 0, increment, stream=0)
            self._frame(WINDOW_UPDATE, 0, increment, stream=stream)
            self._unacknowledged = 0

    def _flush(self) -> None:
        while self._is_open and not self._has_closed:
            size = min(len(self._pending), self._room, self._stream_room, self._frame_size)
            if size <= 0 and (self._pending or not self._is_last):
                return
            chunk = bytes(self._pending[:size])
            del self._pending[:size]
            self._room -= size
            self._stream_room -= size
            self._has_closed = self._is_last and not self._pending
            self._frame(DATA, END_STREAM if self._has_closed else 0, chunk)

    def _frame(self, kind: int, flags: int, payload: bytes, *, stream: int | None = None) -> None:
        target = self._stream if stream is None else stream
        head = struct.pack(">I", len(payload))[1:] + struct.pack(
            ">BBI", kind, flags, max(target, 0)
        )
        self._out += head + payload


def _unpadded(flags: int, payload: bytes) -> bytes:
    if not flags & PADDED:
        return payload
    return payload[1 : len(payload) - payload[0]]


def _ended(headers: dict[str, bytes]) -> Ended:
    code = headers.get("grpc-status", b"")
    if not code.isdigit():
        http = headers.get(":status", b"")
        status = _STATUS_OF_HTTP.get(int(http), UNKNOWN) if http.isdigit() else UNKNOWN
        return Ended(status=status, message="the daemon gave no gRPC status")
    details = {
        name: _binary(value) if name.endswith("-bin") else value
        for name, value in headers.items()
        if not name.startswith((":", "grpc-"))
    }
    message = _unquote(headers.get("grpc-message", b""))
    return Ended(status=int(code), message=message, details=details)


def _binary(value: bytes) -> bytes:
    return b64decode(value + b"=" * (-len(value) % 4))


def _unquote(text: bytes) -> str:
    first, *rest = text.split(b"%")
    plain = bytearray(first)
    for each in rest:
        try:
            plain += bytes([int(each[:2], 16)]) + each[2:]
        except ValueError:
            plain += b"%" + each
    return plain.decode("utf-8", "replace")
