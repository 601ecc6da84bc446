import asyncio

import pytest

from manager.bootstrap import first_commit
from swarm.errors import Conflict
from swarm.ids import ClusterId, NodeId
from swarm.objects import Cluster, Node
from tests.sim.fake_store import FakeStore


def test_a_store_takes_one_swarm() -> None:
    async def main() -> None:
        store = FakeStore()
        await store.commit(first_commit(Cluster(id=ClusterId("a")), Node(id=NodeId("n1"))))
        with pytest.raises(Conflict):
            await store.commit(first_commit(Cluster(id=ClusterId("b")), Node(id=NodeId("n2"))))

        keys = [item.key for item in (await store.read("")).items]
        assert keys == ["cluster", "nodes/n1"]

    asyncio.run(main())
