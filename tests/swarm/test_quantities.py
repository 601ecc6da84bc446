"""Quantities are read as typed and printed so that they can be read back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.errors import Invalid
from swarm.quantities import (
    format_cpus,
    format_duration,
    format_elapsed,
    format_memory,
    format_size,
    parse_bytes,
    parse_cpus,
    parse_duration,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1h30m", 5400.0),
        ("500ms", 0.5),
        ("10s", 10.0),
        ("1.5s", 1.5),
        ("0", 0.0),
        ("0s", 0.0),
        ("250us", 0.00025),
        ("1µs", 0.000001),
        ("100ns", 0.0000001),
        ("2160h0m0s", 7776000.0),
        (".5m", 30.0),
    ],
)
def test_durations_are_read_as_go_writes_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "10", "5x", "s", "1h 30m", "-5s", "1e3s", "ten", "1s1"])
def test_a_duration_without_sense_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_duration(text)

    assert "10s" in caught.value.hint


def test_a_bare_number_is_told_that_its_unit_is_missing() -> None:
    with pytest.raises(Invalid, match="'10' has no unit"):
        parse_duration("10")


def test_a_duration_beyond_all_reason_is_refused() -> None:
    with pytest.raises(Invalid, match="too long"):
        parse_duration("9999999999h")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("64m", 64 << 20),
        ("1GiB", 1 << 30),
        ("1gb", 1 << 30),
        ("4096", 4096),
        ("512k", 512 << 10),
        ("1.5g", 3 << 29),
        ("12b", 12),
        ("2T", 2 << 40),
    ],
)
def test_sizes_are_binary(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "m", "-1m", "64x", "1 2", "64 mm", "99999999999999p"])
def test_a_size_without_sense_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_bytes(text)

    assert "64m" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "millis"), [("0.5", 500), ("2", 2000), ("0.001", 1), (".25", 250)]
)
def test_cpus_are_thousandths_of_a_core(text: str, millis: int) -> None:
    assert parse_cpus(text) == millis


@pytest.mark.parametrize("text", ["", "half", "-1", "1e3", "0.0001", "nan", "1000000001"])
def test_cpus_without_sense_are_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse_cpus(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (10, "10s"),
        (5400, "1h30m0s"),
        (0.5, "500ms"),
        (1.5, "1.5s"),
        (90, "1m30s"),
        (7776000, "2160h0m0s"),
        (0.0000015, "1.5us"),
    ],
)
def test_durations_are_written_as_go_writes_them(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.integers(min_value=0, max_value=10**15))
def test_law_a_written_duration_reads_back(microseconds: int) -> None:
    seconds = microseconds / 1_000_000

    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, abs=1e-6)


@given(st.integers(min_value=0, max_value=1_000_000_000))
def test_law_written_cpus_read_back(millis: int) -> None:
    assert parse_cpus(format_cpus(millis)) == millis


@pytest.mark.parametrize(
    ("size", "binary", "decimal"),
    [
        (0, "0B", "0B"),
        (999, "999B", "999B"),
        (1023, "1023B", "1.02kB"),
        (1536, "1.5KiB", "1.54kB"),
        (64 << 20, "64MiB", "67.1MB"),
        (1 << 30, "1GiB", "1.07GB"),
        (4_261_550, "4.064MiB", "4.26MB"),
    ],
)
def test_sizes_are_printed_in_one_unit(size: int, binary: str, decimal: str) -> None:
    assert (format_memory(size), format_size(size)) == (binary, decimal)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "Less than a second"),
        (0.9, "Less than a second"),
        (1.2, "1 second"),
        (59, "59 seconds"),
        (61, "About a minute"),
        (119, "About a minute"),
        (120, "2 minutes"),
        (3600, "About an hour"),
        (7200, "2 hours"),
        (86400 * 2, "2 days"),
        (86400 * 14, "2 weeks"),
        (86400 * 90, "3 months"),
        (86400 * 800, "2 years"),
    ],
)
def test_elapsed_time_is_told_in_one_unit(seconds: float, text: str) -> None:
    assert format_elapsed(seconds) == text
