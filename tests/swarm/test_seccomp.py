"""Seccomp profiles travel as text, on one line and not too much of it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.errors import Invalid
from swarm.seccomp import LARGEST_BYTES, compact, named


def test_a_profile_loses_only_its_white_space() -> None:
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["a b"], "args": None}]}

    text = compact(json.dumps(profile, indent=4).encode())

    assert json.loads(text) == profile
    assert "\n" not in text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{\n  defaultAction: "SCMP_ACT_ALLOW"}', "line 2, column 3"),
        (b'"\xff"', "at byte 1"),
        (b"[" * 100_000, "not JSON"),
        (b"[NaN]", "not JSON"),
        (b"-Infinity", "not JSON"),
        (b"1e999", "not JSON"),
        (b'"\\ud800"', "not JSON"),
        (b'"' + b"x" * LARGEST_BYTES + b'"', "128 KiB"),
    ],
)
def test_what_cannot_travel_is_told_with_its_place(content: bytes, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        compact(content)


def test_a_profile_is_named_by_its_digest_and_everything_else_by_itself() -> None:
    assert named("") == ""
    assert named("unconfined") == "unconfined"
    assert named("{}").startswith("sha256:44136fa355b3")


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_law_any_file_is_read_or_refused(content: bytes) -> None:
    try:
        text = compact(content)
    except Invalid:
        return
    assert json.loads(text) == json.loads(content)
