"""Keys and data, as the kernel keeps them."""

import sys

import pytest

from agent.network import fields
from agent.network.kernel import Verdict


@pytest.mark.parametrize(
    ("field", "golden"),
    [
        (fields.address("10.0.1.5"), "0a000105"),
        (fields.address("fd00::5"), "fd000000000000000000000000000005"),
        (fields.port(8080), "1f90"),
        (fields.mac("02:53:57:00:00:0a"), "02535700000a"),
        (fields.protocol("sctp"), "84"),
        (fields.link("vx0"), "76783000000000000000000000000000"),
        (fields.mark(5), (5).to_bytes(4, sys.byteorder).hex()),
        (fields.zone(5), (5).to_bytes(2, sys.byteorder).hex()),
    ],
)
def test_a_field_that_is_alone_is_not_filled_up(field: bytes, golden: str) -> None:
    assert field.hex() == golden


def test_every_field_of_a_concatenation_is_filled_up_to_four_bytes() -> None:
    made = fields.joined(fields.protocol("tcp"), fields.port(80), fields.mac("02:00:00:00:00:01"))

    assert made.hex() == "06000000005000000200000000010000"


def test_verdicts_have_the_codes_of_the_header() -> None:
    assert (Verdict(0), Verdict(1)) == (fields.DROP, fields.ACCEPT)
    assert (fields.jump("a"), fields.goto("a")) == (Verdict(-3, "a"), Verdict(-4, "a"))
