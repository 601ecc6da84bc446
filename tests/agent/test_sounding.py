"""How the way to a peer is found out."""

from hypothesis import given
from hypothesis import strategies as st

from agent import sounding
from agent.sounding import SMALLEST, TRIES, Sounding

TOKEN = b"12345678"


def sounded(*, mtu: int, takes: int) -> tuple[Sounding, list[int]]:
    """Sound a path that takes packets of up to `takes` bytes; the sizes that were sent."""
    found, sent = Sounding(mtu=mtu), list[int]()
    while size := found.next_size():
        sent.append(size)
        found = found.answered(size, 0.001) if size <= takes else found.unanswered(size)
    return found, sent


def test_two_packets_are_enough_when_all_is_well() -> None:
    found, sent = sounded(mtu=1450, takes=9000)

    assert sent == [SMALLEST, 1450]
    assert found.verdict(address="192.0.2.7", port=4789) == ""


def test_a_peer_that_does_not_answer_is_given_up_after_some_tries() -> None:
    found, sent = sounded(mtu=1450, takes=0)

    assert sent == [SMALLEST] * TRIES
    assert "port 4789 of 192.0.2.7" in found.verdict(address="192.0.2.7", port=4789)


def test_a_single_loss_breaks_nothing() -> None:
    found = Sounding(mtu=1450).unanswered(SMALLEST).answered(SMALLEST, 0.002)
    found = found.unanswered(1450).answered(1450, 0.001)

    assert found.next_size() == 0
    assert found.verdict(address="a", port=1) == ""
    assert found.round_trip_s == 0.001


def test_a_narrow_path_is_measured() -> None:
    found, _ = sounded(mtu=1450, takes=1400)

    assert found.passed == 1400
    assert "more than 1400 bytes are lost" in found.verdict(address="a", port=1)


@given(mtu=st.integers(SMALLEST, 65535), takes=st.integers(0, 70000))
def test_law_the_largest_packet_that_passes_is_found(mtu: int, takes: int) -> None:
    found, sent = sounded(mtu=mtu, takes=takes)

    assert found.passed == (min(mtu, takes) if takes >= SMALLEST else 0)
    assert len(sent) <= 2 + TRIES * 17


@given(st.integers(36, 2000), st.integers(0, 65535), st.integers(0, 65535))
def test_law_an_answer_is_told_from_what_others_say(size: int, ident: int, number: int) -> None:
    asked = sounding.request(ident=ident, number=number, token=TOKEN, size=size)
    answer = b"\x45" + bytes(19) + b"\0" + asked[1:]

    assert sounding.checksum(asked) == 0
    assert sounding.reply(answer, ident=ident, token=TOKEN) == (number, size)
    assert sounding.reply(answer, ident=ident ^ 1, token=TOKEN) is None
    assert sounding.reply(answer, ident=ident, token=b"another!") is None
    assert sounding.reply(b"\x45" + bytes(19) + asked, ident=ident, token=TOKEN) is None


@given(st.binary(max_size=60))
def test_law_whatever_comes_in_is_no_crash(packet: bytes) -> None:
    sounding.reply(packet, ident=1, token=TOKEN)
