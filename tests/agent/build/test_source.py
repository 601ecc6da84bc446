import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.build.source import Heredoc, Line, heredoc_of, read
from swarm.errors import Invalid


def lines(text: str) -> tuple[Line, ...]:
    return read(text).lines


def test_comments_and_empty_lines_vanish() -> None:
    found = lines("# first\n\n  # second\nFROM a\n\t\nRUN b\n")

    assert [(line.number, line.keyword, line.rest) for line in found] == [
        (4, "FROM", "a"),
        (6, "RUN", "b"),
    ]


def test_a_line_goes_on_behind_a_backslash_through_comments() -> None:
    found = read("RUN a \\\n  # said meanwhile\n\n  && b\\\nc \\ \nd\nUSER x\n")

    assert found.lines[0].text == "RUN a   && bc d"
    assert found.lines[1].number == 7
    assert "Empty continuation line" in found.warnings[0]


def test_a_hidden_backslash_does_not_go_on() -> None:
    assert lines("RUN a \\\\\nUSER b\n")[0].rest == "a \\\\"


def test_another_escape_takes_the_place_of_the_backslash() -> None:
    found = read("# syntax=docker/dockerfile:1\n# Escape = `\nRUN a `\nb \\\nUSER c\n")

    assert found.escape == "`"
    assert [line.text for line in found.lines] == ["RUN a b \\", "USER c"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("# escape=x\nFROM a\n", "line 1: invalid escape token"),
        ("# escape=`\n# escape=`\nFROM a\n", "line 2: only one escape parser directive"),
        ("FROM a\nRUN <<EOF\necho\n", "line 2: unterminated heredoc"),
        ("# nothing\n", "no instructions"),
        ("", "cannot be empty"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        read(text)


def test_directives_come_before_everything_else() -> None:
    assert read("# a comment\n# escape=`\nRUN a `\n").escape == "\\"
    assert read("\n# escape=`\nRUN a\n").escape == "\\"


def test_a_byte_order_mark_and_windows_line_ends_are_nothing() -> None:
    assert lines("\ufeffFROM a\r\nRUN b \\\r\nc\r\n")[1].rest == "b c"


def test_flags_are_taken_from_the_front() -> None:
    (line,) = lines('COPY --from="a b" --chown=1\\ 2 -- --x y\n')

    assert line.flags == ("--from=a b", "--chown=1 2")
    assert line.rest == "--x y"


def test_here_documents_belong_to_the_line_that_names_them() -> None:
    first, second = lines("COPY <<A <<-'B' /x\n1\nA\n\t2\n\tB\nRUN cat <<C\nC\n")

    assert first.heredocs == (
        Heredoc(name="A", content="1\n"),
        Heredoc(name="B", content="\t2\n", expands=False, chomps=True),
    )
    assert first.heredocs[1].text == "2\n"
    assert second.heredocs == (Heredoc(name="C"),)


@pytest.mark.parametrize("text", ["RUN echo $((1<<2))", "CMD <<EOF", 'RUN ["<<EOF"]', "RUN a <<<b"])
def test_what_only_looks_like_a_here_document_is_none(text: str) -> None:
    assert lines(text)[0].heredocs == ()


def test_a_quoted_name_fills_nothing_in() -> None:
    for word, expands in (("<<A", True), ("<<'A'", False), ('<<-"A"', False), ("<<\\A", False)):
        found = heredoc_of(word)
        assert found is not None
        assert (found.name, found.expands) == ("A", expands)
    assert heredoc_of("A") is None


@given(st.text())
def test_law_any_text_is_read_or_refused_with_words(text: str) -> None:
    with contextlib.suppress(Invalid):
        found = read(text).lines
        assert found
        assert [line.number for line in found] == sorted({each.number for each in found})
