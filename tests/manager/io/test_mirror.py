import asyncio
from collections.abc import Awaitable, Callable

import pytest
import structlog

from manager import layout
from manager.applied import Applied
from manager.io.mirror import Mirror
from manager.metrics import Metrics
from manager.store import Absent, Commit, Put
from swarm.codec import pack
from swarm.errors import Conflict
from swarm.ids import NodeId
from swarm.objects import Node
from tests.manager.io.swarm import until
from tests.sim.fake_store import FakeStore, Fault


def play(story: Callable[[FakeStore, Mirror], Awaitable[None]]) -> None:
    async def main() -> None:
        store = FakeStore()
        mirror = Mirror(store, structlog.stdlib.get_logger(), Metrics(), clock=lambda: 1.0)
        following = asyncio.ensure_future(mirror.run())
        async with asyncio.timeout(20):
            await mirror.loaded()
            await story(store, mirror)
        following.cancel()

    asyncio.run(main())


def making(name: str) -> Commit:
    key = layout.node_key(NodeId(name))
    return Commit((Absent(key),), (Put(key, pack(Node(id=NodeId(name)))),))


def test_our_own_commits_are_known_at_once_and_once() -> None:
    async def story(store: FakeStore, mirror: Mirror) -> None:
        told: list[Applied] = []
        mirror.listen(told.append)

        revision = await mirror.commit(making("n1"))
        assert "n1" in mirror.view.nodes
        await mirror.caught_up(revision)

        assert sum("n1" in each.nodes for each in told) == 1

    play(story)


def test_others_commits_are_told_when_they_come() -> None:
    async def story(store: FakeStore, mirror: Mirror) -> None:
        revision = store.apply(making("n1"))

        await mirror.caught_up(revision)

        assert "n1" in mirror.view.nodes

    play(story)


def test_after_a_conflict_the_view_settles_on_what_was_in_the_way() -> None:
    async def story(store: FakeStore, mirror: Mirror) -> None:
        store.apply(making("n1"))
        with pytest.raises(Conflict):
            await mirror.commit(making("n1"))

        await mirror.settle()

        assert "n1" in mirror.view.nodes

    play(story)


def test_a_view_that_missed_too_much_is_listed_anew() -> None:
    async def story(store: FakeStore, mirror: Mirror) -> None:
        store.go_down()
        for name in ("n1", "n2"):
            store.apply(making(name))
        store.compact(store.revision)

        store.come_up()

        await until(lambda: {"n1", "n2"} <= mirror.view.nodes.keys())

    play(story)


def test_a_store_that_does_not_answer_yet_is_waited_for() -> None:
    async def main() -> None:
        store = FakeStore()
        store.apply(making("n1"))
        store.fail_next("read", Fault.UNAVAILABLE, Fault.UNAVAILABLE)
        mirror = Mirror(store, structlog.stdlib.get_logger(), Metrics(), clock=lambda: 1.0)
        following = asyncio.ensure_future(mirror.run())

        async with asyncio.timeout(20):
            await mirror.loaded()
        following.cancel()

        assert "n1" in mirror.view.nodes

    asyncio.run(main())
