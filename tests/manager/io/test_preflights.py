import asyncio
from collections.abc import Callable

import pytest

from manager.io.preflights import Preflights
from swarm.dispatch import FromManager, Preflight
from swarm.errors import Invalid
from swarm.ids import NodeId
from swarm.specs import Mount, MountKind, TaskSpec
from tests.manager.io.swarm import Swarm, service

Tell = Callable[..., None]
N1, N2 = NodeId("n1"), NodeId("n2")
NO_BIND = "container.mounts[0].source: /no/such/path does not exist"
BIND = Mount(kind=MountKind.BIND, source="/no/such/path", target="/t")


def test_a_bind_source_that_is_nowhere_is_refused_and_nothing_stored(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        agents = [await swarm.join(f"host-{n}") for n in range(2)]
        for agent in agents:
            agent.problems = (NO_BIND,)

        with pytest.raises(Invalid, match="/no/such/path does not exist"):
            await swarm.create(service(mounts=(BIND,)))
        assert not swarm.view.services

        agents[0].problems = ()
        await swarm.create(service(mounts=(BIND,)))

    tell(story)


def test_those_who_do_not_answer_in_time_reported_nothing() -> None:
    async def main() -> None:
        asked: list[tuple[NodeId, FromManager]] = []
        preflights = Preflights(lambda node_id, message: not asked.append((node_id, message)))

        asking = asyncio.ensure_future(preflights.ask([N1, N2], TaskSpec(), within_s=0.05))
        await asyncio.sleep(0)
        message = asked[0][1]
        assert isinstance(message, Preflight)
        preflights.answered(message.preflight_id, N1, ("no",))
        answers = await asking
        preflights.answered(message.preflight_id, N2, ("too late",))

        assert answers == {N1: ("no",), N2: None}

    asyncio.run(main())


def test_nodes_without_a_session_are_not_waited_for() -> None:
    async def main() -> None:
        preflights = Preflights(lambda node_id, message: False)

        answers = await preflights.ask([N1], TaskSpec(), within_s=3600.0)

        assert answers == {N1: None}

    asyncio.run(main())


def test_an_answer_of_a_node_that_was_not_asked_does_not_count() -> None:
    async def main() -> None:
        asked: list[FromManager] = []
        preflights = Preflights(lambda node_id, message: not asked.append(message))

        asking = asyncio.ensure_future(preflights.ask([N1], TaskSpec(), within_s=0.05))
        await asyncio.sleep(0)
        message = asked[0]
        assert isinstance(message, Preflight)
        preflights.answered(message.preflight_id, N2, ("I say so",))

        assert await asking == {N1: None}

    asyncio.run(main())
