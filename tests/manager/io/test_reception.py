import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import structlog

from manager import layout
from manager.io.mirror import Mirror
from manager.io.reception import Reception
from manager.metrics import Metrics
from manager.store import Commit, Put, Unchanged
from swarm.codec import pack
from swarm.dispatch import Hello
from swarm.errors import Conflict
from swarm.ids import NodeId
from swarm.objects import Node, Session
from tests.sim.fake_store import FakeStore

NODES = tuple(NodeId(f"n{number}") for number in range(250))
Blind = Callable[[], object]
"""Has the mirror follow the store no more."""


def session(node_id: NodeId) -> Session:
    return Session(node_id=node_id, manager_id=NodeId("m1"), session_id=f"of-{node_id}")


async def arriving(reception: Reception, mirror: Mirror, nodes: Sequence[NodeId]) -> list[Any]:
    """Have all of them arrive in one moment; what each was answered."""
    lease = (await mirror.store.grant(60)).id
    takes = (reception.take(Hello(), session(each), lease) for each in nodes)
    return await asyncio.gather(*takes, return_exceptions=True)


def tell(story: Any) -> None:
    """Run `story` with a reception of a swarm that has the nodes."""

    async def run() -> None:
        store = FakeStore()
        for each in NODES:
            await store.commit(Commit((), (Put(layout.node_key(each), pack(Node(id=each))),)))
        mirror = Mirror(store, structlog.get_logger(), Metrics())
        reception = Reception(mirror)
        async with asyncio.timeout(20):
            follow = asyncio.ensure_future(mirror.run())
            await mirror.loaded()
            receive = asyncio.ensure_future(reception.run())
            try:
                await story(reception, mirror, follow.cancel)
            finally:
                for each in (follow, receive):
                    each.cancel()
                await asyncio.gather(follow, receive, return_exceptions=True)

    asyncio.run(run())


def test_those_who_come_together_share_commits() -> None:
    async def story(reception: Reception, mirror: Mirror, blind: Blind) -> None:
        revisions = await arriving(reception, mirror, NODES)

        assert mirror.view.sessions.keys() == set(NODES)
        assert len(set(revisions)) == 3
        for node_id, revision in zip(NODES, revisions, strict=True):
            assert mirror.view.version(layout.session_key(node_id)) == revision

    tell(story)


def test_a_conflict_is_told_to_all_who_shared_it_and_to_nobody_else() -> None:
    async def story(reception: Reception, mirror: Mirror, blind: Blind) -> None:
        blind()
        key = layout.node_key(NODES[0])
        changed = Put(key, pack(Node(id=NODES[0], created_at=1.0)))
        await mirror.store.commit(Commit((Unchanged(key, mirror.view.version(key)),), (changed,)))

        answers = await arriving(reception, mirror, NODES[:150])

        assert all(isinstance(each, Conflict) for each in answers[:100])
        assert all(isinstance(each, int) for each in answers[100:])
        assert mirror.view.sessions.keys() == set(NODES[100:150])

    tell(story)


def test_a_node_that_is_gone_keeps_nobody_out() -> None:
    async def story(reception: Reception, mirror: Mirror, blind: Blind) -> None:
        gone, there = await arriving(reception, mirror, (NodeId("gone"), NODES[0]))

        assert isinstance(gone, Conflict)
        assert mirror.view.version(layout.session_key(NODES[0])) == there

    tell(story)


def test_who_hung_up_gets_no_session() -> None:
    async def story(reception: Reception, mirror: Mirror, blind: Blind) -> None:
        lease = (await mirror.store.grant(60)).id
        given_up = asyncio.ensure_future(reception.take(Hello(), session(NODES[0]), lease))
        stays = asyncio.ensure_future(reception.take(Hello(), session(NODES[1]), lease))
        await asyncio.sleep(0)
        given_up.cancel()

        await stays

        with pytest.raises(asyncio.CancelledError):
            await given_up
        assert mirror.view.sessions.keys() == {NODES[1]}

    tell(story)
