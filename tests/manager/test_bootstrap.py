import asyncio

import pytest

from manager.bootstrap import first_commit
from manager.store import Put
from swarm.codec import unpack
from swarm.errors import Conflict
from swarm.ids import ClusterId, NodeId
from swarm.objects import Cluster, Node
from tests.manager.world import Changed, World
from tests.sim.fake_store import FakeStore


def test_a_store_takes_one_swarm() -> None:
    async def main() -> None:
        store = FakeStore()
        await store.commit(first_commit(Cluster(id=ClusterId("a")), Node(id=NodeId("n1"))))
        with pytest.raises(Conflict):
            await store.commit(first_commit(Cluster(id=ClusterId("b")), Node(id=NodeId("n2"))))

        keys = {item.key.split("/")[0]: item for item in (await store.read("")).items}
        node = unpack(Node, keys["nodes"].value)
        assert sorted(keys) == ["cluster", "names", "networks", "nodes", "pools"]
        assert (node.id, node.number) == ("n1", 1)
        assert (await store.read("names/number/")).items[0].value == b"n1"

    asyncio.run(main())


def test_a_new_swarm_has_a_network_for_what_is_published() -> None:
    commit = first_commit(Cluster(id=ClusterId("a")), Node(id=NodeId("n1")))

    world = World()
    puts = [each for each in commit.operations if isinstance(each, Put)]
    world.view.apply([Changed(each.key, each.value, 1) for each in puts], 1, now=1.0)

    ingress = world.view.ingress
    assert ingress is not None
    assert world.view.names["network", "ingress"] == ingress.id
    assert [each.subnet for each in ingress.subnets] == ["10.255.0.0/16"]
    assert world.view.pools == str(ingress.vni)
