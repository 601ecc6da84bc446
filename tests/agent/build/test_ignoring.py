import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.build.ignoring import ignored, patterns
from swarm.errors import Invalid


def test_lines_are_trimmed_and_cleaned() -> None:
    text = "\ufeff# comment\n  a  \n\n/b/../c/\n ! d \n!\n#*\n"

    assert patterns(text) == ("a", "c", "!d", "!")


@pytest.mark.parametrize(
    ("lines", "path", "is_out"),
    [
        (("*.log",), "a.log", True),
        (("*.log",), "d/a.log", False),
        (("**/*.log",), "d/a.log", True),
        (("d",), "d/x/y", True),
        (("d", "!d/x"), "d/x/y", False),
        (("d", "!d/x"), "d/z", True),
        (("*", "!a"), "a", False),
        (("*", "!a", "a/b"), "a/b", True),
        (("!a", "*"), "a", True),
        ((), "a", False),
    ],
)
def test_the_last_rule_that_fits_decides(lines: tuple[str, ...], path: str, is_out: bool) -> None:
    assert ignored(lines).covers(path) is is_out


def test_an_exception_from_nothing_is_refused() -> None:
    with pytest.raises(Invalid, match="illegal exclusion pattern"):
        ignored(("!",))


@given(st.lists(st.text("ab*!/", min_size=1, max_size=4)), st.text("ab/", min_size=1, max_size=6))
def test_law_filtering_twice_changes_nothing(lines: list[str], path: str) -> None:
    """Clients filter what they send, and we filter it again."""
    try:
        rules = ignored(patterns("\n".join(lines)))
    except Invalid:
        return
    path = path.strip("/") or "a"

    assert rules.covers(path) is rules.covers(path)
    if not rules.has_exceptions and rules.covers(path):
        assert rules.covers(f"{path}/below")
