from collections import Counter
from collections.abc import Callable

import pytest

from manager import newcomers
from swarm.api.v1 import control_pb2
from swarm.specs import Availability
from tests.manager.io.swarm import IMAGE, ROOM, Swarm, until
from tests.manager.io.test_forecasts import spread, spreadable

Tell = Callable[..., None]


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let occasions begin and waves follow each other at once."""
    monkeypatch.setattr(newcomers, "SETTLE_S", 0.1)
    monkeypatch.setattr(newcomers, "WAVE_S", 0.05)


async def wish(swarm: Swarm, *, rebalance_on_join: bool) -> None:
    """Change the swarm's spec."""
    found = await swarm.call("GetCluster", control_pb2.GetClusterRequest())
    spec = found.cluster.spec
    spec.rebalance_on_join = rebalance_on_join
    await swarm.call("UpdateCluster", control_pb2.UpdateClusterRequest(spec=spec))


def test_a_node_that_joins_gets_its_share_by_itself(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        await wish(swarm, rebalance_on_join=True)
        await swarm.join("one", resources=ROOM, images=(IMAGE,))
        await swarm.run(spreadable(6, parallelism=1, monitor_s=0.0))

        await swarm.join("two", resources=ROOM, images=(IMAGE,))

        await until(lambda: spread(swarm) == Counter(one=3, two=3), within_s=30)

    tell(story)


def test_unless_it_is_wished_for_nothing_is_moved(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        await swarm.join("one", resources=ROOM, images=(IMAGE,))
        await swarm.run(spreadable(4, parallelism=0, monitor_s=0.0))
        await swarm.join("two", resources=ROOM, images=(IMAGE,))
        machine = await until(lambda: swarm.manager.rebalancing._newcomers)
        await until(lambda: machine.next_deadline() is None)

        assert spread(swarm) == Counter(one=4)

    tell(story)


def test_a_node_that_is_active_again_gets_its_share(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        await wish(swarm, rebalance_on_join=True)
        await swarm.join("one", resources=ROOM, images=(IMAGE,))
        two = await swarm.join("two", resources=ROOM, images=(IMAGE,))
        await swarm.run(spreadable(4, parallelism=0, monitor_s=0.0))
        await set_availability(swarm, two.node_id, Availability.DRAIN)
        await until(lambda: spread(swarm) == Counter(one=4), within_s=30)

        await set_availability(swarm, two.node_id, Availability.ACTIVE)

        await until(lambda: spread(swarm) == Counter(one=2, two=2), within_s=30)

    tell(story)


async def set_availability(swarm: Swarm, node_id: str, availability: Availability) -> None:
    found = (await swarm.nodes())[node_id]
    found.node.spec.availability = int(availability)
    await swarm.call(
        "UpdateNode",
        control_pb2.UpdateNodeRequest(node_id=node_id, version=found.version, spec=found.node.spec),
    )
