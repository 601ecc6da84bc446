"""The reference pages say what the code says."""

from pathlib import Path

import pytest

from docs.generate import pages


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_the_page_is_fresh(page: Path) -> None:
    assert page.read_text() == pages()[page], "run: make docs"


def test_every_metric_is_on_the_page_with_its_labels() -> None:
    (text,) = (text for page, text in pages().items() if page.stem == "metrics")

    assert "| `swarm_manager_rpcs_total` | counter | `method`, `code` | Calls by status" in text
    assert "| `swarm_agent_container_start_seconds` | histogram |  | Time from" in text
    assert "view" not in text
