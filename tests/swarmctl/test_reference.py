"""The reference page says what the commands say."""

from pathlib import Path

from swarmctl.reference import page

PAGE = Path(__file__).parents[2] / "docs/reference/cli.md"


def test_the_page_is_fresh() -> None:
    assert PAGE.read_text() == page(), "run: python -m swarmctl.reference > docs/reference/cli.md"
