"""The format of packets, against another implementation of it, and against noise."""

import struct

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.dns import wire
from tests.agent.dns.questions import ask, read, reply, values

LABEL = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789-_", min_size=1, max_size=63)
NAME = st.lists(LABEL, min_size=1, max_size=4).map(".".join).filter(lambda each: len(each) < 250)


@given(NAME, st.sampled_from(["A", "AAAA", "PTR", "ANY", "MX", "HTTPS"]), st.sampled_from([0, 900]))
def test_law_a_question_is_read_as_it_was_asked(name: str, kind: str, payload: int) -> None:
    packet = ask(name, kind, payload=payload, ident=4711)

    query = wire.read(packet)

    assert isinstance(query, wire.Query)
    assert query.name == name.lower()
    assert query.kind == dns.rdatatype.from_text(kind)
    assert query.payload == payload
    assert query.id == 4711
    assert wire.is_internet(query)


@given(
    st.sampled_from([0, 512, 900, 1232, 4096, 65535]),
    st.lists(st.integers(0, 2**32 - 1), unique=True, max_size=200),
    st.booleans(),
)
def test_law_an_answer_is_whole_or_says_that_it_is_not(
    payload: int, numbers: list[int], is_tcp: bool
) -> None:
    query = read("Tasks.Web", payload=payload)
    records = [wire.address_record(str(_address(each)), 0) for each in numbers]
    limit = wire.LARGEST_TCP if is_tcp else wire.room(query)

    packet = wire.answer(query, records, wire.NOERROR, limit)

    message = dns.message.from_wire(packet)
    assert len(packet) <= limit
    assert message.question[0].name.to_text() == "Tasks.Web."
    assert message.id == query.id
    assert message.flags & dns.flags.AA
    assert (message.edns >= 0) == bool(payload)
    got = values(packet)
    if message.flags & dns.flags.TC:
        assert len(got) < len(numbers)
        assert not is_tcp
    else:
        assert set(got) == {str(_address(each)) for each in numbers}


def _address(number: int) -> str:
    return ".".join(str(each) for each in number.to_bytes(4, "big"))


@given(st.binary(max_size=600))
def test_law_noise_is_silence_a_rejection_or_a_question(packet: bytes) -> None:
    found = wire.read(packet)

    match found:
        case wire.Rejected():
            assert dns.message.from_wire(wire.reject(found)).rcode() != 0
        case wire.Query():
            assert len(wire.fail(found, wire.SERVFAIL)) <= 512
        case None:
            pass


@given(
    st.binary(min_size=1, max_size=40), st.integers(0, 60), st.sampled_from([0, 1232]), st.data()
)
def test_law_damaged_questions_are_survived(
    noise: bytes, at: int, payload: int, data: st.DataObject
) -> None:
    whole = ask("tasks.web.backend", payload=payload)
    cut = data.draw(st.integers(0, len(whole)))
    packet = (whole[:at] + noise + whole[at + len(noise) :])[: max(cut, at + len(noise))]

    found = wire.read(packet)

    if isinstance(found, wire.Query):
        assert wire.read(wire.ask(found, 9)) is not None


@pytest.mark.parametrize(
    ("packet", "rcode"),
    [
        (ask("a")[:-1], wire.FORMERR),
        (ask("a")[:12], wire.FORMERR),
        (ask("a")[:4] + b"\0\2" + ask("a")[6:], wire.FORMERR),
        (ask("a")[:4] + b"\0\0" + ask("a")[6:], wire.FORMERR),
        (ask("a")[:12] + b"\xc0\x0c\0\1\0\1", wire.FORMERR),
        (ask("a")[:10] + b"\0\1" + ask("a")[12:], wire.FORMERR),
        (ask("a")[:12] + b"\x3f" + b"a" * 63 + b"\x3f", wire.FORMERR),
        (ask("a")[:12] + (b"\x3f" + b"a" * 63) * 4 + b"\0\0\1\0\1", wire.FORMERR),
        (ask("a")[:2] + b"\x28\0" + ask("a")[4:], wire.NOTIMP),
    ],
)
def test_what_cannot_be_answered_is_told_so(packet: bytes, rcode: int) -> None:
    found = wire.read(packet)

    assert isinstance(found, wire.Rejected)
    assert found.rcode == rcode
    assert wire.reject(found)[:2] == packet[:2]


def test_answers_and_fragments_of_a_header_are_met_with_silence() -> None:
    assert wire.read(reply(ask("a"))) is None
    assert wire.read(b"") is None
    assert wire.read(ask("a")[:11]) is None


def test_a_dot_within_a_label_is_no_separator() -> None:
    packet = ask("x")[:12] + b"\x05web.a\0\0\1\0\1"

    found = wire.read(packet)

    assert isinstance(found, wire.Query)
    assert found.name == "web\\.a"


def test_extensions_are_read_and_answered() -> None:
    query = wire.read(ask("a", payload=1400, dnssec=True))
    assert isinstance(query, wire.Query)
    assert (query.payload, query.dnssec, query.version) == (1400, True, 0)

    message = dns.message.from_wire(wire.fail(query, wire.BADVERS))

    assert message.rcode() == dns.rcode.BADVERS
    assert message.ednsflags & dns.flags.DO


