import pytest

from runtime.command import durations
from swarm.errors import Invalid


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5s", 5.0),
        ("1m30s", 90.0),
        ("250ms", 0.25),
        ("0ns", 0.0),
        ("0", 0.0),
        ("1.5h", 5400.0),
        ("2us", 2e-6),
    ],
)
def test_a_time_is_written_as_go_writes_it(text: str, seconds: float) -> None:
    assert durations.parse(text, flag="interval") == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "s", "-1s", "1x", "1..2s", ".s", "1s2"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="--interval"):
        durations.parse(text, flag="interval")
