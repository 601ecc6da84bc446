"""Framing, and the answers: errors with and without details, dumps that are torn."""

import errno
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.network.wire.attributes import text, u32
from agent.network.wire.messages import (
    ACK,
    DONE,
    ERROR,
    INTERRUPTED,
    MULTI,
    REQUEST,
    Refusal,
    Reply,
    Request,
    dumped,
    framed,
    refusal,
    split,
)

HEADER = struct.Struct("=IHHII")


def failed(number: int, *, flags: int = 0, rest: bytes = b"", kind: int = ERROR) -> Reply:
    return Reply(kind, flags, 7, struct.pack("=i", -number) + rest)


def test_only_the_last_of_a_buffer_asks_to_be_acknowledged() -> None:
    buffer = framed([Request(24, 0x500, b"abcd"), Request(25, 0, b"")], 9)

    golden = "14000000 1800 0105 09000000 00000000 61626364 10000000 1900 0500 0a000000 00000000"
    assert buffer == bytes.fromhex(golden)


def test_a_dump_and_a_transaction_are_not_fenced() -> None:
    (only,) = split(framed([Request(26, 0x300, b"")], 1, is_fenced=False))

    assert only.flags == REQUEST | 0x300


@given(st.lists(st.tuples(st.integers(16, 99), st.binary(max_size=30)), min_size=1))
def test_law_messages_are_split_as_they_were_framed(sent: list[tuple[int, bytes]]) -> None:
    buffer = framed([Request(kind, 0, body) for kind, body in sent], 5)

    read = list(split(buffer))

    assert [(reply.kind, reply.body) for reply in read] == sent
    assert [reply.sequence for reply in read] == list(range(5, 5 + len(sent)))
    assert [bool(reply.flags & ACK) for reply in read] == [False] * (len(sent) - 1) + [True]


def test_a_message_that_was_cut_off_is_refused() -> None:
    with pytest.raises(ValueError, match="message 24 has 20 bytes of 18"):
        list(split(framed([Request(24, 0, b"abcd")], 1)[:18]))


def test_an_acknowledgement_is_no_refusal() -> None:
    assert refusal(failed(0)) == Refusal(0)
    assert refusal(Reply(DONE, 0, 7, b"")) == Refusal(0)


def test_a_refusal_tells_what_the_kernel_says_and_where() -> None:
    """The request is quoted in an error: its header if that was capped, else all of it."""
    details = text(1, "Nexthop has invalid gateway") + u32(2, 44)
    header = HEADER.pack(20, 24, 0, 7, 0)

    capped = failed(errno.ENETUNREACH, flags=0x300, rest=header + details)
    whole = failed(errno.ENETUNREACH, flags=0x200, rest=header + b"abcd" + details)

    told = Refusal(errno.ENETUNREACH, "Nexthop has invalid gateway", 44)
    assert refusal(capped) == told
    assert refusal(whole) == told
    assert refusal(failed(errno.EPERM, flags=0x100, rest=header)) == Refusal(errno.EPERM)


def test_the_end_of_a_dump_may_be_a_refusal() -> None:
    end = failed(errno.EINVAL, flags=0x202, rest=text(1, "bad filter"), kind=DONE)

    assert refusal(end) == Refusal(errno.EINVAL, "bad filter")


def test_a_dump_is_all_messages_with_its_number_until_its_end() -> None:
    mine = [Reply(24, MULTI, 7, b"a"), Reply(24, MULTI, 7, b"b")]
    others = [Reply(24, MULTI, 6, b"old"), Reply(DONE, 0, 6, bytes(4))]

    found = dumped(iter([[*others, mine[0]], [mine[1], Reply(DONE, 0, 7, bytes(4))]]), 7)

    assert found == (mine, Refusal(0))


def test_a_dump_of_two_states_is_none() -> None:
    messages = [Reply(24, MULTI, 7, b"a"), Reply(24, MULTI | INTERRUPTED, 7, b"b")]

    assert dumped([[*messages, Reply(DONE, 0, 7, bytes(4))]], 7) is None
    assert dumped([[messages[0], Reply(DONE, INTERRUPTED, 7, bytes(4))]], 7) is None
    assert dumped([[messages[0]]], 7) is None
