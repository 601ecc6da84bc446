import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.build.expansion import expand, expand_text, expand_words, filler, raw_words
from swarm.errors import Invalid

VALUES = {"A": "one", "EMPTY": "", "P": "/usr/local/lib.tar.gz", "TWO": "a b"}


@pytest.mark.parametrize(
    ("word", "result"),
    [
        ("plain", "plain"),
        ("$A-$NONE-${A}x", "one--onex"),
        ("'$A' \"$A\"", "$A one"),
        ('\\$A "\\$A" "\\n"', "$A $A \\n"),
        ("it\\'s", "it's"),
        ("${NONE:-d}${EMPTY:-e}${EMPTY-f}${A:-g}", "deone"),
        ("${NONE:+d}${EMPTY:+e}${EMPTY+f}${A:+g}", "fg"),
        ("${NONE:-${A}}", "one"),
        ('${NONE:-"a b"}', "a b"),
        ("${A:?never}", "one"),
        ("${P#*/}", "usr/local/lib.tar.gz"),
        ("${P##*/}", "lib.tar.gz"),
        ("${P%.*}", "/usr/local/lib.tar"),
        ("${P%%.*}", "/usr/local/lib"),
        ("${A/n/N}${P//l/L}", "oNe/usr/LocaL/Lib.tar.gz"),
        ("$", "$"),
        ("$1x", "x"),
        ("cost: 5$", "cost: 5$"),
        ("$TWO", "a b"),
        ("a\\", "a"),
        ("1 < 2 << 3", "1 < 2 << 3"),
    ],
)
def test_words_are_filled_in_as_docker_does(word: str, result: str) -> None:
    assert expand(word, VALUES) == result


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("${A", "missing '}'"),
        ("${", "missing '}'"),
        ("${}", "bad substitution"),
        ("${A:=x}", "unsupported modifier"),
        ("${NONE:?it is needed}", "NONE: it is needed"),
        ("${NONE?}", "is not allowed to be unset"),
        ("${EMPTY:?}", "is not allowed to be empty"),
        ("'a", "matching single-quote"),
        ('"a', "matching double-quote"),
    ],
)
def test_what_cannot_be_filled_in_is_said(word: str, words: str) -> None:
    with pytest.raises(Invalid) as caught:
        expand(word, VALUES)

    assert words in caught.value.message
    assert caught.value.message.startswith(f'failed to process "{word}"')


def test_another_escape_hides_instead() -> None:
    assert expand('`$A\\x "`$"', VALUES, escape="`") == "$A\\x $"


def test_words_are_split_after_filling_in() -> None:
    assert expand_words("$TWO 'c d' e", VALUES) == ("a", "b", "c d", "e")
    assert expand_words("  ", VALUES) == ()


def test_a_text_keeps_its_quotes() -> None:
    assert expand_text("say \"$A\" 'and $A'\n", VALUES) == "say \"one\" 'and one'\n"


def test_raw_words_are_as_they_were() -> None:
    assert raw_words("a '<<b' <<\"c\" $D ${E:-f}") == ("a", "'<<b'", '<<"c"', "$D", "${E:-f}")


def test_no_pattern_takes_long() -> None:
    assert expand("${X#" + "*a" * 50 + "b}", {"X": "a" * 2000}) == "a" * 2000


@given(st.text(), st.dictionaries(st.sampled_from("ABC"), st.text(max_size=5)))
def test_law_any_word_is_filled_in_or_refused(word: str, values: dict[str, str]) -> None:
    for function in (expand, expand_words, expand_text):
        with contextlib.suppress(Invalid):
            assert function(word, values) is not None


@given(st.text(st.characters(exclude_characters="$\\'\"<", exclude_categories=["Cs"])))
def test_law_what_has_no_marks_is_itself(word: str) -> None:
    assert expand(word, VALUES) == word


def test_what_variables_become_is_bounded() -> None:
    """Nobody runs out of memory because each variable holds the one before eight times."""
    values = {"A": "x" * 700_000}
    for word in ("$A" * 8, '"' + "$A" * 8 + '"', "${B:-" + "$A" * 8 + "}", "${A//x/1234567}"):
        with pytest.raises(Invalid, match="its variables make it longer than 4 MiB"):
            expand(word, values)
    with pytest.raises(Invalid, match="its variables make it longer than 4 MiB"):
        expand_words("$A" * 8, values)

    fill = filler(values, "\\")
    assert len([fill("$A") for _ in range(5)]) == 5
    with pytest.raises(Invalid, match="longer than 4 MiB"):
        fill("$A")


def test_patterns_are_not_followed_through_values_of_any_length() -> None:
    values = {"A": "x" * 100_000}
    for word in ("${A//?*y/1}", "${A##" + "*x" * 200 + "y}"):
        with pytest.raises(Invalid, match="too long for a pattern"):
            expand(word, values)
    assert expand("${A//xx/y}", values) == "y" * 50_000
    assert expand("${A/xx/y}", values) == "y" + "x" * 99_998
    assert len(expand("${A%x}", values)) == 99_999
