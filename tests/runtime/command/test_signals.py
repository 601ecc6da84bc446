import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.command import signals
from swarm.errors import Invalid


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("9", 9), ("KILL", 9), ("SIGKILL", 9), ("sigterm", 15), ("Hup", 1), ("64", 64),
        ("RTMIN", 34), ("SIGRTMIN+3", 37), ("RTMAX-14", 50), ("winch", 28),
    ],
)  # fmt: skip
def test_a_signal_has_a_number_and_names(text: str, number: int) -> None:
    assert signals.parse(text) == number


@pytest.mark.parametrize(
    "text", ["", "0", "65", "-9", "FOO", "SIG", "RTMIN+31", "RTMAX+1", "TERM+1", "9" * 5000, "٩"]
)
def test_what_is_no_signal_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="unknown signal"):
        signals.parse(text)


@given(st.text(max_size=10))
def test_law_any_text_is_a_signal_or_refused(text: str) -> None:
    try:
        number = signals.parse(text)
    except Invalid:
        return
    assert 1 <= number <= 64