def test_the_key_tells_apart_who_wants_another_answer() -> None:
    kinds = [read("a"), read("b"), read("a", "AAAA"), read("a", payload=1232)]

    assert len({each.key for each in kinds}) == len(kinds)
    assert read("aB").key == read("Ab", ident=8).key


def test_the_type_of_a_question_has_no_case() -> None:
    """HTTPS is 65, which as a letter would be a capital A, and 97 a small one."""
    https = read("a", "HTTPS")
    other = wire.read(https.asked[:0] + ask("a")[:-4] + b"\0\x61\0\1")

    assert isinstance(other, wire.Query)
    assert https.key != other.key


SOA = "lan. 900 SOA ns.lan. root.lan. 1 2 3 4 60"


@pytest.mark.parametrize(
    ("records", "authority", "rcode", "lifetime_s"),
    [
        (("a. 300 A 1.2.3.4", "a. 300 A 1.2.3.5"), (), 0, 300),
        (("a. 300 CNAME b.", "b. 20 A 1.2.3.4"), (), 0, 20),
        ((), (SOA,), 0, 60),
        ((), (SOA,), 3, 60),
        (("a. 300 CNAME b.",), (SOA,), 3, 60),
        (("a. 30 CNAME b.",), (SOA,), 0, 30),
        ((), (), 3, 0),
        (("a. 300 A 1.2.3.4",), (), 2, 0),
        (("a. 0 A 1.2.3.4",), (), 0, 0),
        (("a. 300 A 1.2.3.4",), ("a. 5 NS ns.lan.",), 0, 300),
    ],
)
def test_replies_live_as_long_as_they_say(
    records: tuple[str, ...], authority: tuple[str, ...], rcode: int, lifetime_s: int
) -> None:
    query = read("a", payload=1232)
    packet = reply(wire.ask(query, 99), *records, authority=authority, rcode=rcode)

    found = wire.read_reply(packet, 99, query)

    assert found is not None
    assert found.lifetime_s == lifetime_s
    assert found.rcode == rcode


def test_kept_replies_grow_old() -> None:
    query = read("a")
    records = ("a. 300 CNAME b.", "b. 20 A 1.2.3.4")
    found = wire.read_reply(reply(wire.ask(query, 9), *records), 9, query)
    assert found is not None

    message = dns.message.from_wire(wire.aged(found, 15))

    assert [each.ttl for each in message.answer] == [285, 5]
    assert wire.aged(found, 0) == found.packet


def test_replies_to_other_questions_are_none() -> None:
    query = read("a")
    mine = wire.ask(query, 9)
    right = reply(mine, "a. 300 A 1.2.3.4")

    assert wire.read_reply(right, 9, query) is not None
    assert wire.read_reply(right, 10, query) is None
    assert wire.read_reply(mine, 9, query) is None
    assert wire.read_reply(reply(wire.ask(read("b"), 9)), 9, query) is None
    assert wire.read_reply(reply(wire.ask(read("a", "AAAA"), 9)), 9, query) is None
    assert wire.read_reply(right[:-3], 9, query) is None
    assert wire.read_reply(b"", 9, query) is None


def test_passed_on_it_answers_the_caller_in_the_callers_own_case() -> None:
    theirs, mine = read("example.ORG", ident=1), read("EXAMPLE.org", ident=2)
    packet = reply(wire.ask(theirs, 99), "example.org. 300 A 1.2.3.4")

    message = dns.message.from_wire(wire.pass_on(mine, packet, 512))

    assert message.id == 2
    assert message.question[0].name.to_text() == "EXAMPLE.org."
    assert message.flags & dns.flags.RA
    assert [item.to_text() for each in message.answer for item in each] == ["1.2.3.4"]


def test_passed_on_by_udp_it_is_cut_to_nothing_if_it_does_not_fit() -> None:
    query = read("a")
    packet = reply(wire.ask(query, 9), *(f"a. 300 A 1.2.3.{each}" for each in range(100)))

    short = wire.pass_on(query, packet, wire.room(query))

    message = dns.message.from_wire(short)
    assert message.flags & dns.flags.TC
    assert not message.answer
    assert len(values(wire.pass_on(query, packet, wire.LARGEST_TCP))) == 100


@given(st.binary(max_size=300), st.integers(0, 80))
def test_law_damaged_replies_are_survived(noise: bytes, at: int) -> None:
    query = read("a", payload=1232)
    whole = reply(wire.ask(query, 9), "a. 300 CNAME b.", "b. 20 A 1.2.3.4", authority=(SOA,))

    found = wire.read_reply(whole[:at] + noise + whole[at + len(noise) :], 9, query)

    if found is not None:
        assert len(wire.aged(found, 5)) == len(found.packet)
        assert len(wire.pass_on(query, found.packet, 512)) <= 512


def test_names_that_cannot_be_written_give_no_record() -> None:
    assert wire.pointer_record("web." + "a" * 64, 0) == b""
    assert wire.pointer_record(".".join(["a" * 60] * 5), 0) == b""
    assert wire.pointer_record("web..a", 0) == b""


def test_a_pointer_is_read_as_it_was_written() -> None:
    query = read("1.0.0.10.in-addr.arpa", "PTR")

    packet = wire.answer(query, [wire.pointer_record("web.1.abc.back", 0)], 0, 512)

    assert values(packet) == ["web.1.abc.back."]
    assert struct.unpack("!H", packet[6:8]) == (1,)
