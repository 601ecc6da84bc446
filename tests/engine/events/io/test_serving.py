"""Events go on where the node comes into a swarm."""

import asyncio
import json
from pathlib import Path

from swarm.specs import Role
from tests.engine.io.agents import until
from tests.engine.io.world import VERSION, World, tell


def test_events_of_a_swarm_are_heard_by_those_who_listened_before_it(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.daemon.role = None
        async with world.client.stream("GET", f"/{VERSION}/events") as answer:
            await until(lambda: world.daemon.looks >= 2)  # it is in no swarm, then
            world.daemon.role = Role.MANAGER
            making = asyncio.ensure_future(make(world))
            async for line in answer.aiter_lines():
                event = json.loads(line)
                if event["Type"] == "network":
                    break
            making.cancel()

        assert (event["Action"], event["scope"]) == ("create", "swarm")

    async def make(world: World) -> None:
        """Nobody says when the events of a swarm are listened to."""
        for number in range(600):
            body = {"Name": f"net{number}", "Driver": "overlay"}
            await world.ask("POST", "/networks/create", body, expects=201)
            await asyncio.sleep(0.05)

    tell(tmp_path, story)
