"""Tell stories of a swarm: each has one of its own, and a minute."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.etcd import build_rig, connected, running
from tests.manager.io.swarm import Swarm, found_swarm, swarming
from tests.sim.fake_store import FakeStore

Story = Callable[[Swarm], Awaitable[None]]


@pytest.fixture
def tell(tmp_path: Path) -> Callable[..., None]:
    """Run a story on a manager with the fake store."""

    async def play(story: Story, heartbeat_s: float) -> None:
        members = found_swarm(tmp_path, heartbeat_s=heartbeat_s)
        async with swarming(FakeStore(), members) as swarm, asyncio.timeout(60):
            await story(swarm)

    return lambda story, heartbeat_s=1.0: asyncio.run(play(story, heartbeat_s))


@pytest.fixture
def tell_on_etcd(tmp_path: Path) -> Callable[[Story], None]:
    """Run a story on a manager with a real etcd."""

    async def play(story: Story) -> None:
        rig = build_rig(tmp_path / "etcd")
        async with (
            running(rig),
            connected(rig.target) as store,
            swarming(store, found_swarm(tmp_path)) as swarm,
            asyncio.timeout(60),
        ):
            await story(swarm)

    return lambda story: asyncio.run(play(story))
