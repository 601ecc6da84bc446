"""Header blocks are read as RFC 7541 writes them in its examples."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.errors import Unavailable
from swarmctl.wire.hpack import decode, encode


@pytest.mark.parametrize(
    ("block", "headers"),
    [
        ("828684410f7777772e6578616d706c652e636f6d", [
            (":method", b"GET"), (":scheme", b"http"), (":path", b"/"),
            (":authority", b"www.example.com"),
        ]),
        ("828684418cf1e3c2e5f23a6ba0ab90f4ff", [
            (":method", b"GET"), (":scheme", b"http"), (":path", b"/"),
            (":authority", b"www.example.com"),
        ]),
        ("040c2f73616d706c652f70617468", [(":path", b"/sample/path")]),
        ("100870617373776f726406736563726574", [("password", b"secret")]),
        ("400a637573746f6d2d6b65790d637573746f6d2d686561646572", [
            ("custom-key", b"custom-header"),
        ]),
        ("6196d07abe941054d444a8200595040b8166e082a62d1bff", [
            ("date", b"Mon, 21 Oct 2013 20:13:21 GMT"),
        ]),
        ("20828d", [(":method", b"GET"), (":status", b"404")]),
    ],
)  # fmt: skip
def test_examples_of_the_rfc_are_read(block: str, headers: list[tuple[str, bytes]]) -> None:
    assert decode(bytes.fromhex(block)) == headers


@given(st.lists(st.tuples(st.from_regex(r"[a-z-]{1,200}", fullmatch=True), st.binary())))
def test_law_what_is_written_is_read(headers: list[tuple[str, bytes]]) -> None:
    assert decode(encode(headers)) == headers


@pytest.mark.parametrize(
    "block", ["80", "ff8080808080", "be", "000161", "0001610a61", "00016182ff", "007f"]
)
def test_a_broken_block_is_refused(block: str) -> None:
    with pytest.raises(Unavailable, match="malformed"):
        decode(bytes.fromhex(block))


@given(st.binary())
def test_law_whatever_arrives_is_read_or_refused(block: bytes) -> None:
    try:
        decode(block)
    except Unavailable:
        return
