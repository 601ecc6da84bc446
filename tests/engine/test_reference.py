"""The reference names every endpoint, and no other."""

import re
from pathlib import Path

from engine.io.routes import ROUTES

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "docker-api.md"
ENDPOINT = re.compile(r"`(GET|HEAD|POST|PUT|DELETE) (/[^`]+)`")


def test_the_reference_names_every_endpoint_and_no_other() -> None:
    _, _, page = PAGE.read_text().partition("## Endpoints")
    table, _, _ = page.partition("\n## ")

    named = ENDPOINT.findall(table)

    assert sorted(named) == sorted((route.method, route.template) for route in ROUTES)
