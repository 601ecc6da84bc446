import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from manager.election import Followed, Holder
from manager.store import LeaseId
from swarm.errors import Missing, Unavailable
from swarm.ids import NodeId
from swarm.specs import Role
from tests.manager.io.swarm import Swarm, certify, found_swarm, service, swarming, until
from tests.sim.fake_store import FakeStore

Tell = Callable[..., None]


def scrape(swarm: Swarm) -> str:
    return generate_latest(swarm.manager.metrics.registry).decode()


def test_calls_are_counted_by_method_and_status(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        await swarm.services()
        with pytest.raises(Missing):
            await swarm.services("none")

        def counted(code: str) -> str:
            method = 'method="Control/ListServices"'
            return f'swarm_manager_rpcs_total{{code="{code}",{method}}} 1.0'

        await until(lambda: counted("OK") in scrape(swarm))
        await until(lambda: counted("NOT_FOUND") in scrape(swarm))

    tell(story)


def test_what_goes_on_is_counted(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        await swarm.join()
        await swarm.run(service(replicas=3))
        text = scrape(swarm)

        for line in (
            "swarm_manager_leader 1.0",
            "swarm_manager_sessions 1.0",
            "swarm_manager_services 1.0",
            "swarm_manager_placements_total 3.0",
            'swarm_manager_tasks{state="running"} 3.0',
            'swarm_manager_dispatch_messages_total{direction="sent",kind="diff"} 2.0',
        ):
            assert line in text

    tell(story)


def test_whoever_does_not_lead_passes_calls_on_to_whoever_does(tmp_path: Path) -> None:
    """Two managers on one store.

    1. The first one leads; the second is asked to create a service and relays the call.
    2. The answer, and an error as it was raised, come back through it.
    3. A watch through it is told of the change.
    """

    async def main() -> None:
        store, members = FakeStore(), found_swarm(tmp_path)
        async with asyncio.timeout(60), swarming(store, members) as leader:
            await until(lambda: leader.manager.leader.leads)
            other = certify(members.founded, "manager-2", Role.MANAGER)
            async with swarming(store, members, other=other) as follower:
                await until(lambda: follower.manager.leader.holder)
                follower.manager.leader.heard(
                    Followed(Holder(members.node_id, LeaseId(1), leader.address))
                )

                created = await follower.create(service())
                with pytest.raises(Missing) as caught:
                    await follower.services("none")
                told = await asyncio.wait_for(follower.remove(created.service.service.id), 20)

                assert created.service.service.spec.name == "web"
                assert caught.value.hint
                assert told[-1].removed

    asyncio.run(main())


def test_a_call_is_not_passed_to_and_fro(tmp_path: Path) -> None:
    async def main() -> None:
        store, members = FakeStore(), found_swarm(tmp_path)
        async with asyncio.timeout(60), swarming(store, members) as first:
            await until(lambda: first.manager.leader.leads)
            itself = Holder(NodeId("other"), LeaseId(1), first.address)
            first.manager.leader.heard(Followed(itself))

            with pytest.raises(Unavailable, match="leader is changing"):
                await first.services()

    asyncio.run(main())
