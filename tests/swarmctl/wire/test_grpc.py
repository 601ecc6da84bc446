"""The gRPC machine takes bytes in any portions, keeps to flow control, and blames the right one."""

import struct
from random import Random

import pytest
from hpack import Decoder, Encoder
from hypothesis import given
from hypothesis import strategies as st

from swarm.errors import Unavailable
from swarmctl.wire.ending import Ended
from swarmctl.wire.grpc import WINDOW_BYTES, Connection, Event, Message

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4
REFUSED_STREAM, CANCEL = 7, 8


def frame(kind: int, flags: int, payload: bytes, *, stream: int = 1) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def head(headers: list[tuple[str, str]], *, flags: int = END_HEADERS, stream: int = 1) -> bytes:
    return frame(HEADERS, flags, Encoder().encode(headers), stream=stream)


def tail(headers: list[tuple[str, str]]) -> bytes:
    return head(headers, flags=END_HEADERS | END_STREAM)


def reset(code: int) -> bytes:
    return frame(RST_STREAM, 0, struct.pack(">I", code))


def goodbye(last_stream: int) -> bytes:
    return frame(GOAWAY, 0, struct.pack(">II", last_stream, 0), stream=0)


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


HEAD = head([(":status", "200")])
TAIL = tail([("grpc-status", "0")])
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
    headers = dict(Decoder().decode(frames(data)[2][3]))
    assert headers[":path"] == "/swarm.api.v1.Control/ListNodes"
    assert headers["grpc-timeout"] == "2500m"
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


def test_the_end_waits_behind_what_waits_for_room() -> None:
    connection = started(b"x" * 65_535)
    connection.close_sending()
    before = frames(connection.take())

    update = struct.pack(">I", 5)
    connection.receive(frame(WINDOW_UPDATE, 0, update, stream=0) + frame(WINDOW_UPDATE, 0, update))

    assert not any(kind == DATA and flags & END_STREAM for kind, flags, _, _ in before)
    assert frames(connection.take()) == [(DATA, END_STREAM, 1, b"xxxxx")]


def test_a_stream_without_a_message_is_closed_too() -> None:
    connection = started()
    connection.take()

    connection.close_sending()

    assert frames(connection.take()) == [(DATA, END_STREAM, 1, b"")]


def test_what_was_read_makes_room_again() -> None:
    connection = started()
    connection.receive(HEAD)
    connection.take()

    for _ in range(WINDOW_BYTES // (1 << 14)):
        connection.receive(frame(DATA, 0, message(b"x" * ((1 << 14) - 5))))

    updates = [each for each in frames(connection.take()) if each[0] == WINDOW_UPDATE]
    room = {0: 0, 1: 0}
    for _, _, stream, payload in updates:
        room[stream] += int.from_bytes(payload, "big")
    assert room == {0: WINDOW_BYTES, 1: WINDOW_BYTES}


def test_a_patient_reader_gives_room_only_for_what_was_dealt_with() -> None:
    """1. The window is full, and nothing is said to the peer.
    2. What was received is dealt with: it may send as much again.
    3. Dealing with it twice gives no further room.
    """
    window = 1 << 17
    connection = Connection(window_bytes=window, is_eager=False)
    connection.begin("/a/b")
    connection.receive(HEAD)
    connection.take()
    for _ in range(window // (1 << 14)):
        connection.receive(frame(DATA, 0, message(b"x" * ((1 << 14) - 5))))

    assert not connection.take()

    connection.make_room()
    room = {0: 0, 1: 0}
    for kind, _, stream, payload in frames(connection.take()):
        assert kind == WINDOW_UPDATE
        room[stream] += int.from_bytes(payload, "big")
    assert room == {0: window, 1: window}
    connection.make_room()
    assert not connection.take()


def test_a_patient_reader_of_a_call_that_ended_gives_no_room() -> None:
    connection = Connection(window_bytes=1 << 17, is_eager=False)
    connection.begin("/a/b")
    connection.receive(ANSWER)
    connection.take()

    connection.make_room()

    assert not connection.take()


def test_the_status_and_its_details_end_a_call() -> None:
    trailers = [
        (":status", "200"),
        ("grpc-status", "5"),
        ("grpc-message", "no such service: w%C3%A9b 100% %zz"),
        ("swarm-error-bin", "YWI"),
    ]

    [ended] = started().receive(tail(trailers))

    assert ended == Ended(
        status=5, message="no such service: wéb 100% %zz", details={"swarm-error-bin": b"ab"}
    )


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (reset(CANCEL), 1),
        (reset(REFUSED_STREAM), 14),
        (reset(1), 13),
        (goodbye(0), 14),
        (tail([(":status", "404")]), 12),
        (tail([(":status", "302")]), 2),
        (HEAD + frame(DATA, 0, b"\x01\0\0\0\0"), 13),
    ],
)
def test_a_call_that_breaks_ends_with_a_status(data: bytes, status: int) -> None:
    [ended] = started().receive(data)

    assert isinstance(ended, Ended)
    assert ended.status == status


