"""What raw streams consist of: frames, keys that detach, and WebSocket's messages."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.detaching import KeyWatch, parse_keys
from engine.framing import STDERR, STDOUT, frame
from engine.refusals import Denied
from engine.websocket import Decoder, Malformed, Opcode, accept, encode
from swarm.errors import Invalid


def test_a_frame_says_whose_output_it_is_and_how_long() -> None:
    assert frame(STDOUT, b"ab") == b"\x01\0\0\0\0\0\0\x02ab"
    assert frame(STDERR, b"x" * 300)[:8] == b"\x02\0\0\0\0\0\x01\x2c"


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("", b"\x10\x11"), ("ctrl-p,ctrl-q", b"\x10\x11"), ("a,b", b"ab"), ("ctrl-@", b"\0"),
        ("ctrl-[,x", b"\x1bx"), ("ctrl-_", b"\x1f"),
    ],
)  # fmt: skip
def test_keys_are_letters_and_controls(text: str, keys: bytes) -> None:
    assert parse_keys(text) == keys


@pytest.mark.parametrize("text", ["ab", "ctrl-", "ctrl-A", "ctrl-1", "a,,b", "é"])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="Invalid detach keys"):
        parse_keys(text)


@given(
    st.binary(max_size=30).map(lambda data: data.replace(b"pq", b"")),
    st.binary(max_size=5),
    st.lists(st.integers(0, 40), max_size=6),
)
def test_law_all_that_is_typed_before_the_keys_arrives_however_it_was_cut(
    before: bytes, after: bytes, cuts: list[int]
) -> None:
    before = before.replace(b"pq", b"").removesuffix(b"p")
    typed = before + b"pq" + after
    places = sorted({min(cut, len(typed)) for cut in (0, *cuts, len(typed))})
    watch, passed, has_left = KeyWatch(b"pq"), b"", False

    for start, end in pairwise(places):
        data, has_left = watch.feed(typed[start:end])
        passed += data
        if has_left:
            break

    expected = typed[: typed.index(b"pq")]
    assert (passed, has_left) == (expected, True)


def test_keys_that_do_not_follow_are_typed_after_all() -> None:
    watch = KeyWatch(b"\x10\x11")

    assert watch.feed(b"a\x10") == (b"a", False)
    assert watch.feed(b"b") == (b"\x10b", False)


def mask(opcode: int, payload: bytes, *, final: bool = True) -> bytes:
    key = b"\x01\x02\x03\x04"
    masked = bytes(byte ^ key[at % 4] for at, byte in enumerate(payload))
    head = bytearray(encode(Opcode(opcode), payload)[: -len(payload) or None])
    head[0] = (0x80 if final else 0) | opcode
    head[1] |= 0x80
    return bytes(head) + key + masked


@given(
    st.lists(st.tuples(st.sampled_from([0, 1, 2, 8, 9, 10]), st.binary(max_size=200)), max_size=5),
    st.integers(1, 50),
)
def test_law_frames_are_read_however_they_are_cut(
    frames: list[tuple[int, bytes]], step: int
) -> None:
    data = b"".join(mask(opcode, payload) for opcode, payload in frames)
    decoder = Decoder()

    found = [
        frame_
        for start in range(0, len(data), step)
        for frame_ in decoder.feed(data[start : start + step])
    ]

    assert [(int(each.opcode), each.payload) for each in found] == frames


def test_long_frames_have_long_lengths() -> None:
    for size in (125, 126, 65535, 65536):
        (found,) = Decoder().feed(mask(2, bytes(size)))
        assert len(found.payload) == size


@pytest.mark.parametrize(
    "data",
    [b"\x82\x05hello", b"\x83\x80abcd", b"\x82\xff" + b"\xff" * 8, mask(2, b"x")[:1] + b"\0"],
)
def test_what_is_no_frame_of_a_clients_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        Decoder().feed(data)


def test_a_handshake_is_answered_as_the_rfc_has_it() -> None:
    headers = {"upgrade": "WebSocket", "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ=="}

    assert accept(headers) == (("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),)
    assert accept(headers | {"sec-websocket-protocol": "a, b"})[1] == (
        "Sec-WebSocket-Protocol", "a",
    )  # fmt: skip
    for wrong in ({}, {"upgrade": "websocket"}, headers | {"sec-websocket-version": "8"}):
        with pytest.raises(Denied):
            accept(wrong)
