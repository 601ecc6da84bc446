"""What tasks have written, through Docker's API."""

import struct
from pathlib import Path

from tests.engine.io.world import VERSION, World, tell
from tests.engine.services.io.test_serving import create, until_running


def pieces(stream: bytes) -> list[tuple[int, bytes]]:
    """Take a stream of two outputs apart."""
    found = []
    while stream:
        output, length = struct.unpack(">BxxxI", stream[:8])
        found.append((output, stream[8 : 8 + length]))
        stream = stream[8 + length :]
    return found


async def written(world: World, *, tty: bool = False) -> tuple[str, str]:
    """A service with one task that has written a line; the ids of both."""
    agent = await world.swarm.join()
    container = {"Image": "app:1", "TTY": tty}
    service_id = await create(
        world, Mode={"Replicated": {"Replicas": 1}}, TaskTemplate={"ContainerSpec": container}
    )
    await until_running(world, "web", 1)
    ((task_id, _),) = agent.tasks.items()
    agent.lines[task_id] = [b"hello\n"]
    return service_id, task_id


def test_lines_come_framed_and_bare_from_a_terminal(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await written(world)
        path = f"/{VERSION}/services/web/logs?stdout=1&stderr=1"

        new = await world.client.get(path)
        old = await world.client.get(path.replace(VERSION, "v1.41"))

        assert new.headers["content-type"] == "application/vnd.docker.multiplexed-stream"
        assert old.headers["content-type"] == "application/vnd.docker.raw-stream"
        assert pieces(new.content) == pieces(old.content) == [(1, b"hello\n")]

    async def at_a_terminal(world: World) -> None:
        await written(world, tty=True)

        answer = await world.client.get(f"/{VERSION}/services/web/logs?stdout=true")

        assert answer.headers["content-type"] == "application/vnd.docker.raw-stream"
        assert answer.content == b"hello\n"

    tell(tmp_path / "a", story)
    tell(tmp_path / "b", at_a_terminal)


def test_details_say_where_a_line_comes_from(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        service_id, task_id = await written(world)
        node_id = world.swarm.agents[0].node_id

        answer = await world.client.get(
            f"/{VERSION}/tasks/{task_id}/logs?stdout=1&details=1&timestamps=1"
        )

        ((_, line),) = pieces(answer.content)
        at, details, text = line.decode().split(" ", 2)
        assert at.endswith("Z")
        assert details == (
            f"com.docker.swarm.node.id={node_id},com.docker.swarm.service.id={service_id},"
            f"com.docker.swarm.task.id={task_id}"
        )
        assert text == "hello\n"

    tell(tmp_path, story)


def test_what_cannot_be_read_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await written(world)

        silent = await world.refused("GET", "/services/web/logs")
        backwards = await world.refused("GET", "/services/web/logs", stdout="1", tail="-3")
        unknown = await world.refused("GET", "/services/nobody/logs", stdout="1")

        assert "at least one stream" in silent
        assert backwards.startswith("400 tail: '-3' is not a number of lines")
        assert unknown.startswith("404 ")

    tell(tmp_path, story)
