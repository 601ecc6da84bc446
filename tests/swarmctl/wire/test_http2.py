"""The HTTP/2 machine takes bytes in any portions and keeps to the rules of flow control."""

import struct
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.errors import Unavailable
from swarmctl.wire import hpack
from swarmctl.wire.http2 import (
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Connection,
    Ended,
    Event,
    Message,
)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind: int, flags: int, payload: bytes, *, stream: int = 1) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def message(payload: bytes) -> bytes:
    return struct.pack(">BI", 0, len(payload)) + payload


def frames(data: bytes) -> list[tuple[int, int, int, bytes]]:
    """Kind, flags, stream and payload of each frame in `data`."""
    data, found = data.removeprefix(PREFACE), []
    while data:
        size = int.from_bytes(data[:3], "big")
        kind, flags, stream = struct.unpack_from(">BBI", data, 3)
        found.append((kind, flags, stream, data[9 : 9 + size]))
        data = data[9 + size :]
    return found


def started(*messages: bytes) -> Connection:
    connection = Connection()
    connection.begin("/a/b")
    for each in messages:
        connection.send(each)
    return connection


HEAD = frame(HEADERS, END_HEADERS, hpack.encode([(":status", b"200")]))
TAIL = frame(HEADERS, END_HEADERS | END_STREAM, hpack.encode([("grpc-status", b"0")]))
ANSWER = HEAD + frame(DATA, 0, message(b"one") + message(b"two")) + TAIL
EVENTS = [Message(b"one"), Message(b"two"), Ended(status=0)]


def test_a_call_opens_with_preface_settings_and_headers() -> None:
    connection = Connection()
    connection.begin("/swarm.api.v1.Control/ListNodes", timeout_s=2.5)
    connection.send(b"abc", is_last=True)

    data = connection.take()

    assert data.startswith(PREFACE)
    kinds = [(kind, stream) for kind, _, stream, _ in frames(data)]
    assert kinds == [(SETTINGS, 0), (WINDOW_UPDATE, 0), (HEADERS, 1), (DATA, 1)]
    headers = dict(hpack.decode(frames(data)[2][3]))
    assert headers[":path"] == b"/swarm.api.v1.Control/ListNodes"
    assert headers["grpc-timeout"] == b"2500m"
    assert frames(data)[3][1:] == (END_STREAM, 1, message(b"abc"))


@given(st.randoms())
def test_law_portions_do_not_matter(random: Random) -> None:
    connection, events, rest = started(), list[Event](), ANSWER
    while rest:
        size = random.randint(1, 7)
        events += connection.receive(rest[:size])
        rest = rest[size:]

    assert events == EVENTS


@given(st.lists(st.integers(min_value=1, max_value=100_000), max_size=20), st.integers(1, 200_000))
def test_law_nothing_is_sent_beyond_the_room_that_was_given(rooms: list[int], size: int) -> None:
    connection = started(b"x" * size)
    sent, room = _data(connection.take()), 65_535
    for each in rooms:
        assert len(sent) <= room
        update = struct.pack(">I", each)
        connection.receive(frame(WINDOW_UPDATE, 0, update, stream=0))
        connection.receive(frame(WINDOW_UPDATE, 0, update))
        sent, room = sent + _data(connection.take()), room + each

    assert len(sent) == min(size + 5, room)
    assert connection.pending_bytes == size + 5 - len(sent)


def _data(out: bytes) -> bytes:
    found = [payload for kind, _, _, payload in frames(out) if kind == DATA]
    assert all(len(each) <= 16_384 for each in found)
    return b"".join(found)


def test_a_smaller_initial_window_takes_room_back() -> None:
    connection = started(b"x" * 70_000)
    connection.take()

    connection.receive(frame(SETTINGS, 0, struct.pack(">HI", 4, 10), stream=0))
    connection.receive(frame(WINDOW_UPDATE, 0, struct.pack(">I", 1 << 20), stream=0))

    assert _data(connection.take()) == b""


def test_pings_and_settings_are_acknowledged() -> None:
    connection = started()
    connection.take()

    connection.receive(frame(PING, 0, b"12345678", stream=0) + frame(SETTINGS, 0, b"", stream=0))

    assert frames(connection.take()) == [(PING, 1, 0, b"12345678"), (SETTINGS, 1, 0, b"")]


def test_what_was_read_makes_room_again() -> None:
    connection = started()
    connection.take()

    for _ in range(1 << 12):
        connection.receive(frame(DATA, 0, message(b"x" * 4091)))

    updates = [each for each in frames(connection.take()) if each[0] == WINDOW_UPDATE]
    assert [stream for _, _, stream, _ in updates] == [0, 1]
    assert updates[0][3] == struct.pack(">I", 1 << 24)


def test_padding_is_dropped() -> None:
    padded = frame(DATA, PADDED, b"\x03" + message(b"one") + b"\0\0\0")

    assert started().receive(padded) == [Message(b"one")]


def test_the_status_and_its_details_end_a_call() -> None:
    trailers = [
        ("grpc-status", b"5"),
        ("grpc-message", b"no such service: w%C3%A9b 100%"),
        ("swarm-error-bin", b"YWI"),
    ]
    tail = frame(HEADERS, END_HEADERS | END_STREAM, hpack.encode(trailers))

    [ended] = started().receive(tail)

    assert ended == Ended(
        status=5, message="no such service: wéb 100%", details={"swarm-error-bin": b"ab"}
    )


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (frame(RST_STREAM, 0, struct.pack(">I", 8)), 1),
        (frame(RST_STREAM, 0, struct.pack(">I", 7)), 14),
        (frame(RST_STREAM, 0, struct.pack(">I", 1)), 13),
        (frame(GOAWAY, 0, struct.pack(">II", 0, 0), stream=0), 14),
        (frame(HEADERS, 5, hpack.encode([(":status", b"404")])), 12),
        (frame(HEADERS, 5, hpack.encode([(":status", b"302")])), 2),
        (frame(DATA, 0, b"\x01\0\0\0\0"), 13),
    ],
)
def test_a_call_that_breaks_ends_with_a_status(data: bytes, status: int) -> None:
    [ended] = started().receive(data)

    assert isinstance(ended, Ended)
    assert ended.status == status


def test_a_graceful_goodbye_lets_the_call_finish() -> None:
    goodbye = frame(GOAWAY, 0, struct.pack(">II", 1, 0), stream=0)

    assert started().receive(goodbye + ANSWER) == EVENTS


def test_a_cancelled_call_tells_the_peer_and_hears_no_more() -> None:
    connection = started(b"abc")
    connection.take()

    connection.cancel()

    assert frames(connection.take()) == [(RST_STREAM, 0, 1, struct.pack(">I", 8))]
    assert connection.receive(ANSWER) == []


def test_the_next_call_has_a_stream_and_room_of_its_own() -> None:
    connection = started(b"abc")
    connection.receive(ANSWER)
    connection.take()

    connection.begin("/a/c")
    connection.send(b"def", is_last=True)

    assert [stream for _, _, stream, _ in frames(connection.take())] == [3, 3]
    assert connection.receive(ANSWER) == []
    assert connection.receive(frame(DATA, 0, message(b"3"), stream=3)) == [Message(b"3")]


@given(st.binary())
def test_law_whatever_arrives_is_taken_or_refused(data: bytes) -> None:
    try:
        started(b"abc").receive(HEAD + data)
    except Unavailable:
        return
