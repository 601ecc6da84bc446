"""The environment of a container comes from files, flags and the caller."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.errors import Invalid
from swarmctl.environment import merge, read_env_file


def test_a_file_has_entries_comments_and_blank_lines() -> None:
    content = b"\xef\xbb\xbf# comment\n\nA=1\n  B= spaced \nC\r\nD==\n"

    assert read_env_file(content, path="f") == ("A=1", "B= spaced ", "C", "D==")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"A=1\n=2\n", "f:2: '=2' has no name"),
        (b"A=1\n\nB C=2\n", "f:3: 'B C' contains a space"),
        (b"A=\xff\n", "f:1: not UTF-8"),
        (b"A=\0\n", "f:1: a NUL"),
    ],
)
def test_a_bad_line_is_named(content: bytes, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        read_env_file(content, path="f")


def test_later_entries_win_and_keep_their_place() -> None:
    assert merge("--env", ["A=1", "B=2", "A=3"], environ={}) == ("A=3", "B=2")


def test_a_bare_name_takes_the_callers_value_or_goes() -> None:
    merged = merge("--env", ["HOME", "NOPE", "A=1", "A"], environ={"HOME": "/root"})

    assert merged == ("HOME=/root",)


def test_an_entry_without_a_name_is_refused() -> None:
    with pytest.raises(Invalid, match="--env '=1'"):
        merge("--env", ["=1"], environ={})


@given(st.lists(st.from_regex(r"[A-Z]{1,2}=[a-z=]{0,3}", fullmatch=True)))
def test_law_each_name_comes_out_once_with_its_last_value(entries: list[str]) -> None:
    merged = merge("--env", entries, environ={})

    assert dict(e.split("=", 1) for e in merged) == dict(e.split("=", 1) for e in entries)
    assert len({e.split("=", 1)[0] for e in merged}) == len(merged)
