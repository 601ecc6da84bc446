"""Give each proof a lab of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from swarmctl.io import watching
from tests.flags.lab import Lab, laboratory


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """A command line, and the swarm behind it; logins are in `config.json` of its directory."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    # What has converged here stays so; a second for each command that waits would be the most
    # of what all the others take.
    monkeypatch.setitem(watching.watch.__kwdefaults__, "settle_s", 0.02)
    with laboratory(tmp_path) as made:
        yield made
