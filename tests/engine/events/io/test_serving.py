"""Events are told from the answer's head on, and go on where the node comes into a swarm."""

import asyncio
import json
import time
from pathlib import Path

from swarm.api.v1 import objects_pb2
from swarm.specs import Role
from tests.engine.io.agents import until
from tests.engine.io.world import VERSION, World, tell


def test_what_happens_between_the_head_and_the_agent_s_ear_is_told(tmp_path: Path) -> None:
    """Docker's SDK goes on once it has the head: its next call makes an event."""

    async def story(world: World) -> None:
        before = objects_pb2.Event(at=time.time(), kind="container", action="die", id="0")
        async with world.client.stream("GET", f"/{VERSION}/events") as answer:
            made = objects_pb2.Event(at=time.time(), kind="container", action="create", id="1")
            world.containers.happened += (before, made)
            world.containers.listens.set()
            told = json.loads(await anext(answer.aiter_lines()))

        assert (told["Type"], told["Action"], told["id"]) == ("container", "create", "1")

    tell(tmp_path, story)


def test_who_says_only_when_to_end_is_told_all_that_is_remembered(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.containers.happened.append(
            objects_pb2.Event(at=1.0, kind="container", action="die", id="0")
        )
        world.containers.listens.set()
        async with world.client.stream("GET", f"/{VERSION}/events?until={time.time()}") as answer:
            assert json.loads(await anext(answer.aiter_lines()))["time"] == 1

    tell(tmp_path, story)


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
