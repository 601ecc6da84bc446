"""Speak gRPC without touching a socket: bytes in, messages out.

The frames are `h2`'s. Ours is what gRPC puts into them (length-prefixed messages, a status in the
trailers) and one rule: a command makes its calls one after another, so a connection has at most
one call at a time, and what belongs to an earlier one is dropped.
"""

import struct
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress

from h2 import events as h2
from h2.config import H2Configuration
from h2.connection import ConnectionState, H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import H2Error, StreamClosedError
from h2.settings import SettingCodes, Settings
from msgspec import Struct

from swarm.errors import Unavailable
from swarmctl.wire.ending import INTERNAL, UNAVAILABLE, Ended, of_headers, of_reset

WINDOW_BYTES = 1 << 24
FRAME_BYTES = 1 << 18


class Message(Struct, frozen=True):
    """One message arrived, still serialised."""

    payload: bytes


Event = Message | Ended


class Connection:
    """One HTTP/2 connection, seen from the client.

    `take()` yields the bytes to write after any other call; `receive()` wants the bytes that
    were read. After `Unavailable` the connection is of no more use. The peer may send
    `window_bytes` ahead; with `is_eager`, what was received makes room at once, else only
    `make_room()` does.
    """

    def __init__(self, *, window_bytes: int = WINDOW_BYTES, is_eager: bool = True) -> None:
        self.is_leaving = False
        """Whether the peer said goodbye: the call under way may end, the next needs another."""
        self._h2 = _Frames(H2Configuration(header_encoding=None))
        room = {
            SettingCodes.ENABLE_PUSH: 0,
            SettingCodes.INITIAL_WINDOW_SIZE: window_bytes,
            SettingCodes.MAX_FRAME_SIZE: FRAME_BYTES,
        }
        self._h2.local_settings = Settings(initial_values=room)
        self._h2.max_inbound_frame_size = FRAME_BYTES
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(window_bytes - 65_535)
        self._is_eager = is_eager
        self._unanswered = 0
        self._has_heard = False
        self._stream = 0
        self._is_open = self._is_sending = self._is_last = False
        self._headers: dict[str, bytes] = {}
        self._body = bytearray()
        self._pending = bytearray()

    @property
    def pending_bytes(self) -> int:
        """What was sent but waits for the peer to make room."""
        return len(self._pending)

    def begin(self, path: str, *, timeout_s: float | None = None) -> None:
        """Start the call of the method `path`; an earlier call must have ended."""
        assert not self._is_open, "one call at a time"
        headers = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "localhost"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("user-agent", "swarmctl"),
        ]
        if timeout_s is not None:
            headers.append(("grpc-timeout", f"{max(1, round(timeout_s * 1000))}m"))
        with _blaming_the_peer():
            self._stream = self._h2.get_next_available_stream_id()
            self._h2.send_headers(self._stream, headers)
        self._is_open, self._is_sending, self._is_last = True, True, False
        self._headers = {}
        self._unanswered = 0
        self._body.clear()
        self._pending.clear()

    def send(self, payload: bytes, *, is_last: bool = False) -> None:
        """Queue one message; none is sent once the call has ended."""
        assert not self._is_last, "no message may follow the last"
        if self._is_open:
            self._pending += struct.pack(">BI", 0, len(payload)) + payload
            self._is_last = is_last
            self._flush()

    def close_sending(self) -> None:
        """Say that no more messages come."""
        self._is_last = True
        self._flush()

    def make_room(self) -> None:
        """What was received has been dealt with: let the peer send as much again."""
        if self._unanswered and self._is_open:
            with _blaming_the_peer():
                self._h2.acknowledge_received_data(self._unanswered, self._stream)
        self._unanswered = 0

    def take(self) -> bytes:
        """The bytes to write now."""
        return self._h2.data_to_send()

    def receive(self, data: bytes) -> list[Event]:
        """Take in what was read; `Unavailable` when it is not HTTP/2."""
        found: list[Event] = []
        with _blaming_the_peer():
            if not self._has_heard and data.startswith(b"HTTP/1"):
                raise ValueError("h2 would wait for the rest of a huge frame")
            self._has_heard = True
            for event in self._h2.receive_data(data):
                found += self._taken(event)
            self._flush()
        return found

    def _taken(self, event: h2.Event) -> Iterator[Event]:
        if isinstance(event, h2.DataReceived):
            self._arrived(event)
        elif isinstance(event, h2.ConnectionTerminated):
            self.is_leaving = True
            if self._is_open and (event.last_stream_id or 0) < self._stream:
                yield self._end(Ended(status=UNAVAILABLE, message="the daemon goes away"))
        if not self._is_open or getattr(event, "stream_id", None) != self._stream:
            return
        match event:
            case h2.DataReceived(data=data):
                yield from self._messages(data)
            case h2.ResponseReceived(headers=headers) | h2.TrailersReceived(headers=headers):
                self._headers |= {bytes(name).decode("latin-1"): bytes(v) for name, v in headers}
            case h2.StreamReset(error_code=code):
                yield self._end(of_reset(code))
            case h2.StreamEnded():
                if self._is_sending:
                    self._reset()
                yield self._end(of_headers(self._headers))
            case _:
                pass

    def _arrived(self, event: h2.DataReceived) -> None:
        if self._is_eager or event.stream_id != self._stream:
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        else:
            self._unanswered += event.flow_controlled_length

    def _messages(self, data: bytes) -> Iterator[Event]:
        self._body += data
        while len(self._body) >= 5:
            is_compressed, size = struct.unpack_from(">BI", self._body)
            if is_compressed:
                self._reset()
                yield self._end(Ended(status=INTERNAL, message="a message came compressed"))
                return
            if len(self._body) < 5 + size:
                return
            yield Message(bytes(self._body[5 : 5 + size]))
            del self._body[: 5 + size]

    def _end(self, ended: Ended) -> Ended:
        self._is_open = self._is_sending = False
        self._pending.clear()
        return ended

    def _reset(self) -> None:
        with suppress(StreamClosedError):  # the peer was quicker, in the same breath
            self._h2.reset_stream(self._stream, ErrorCodes.CANCEL)

    def _flush(self) -> None:
        while self._is_sending and (self._pending or self._is_last):
            room = min(
                self._h2.local_flow_control_window(self._stream), self._h2.max_outbound_frame_size
            )
            if self._pending and room <= 0:
                return
            chunk = bytes(self._pending[: max(room, 0)])
            del self._pending[: len(chunk)]
            self._is_sending = bool(self._pending) or not self._is_last
            self._h2.send_data(self._stream, chunk, end_stream=not self._is_sending)


class _Frames(H2Connection):
    """Let a call finish when a GOAWAY spares it (RFC 9113, 6.8); to h2 it is the end of all."""

    def clear_outbound_data_buffer(self) -> None:
        """Keep what is to be written, and stay open: h2 asks for the opposite, on GOAWAY only."""
        self.state_machine.state = ConnectionState.CLIENT_OPEN


@contextmanager
def _blaming_the_peer() -> Generator[None, None, None]:
    try:
        yield
    except (H2Error, ValueError) as err:
        raise Unavailable("whoever answers does not speak HTTP/2") from err
