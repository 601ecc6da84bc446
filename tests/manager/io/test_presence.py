import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from manager import layout
from swarm.states import NodeState
from tests.manager.io.swarm import Swarm, found_swarm, service, swarming, until
from tests.sim.fake_store import FakeStore

Tell = Callable[..., None]


def leases_of(store: FakeStore, prefix: str) -> set[int]:
    return {item.lease for item in store.list_now(prefix).items}


def test_sessions_are_bound_to_the_lease_of_their_manager(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        await swarm.join("one")
        await swarm.join("two")

        assert len(swarm.fake.list_now(layout.SESSIONS).items) == 2
        assert leases_of(swarm.fake, layout.SESSIONS) == leases_of(swarm.fake, layout.MANAGERS)

    tell(story)


def test_a_lost_lease_costs_no_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store was away for so long that the lease ended.

    1. All session keys vanish together with the manager's own.
    2. Nobody is taken for dead: it was the manager's silence.
    3. With the next lease the sessions are written anew, and go on as if nothing was.
    """

    async def main() -> None:
        now = 0.0
        store = FakeStore(clock=lambda: now)
        async with asyncio.timeout(60), swarming(store, found_swarm(tmp_path)) as swarm:
            agent = await swarm.join()
            service_id = await swarm.run(service(replicas=2))
            tasks = set(swarm.view.tasks_of(service_id))
            states = set[NodeState]()
            swarm.manager.mirror.listen(lambda _: states.add(swarm.view.node_state(agent.node_id)))

            now += 100.0
            store.expire()
            await until(lambda: len(store.list_now(layout.SESSIONS).items) == 1)
            await swarm.scale(service_id, 3)
            await until(lambda: swarm.progress(service_id).running == 3)

            assert agent.is_connected
            assert NodeState.DOWN not in states
            assert tasks < set(swarm.view.tasks_of(service_id))

    asyncio.run(main())


def test_a_manager_that_leaves_takes_its_leases_along(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        await swarm.join()
        swarm.manager.stop()
        await swarm.running

        assert not swarm.fake.list_now(layout.MANAGERS).items
        assert not swarm.fake.list_now(layout.SESSIONS).items

    tell(story)
