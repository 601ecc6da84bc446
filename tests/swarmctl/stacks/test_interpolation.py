"""Variables are filled in as a shell would."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.errors import Invalid
from swarmctl.stacks.interpolation import Filling

ENVIRON = {"A": "a", "EMPTY": ""}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("x", "x"),
        ("$A-${A}", "a-a"),
        ("$$A $${A}", "$A ${A}"),
        ("${B:-d}${EMPTY:-d}${A:-d}", "dda"),
        ("${B-d}${EMPTY-d}", "d"),
        ("${A:+x}${EMPTY:+x}${EMPTY+y}${B+y}", "xy"),
        ("${A:?no}${EMPTY?no}", "a"),
        ("${B:-${C:-$A}}!", "a!"),
        ("${B:-}", ""),
        ("{{.Task.Slot}}", "{{.Task.Slot}}"),
    ],
)
def test_variables_are_filled_in(text: str, filled: str) -> None:
    assert Filling(ENVIRON).text(text, "services.web.image") == filled


@pytest.mark.parametrize("text", ["$", "${", "${A", "${1}", "$-", "${A!x}", "${B:-${C}"])
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match=r"services\.web.image: .* has a variable") as caught:
        Filling(ENVIRON).text(text, "services.web.image")

    assert "$$" in caught.value.hint


@pytest.mark.parametrize("text", ["${B?say why}", "${B:?say why}", "${EMPTY:?say why}"])
def test_what_is_required_is_missed(text: str) -> None:
    with pytest.raises(Invalid, match=r"services\.a: required variable .* is not set: say why"):
        Filling(ENVIRON).document({"services": {"a": text}})


def test_values_are_filled_in_and_keys_are_not() -> None:
    filling = Filling(ENVIRON)

    found = filling.document({"a": {"$A": ["$A", 1, None, "$B", "${B}"]}})

    assert found == {"a": {"$A": ["a", 1, None, "", ""]}}
    assert filling.unset == ["B"]


@given(st.text())
def test_law_what_is_escaped_comes_out_as_it_was(text: str) -> None:
    assert Filling(ENVIRON).text(text.replace("$", "$$"), "x") == text


@given(st.text(alphabet="$${}:-?+AB \\"))
def test_law_any_text_is_filled_in_or_refused(text: str) -> None:
    filling = Filling(ENVIRON)

    with suppress(Invalid):
        assert "$$" in text or "$" not in filling.text(text, "x")
