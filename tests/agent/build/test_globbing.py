import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.build.globbing import (
    compile_ignored,
    compile_path,
    has_wildcards,
    prefixes,
    suffixes,
    unescaped,
)
from swarm.errors import Invalid


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("a*", "abc", True),
        ("a*", "a/b", False),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
        ("[a-c]x", "bx", True),
        ("[^a-c]x", "bx", False),
        ("[^a]", "/", False),
        ("a\\*", "a*", True),
        ("a\\*", "ab", False),
        ("*/*.txt", "d/e.txt", True),
        ("a.b", "axb", False),
        ("[]-z]", "]", None),
        ("[a", "a", None),
        ("[]", "a", None),
        ("[z-a]", "a", None),
        ("a\\", "a", None),
    ],
)
def test_sources_fit_as_go_has_it(pattern: str, path: str, fits: bool | None) -> None:
    if fits is None:
        with pytest.raises(Invalid, match="syntax error in pattern"):
            compile_path(pattern)
    else:
        assert bool(compile_path(pattern).match(path)) is fits


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("**", "a/b", True),
        ("**/foo", "foo", True),
        ("**/foo", "a/b/foo", True),
        ("**/foo", "afoo", False),
        ("**foo", "a/bfoo", True),
        ("a/**", "a/b/c", True),
        ("a/**", "a", False),
        ("a/**/b", "a/b", True),
        ("a/**/b", "a/x/y/b", True),
        ("a/**/*.go", "a/x/b.go", True),
        ("*", "a/b", False),
        ("a+(b)", "a+(b)", True),
        ("$x{1}", "$x{1}", True),
        ("[a-c]*", "b1", True),
    ],
)
def test_ignored_paths_fit_as_docker_has_it(pattern: str, path: str, fits: bool) -> None:
    assert bool(compile_ignored(pattern).match(path)) is fits


def test_a_pattern_is_one_by_its_marks() -> None:
    assert has_wildcards("a*")
    assert not has_wildcards("a\\*")
    assert unescaped("a\\*\\b") == "a*\\b"


@given(st.text("ab*?", max_size=6), st.text("ab", max_size=8))
def test_law_prefixes_are_the_beginnings_that_fit(pattern: str, text: str) -> None:
    expected = tuple(n for n in range(len(text) + 1) if fnmatch.fnmatchcase(text[:n], pattern))
    assert prefixes(pattern, text) == expected
    ends = tuple(
        n for n in range(len(text) + 1) if fnmatch.fnmatchcase(text[len(text) - n :], pattern)
    )
    assert suffixes(pattern, text) == ends