@pytest.mark.parametrize("last_stream", [1, 2**31 - 1])
def test_a_graceful_goodbye_lets_the_call_finish(last_stream: int) -> None:
    """The daemon ends while it answers, as gRPC's server does: goodbye, then a ping.

    1. A ping was heard and its answer is not yet written when the goodbye comes.
    2. Both pings are answered, and the upload goes on.
    3. The call ends as if nothing had been, but no further one may follow here.
    """
    connection = started()
    connection.take()

    ping = frame(PING, 0, b"12345678", stream=0)
    assert connection.receive(ping + goodbye(last_stream) + ping) == []

    connection.send(b"abc", is_last=True)
    answered = (PING, ACK, 0, b"12345678")
    said = frames(connection.take())
    assert said == [answered, answered, (DATA, END_STREAM, 1, message(b"abc"))]
    assert connection.receive(ANSWER) == EVENTS
    assert connection.is_leaving


def test_a_peer_that_heard_enough_is_told_that_we_stop() -> None:
    connection = started(b"x" * 100_000)
    connection.take()

    assert connection.receive(ANSWER) == EVENTS
    connection.send(b"more")
    connection.close_sending()

    assert frames(connection.take()) == [(RST_STREAM, 0, 1, struct.pack(">I", CANCEL))]
    assert connection.pending_bytes == 0


def test_a_peer_that_ends_and_resets_in_one_breath_has_ended() -> None:
    connection = started(b"x" * 100_000)

    assert connection.receive(ANSWER + reset(0)) == EVENTS


def test_the_next_call_has_a_stream_and_room_of_its_own() -> None:
    connection = started(b"x" * 60_000)
    connection.receive(ANSWER)
    connection.receive(frame(WINDOW_UPDATE, 0, struct.pack(">I", 1 << 20), stream=0))
    connection.take()

    connection.begin("/a/c")
    connection.send(b"y" * 60_000, is_last=True)

    said = frames(connection.take())
    assert {stream for _, _, stream, _ in said} == {3}
    assert said[-1][1] == END_STREAM
    late = frame(WINDOW_UPDATE, 0, struct.pack(">I", 9)) + reset(CANCEL)
    assert connection.receive(late) == []
    answer = head([(":status", "200")], stream=3) + frame(DATA, 0, message(b"3"), stream=3)
    assert connection.receive(answer) == [Message(b"3")]


def test_http_1_is_told_apart_before_a_frame_is_full() -> None:
    with pytest.raises(Unavailable, match="HTTP/2"):
        started().receive(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def test_words_that_look_like_http_1_may_be_data() -> None:
    text = b"HTTP/1.1 in the middle of a message"
    connection = started()
    whole = HEAD + frame(DATA, 0, message(text))
    before, after = whole[: -len(text)], whole[-len(text) :]

    assert connection.receive(before) == []
    assert connection.receive(after) == [Message(text)]


ANY_FRAME = st.builds(
    lambda kind, flags, payload, stream: frame(kind, flags, payload, stream=stream),
    st.integers(0, 12),
    st.sampled_from([0, 1, 4, 5, 8, 9, 13, 32, 255]),
    st.binary(max_size=40)
    | st.sampled_from([message(b"a"), struct.pack(">I", 8), struct.pack(">HI", 4, 2**31 - 1)])
    | st.sampled_from([struct.pack(">HI", 3, 0), struct.pack(">II", 1, 0), TAIL[9:], HEAD[9:]])
    | st.lists(st.tuples(st.text(), st.text()), max_size=3).map(Encoder().encode),
    st.integers(0, 3),
)


@given(st.binary() | st.lists(ANY_FRAME, max_size=8).map(b"".join), st.binary())
def test_law_whatever_arrives_is_taken_or_refused(data: bytes, more: bytes) -> None:
    connection = started(b"abc")
    try:
        events = connection.receive(HEAD)
        events += connection.receive(data)
        connection.send(more)
        connection.close_sending()
        connection.take()
        events += connection.receive(TAIL)
        ends = [each for each in events if isinstance(each, Ended)]
        if ends:
            connection.begin("/a/c")
    except Unavailable:
        return
    assert ends in ([], events[-1:])
