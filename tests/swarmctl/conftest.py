"""Give each test a swarm of its own to talk to."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from swarmctl.io.channel import Channel
from tests.swarmctl.fake_swarm import FakeSwarm, serving


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    """Where the fake swarm listens."""
    return tmp_path / "swarmd.sock"


@pytest.fixture
def swarm(socket: Path) -> Iterator[FakeSwarm]:
    """A fake swarm that answers on `socket`."""
    with serving(socket) as fake:
        yield fake


@pytest.fixture
def channel(socket: Path) -> Iterator[Channel]:
    """A channel to whoever listens on `socket`."""
    channel = Channel(f"unix://{socket}")
    yield channel
    channel.close()
