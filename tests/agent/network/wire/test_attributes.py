"""Attributes, byte by byte as struct nlattr lays them out, and whatever kernels may send."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.network.wire import attributes as a

KINDS = st.integers(0, 0x3FFF)


@pytest.mark.parametrize(
    ("made", "golden"),
    [
        (a.attribute(1, b""), "0400 0100"),
        (a.attribute(2, b"\xaa"), "0500 0200 aa 000000"),
        (a.u8(7, 255), "0500 0700 ff 000000"),
        (a.u16(1, 2), "0600 0100 0200 0000"),
        (a.u32(4, 1450), "0800 0400 aa050000"),
        (a.be16(15, 4789), "0600 0f00 12b5 0000"),
        (a.be32(2, -300), "0800 0200 fffffed4"),
        (a.text(3, "vx0"), "0800 0300 76783000"),
        (a.nested(18, a.text(1, "dummy")), "1000 1280 0a00 0100 64756d6d7900 0000"),
    ],
)
def test_attributes_are_laid_out_as_the_header_says(made: bytes, golden: str) -> None:
    assert made == bytes.fromhex(golden)


def test_an_attribute_that_is_too_long_for_its_length_is_refused() -> None:
    assert len(a.attribute(1, bytes(65531))) == 65536

    with pytest.raises(ValueError, match="65531 is the most"):
        a.attribute(1, bytes(65532))


@pytest.mark.parametrize("raw", ["0300 0100", "0900 0100 aabbccdd", "0800 0100 aabb"])
def test_an_attribute_that_ends_elsewhere_is_refused(raw: str) -> None:
    with pytest.raises(ValueError, match="attribute 1 has"):
        a.decoded(bytes.fromhex(raw))


def test_flags_are_no_part_of_the_kind() -> None:
    assert a.decoded(bytes.fromhex("0400 0280 0400 0340")) == {2: b"", 3: b""}


@given(st.lists(st.tuples(KINDS, st.binary(max_size=40))))
def test_law_attributes_are_read_as_they_were_written(written: list[tuple[int, bytes]]) -> None:
    raw = b"".join(a.attribute(kind, payload) for kind, payload in written)

    assert list(a.listed(raw)) == written
    assert len(raw) % 4 == 0


@given(st.binary(max_size=60))
def test_law_no_bytes_are_read_for_ever_or_beyond_their_end(raw: bytes) -> None:
    try:
        found = list(a.listed(raw))
    except ValueError:
        return

    assert sum(4 + len(payload) for _, payload in found) <= len(raw)


@given(st.ip_addresses())
def test_law_addresses_are_read_as_they_were_written(address: object) -> None:
    packed = a.packed(str(address))

    assert a.packed(a.to_address(packed)) == packed
    assert len(packed) == (16 if ":" in str(address) else 4)


def test_a_prefix_without_a_length_is_refused() -> None:
    assert a.split_prefix("10.0.1.0/24") == (b"\x0a\0\1\0", 24)

    with pytest.raises(ValueError, match=r"10\.0\.1\.0 has no prefix length"):
        a.split_prefix("10.0.1.0")


def test_a_mac_address_is_six_bytes() -> None:
    assert a.packed_mac("02:53:57:00:00:0a") == bytes.fromhex("02535700000a")
    assert a.to_mac(bytes.fromhex("02535700000a")) == "02:53:57:00:00:0a"
