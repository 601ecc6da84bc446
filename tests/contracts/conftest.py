import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.contracts.stores import Bench, Opener, open_fake, open_real

Story = Callable[[Bench], Awaitable[None]]


@pytest.fixture(
    params=[
        pytest.param(open_fake, id="fake"),
        pytest.param(open_real, id="etcd", marks=pytest.mark.cluster),
    ]
)
def tell(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Story], None]:
    """Run a story on a store of its own."""
    opener: Opener = request.param

    async def play(story: Story) -> None:
        async with opener(tmp_path) as bench, asyncio.timeout(100):
            await story(bench)

    return lambda story: asyncio.run(play(story))
