"""What clients ask of containers, against an agent that remembers."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from swarm.api.v1 import containers_pb2 as pb
from swarm.errors import Conflict, Invalid, KernelRefused, Missing, Refused, SwarmError, Unavailable
from tests.engine.io.agents import Agent, Engine, listening, serving, until, view
from tests.engine.io.clients import Client, once

ID = "a" * 64


def run(agent: Agent, body: Callable[[Engine], Awaitable[None]], directory: Path) -> None:
    async def main() -> None:
        async with serving(agent, directory) as engine:
            await body(engine)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("method", "target", "status", "request_"),
    [
        ("POST", "/containers/web/start", 204, pb.StartContainerRequest(container="web")),
        ("POST", "/containers/web/stop", 304, pb.StopContainerRequest(container="web")),
        (
            "POST", "/containers/web/stop?t=0&signal=INT", 304,
            pb.StopContainerRequest(container="web", grace_s=0, signal="INT"),
        ),
        (
            "POST", "/containers/web/restart?t=-1", 204,
            pb.RestartContainerRequest(container="web", grace_s=-1),
        ),
        (
            "POST", "/containers/web/kill?signal=HUP", 204,
            pb.KillContainerRequest(container="web", signal="HUP"),
        ),
        ("POST", "/containers/web/pause", 204,
         pb.PauseContainerRequest(container="web", paused=True)),
        ("POST", "/containers/web/unpause", 204, pb.PauseContainerRequest(container="web")),
        (
            "POST", "/containers/web/rename?name=db", 204,
            pb.RenameContainerRequest(container="web", name="db"),
        ),
        (
            "DELETE", "/containers/web?v=1&force=true", 204,
            pb.RemoveContainerRequest(container="web", force=True, volumes=True),
        ),
    ],
)  # fmt: skip
def test_a_request_becomes_a_call(
    tmp_path: Path, method: str, target: str, status: int, request_: Any
) -> None:
    agent = Agent(view())

    async def body(engine: Engine) -> None:
        answer = await once(engine.path, method, f"/v1.41{target}")
        assert answer.status == status
        assert answer.body == b""

    run(agent, body, tmp_path)
    assert agent.asked == [request_]


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (Invalid("x: is bad", problems=("x: is bad", "y: too")), 400, "x: is bad; y: too"),
        (Missing("No such container: web"), 404, "No such container: web"),
        (Refused("it runs", hint="stop it"), 409, "it runs (stop it)"),
        (Conflict("somebody else was faster"), 409, "somebody else was faster"),
        (Unavailable("it starts"), 503, "it starts"),
        (KernelRefused("mount", 12, "no memory"), 500, "mount: no memory"),
    ],
)
def test_every_error_has_its_status_and_its_words(
    tmp_path: Path, error: SwarmError, status: int, message: str
) -> None:
    agent = Agent(view())

    def fail(_: object) -> None:
        raise error

    agent.answers["StartContainerRequest"] = fail

    async def body(engine: Engine) -> None:
        answer = await once(engine.path, "POST", "/containers/web/start")
        assert (answer.status, answer.message) == (status, message)

    run(agent, body, tmp_path)


def test_a_container_is_made_of_what_is_asked(tmp_path: Path) -> None:
    agent = Agent()

    async def body(engine: Engine) -> None:
        answer = await once(
            engine.path,
            "POST",
            "/v1.47/containers/create?name=web",
            {
                "Image": "busybox",
                "cmd": ["sleep", "1"],
                "HostConfig": {"Memory": 64 << 20, "KernelMemory": 1, "AutoRemove": True},
                "Unknown": {"deep": [1]},
            },
        )
        assert answer.status == 201
        assert answer.json["Id"] == "c" * 64
        assert answer.json["Warnings"] == ["Kernel memory limits are deprecated and discarded."]

    run(agent, body, tmp_path)
    (made,) = agent.asked
    assert isinstance(made, pb.CreateContainerRequest)
    assert made.spec.name == "web"
    assert list(made.spec.container.args) == ["sleep", "1"]
    assert made.spec.limits.memory_bytes == made.spec.limits.swap_bytes == 64 << 20
    assert made.spec.auto_remove


@pytest.mark.parametrize(
    ("body_", "status", "words"),
    [
        ({"Image": "a", "HostConfig": {"Memory": "1g"}}, 400, "HostConfig.Memory: expected int"),
        ({"Image": "a", "Env": "A=1"}, 400, "Env: expected array"),
        ({}, 400, "config cannot be empty"),
        (b"{", 400, "invalid JSON"),
        (b"[]", 400, "expected an object"),
    ],
)
def test_what_is_no_container_is_refused_by_name(
    tmp_path: Path, body_: object, status: int, words: str
) -> None:
    agent = Agent()

    async def body(engine: Engine) -> None:
        headers = {"Content_Type": "application/json"}
        answer = await once(engine.path, "POST", "/containers/create", body_, **headers)
        assert answer.status == status
        assert words in answer.message

    run(agent, body, tmp_path)
    assert not agent.asked


def test_a_form_is_no_json(tmp_path: Path) -> None:
    """Any page in a browser may send one."""

    async def body(engine: Engine) -> None:
        for media_type in ("text/plain", "application/x-www-form-urlencoded"):
            answer = await once(
                engine.path, "POST", "/containers/create", b"{}", Content_Type=media_type
            )
            assert answer.status == 400
            assert "must be 'application/json'" in answer.message

    run(Agent(), body, tmp_path)


def test_a_wait_has_begun_before_anything_ends(tmp_path: Path) -> None:
    agent = Agent(view())

    async def body(engine: Engine) -> None:
        async with Client(engine.path) as client:
            await client.send("POST", "/v1.41/containers/web/wait?condition=next-exit")
            assert (await client.head()).status == 200
            agent.ended.set()
            assert await client.chunk() == b'{"StatusCode":3}\n'

    run(agent, body, tmp_path)
    (asked,) = agent.asked
    assert isinstance(asked, pb.WaitContainerRequest)
    assert asked.condition == pb.WAIT_CONDITION_NEXT_EXIT


def test_a_change_keeps_what_it_does_not_speak_of(tmp_path: Path) -> None:
    here = view()
    here.spec.limits.memory_bytes = 64 << 20
    here.spec.limits.swap_bytes = 64 << 20
    here.spec.shares.cpu_shares = 512
    agent = Agent(here)

    async def body(engine: Engine) -> None:
        answer = await once(
            engine.path, "POST", "/containers/web/update", {"PidsLimit": 9, "BlkioWeight": 300}
        )
        assert answer.json == {"Warnings": None}

    run(agent, body, tmp_path)
    changed = agent.asked[-1]
    assert isinstance(changed, pb.UpdateContainerRequest)
    assert changed.limits.memory_bytes == changed.limits.swap_bytes == 64 << 20
    assert changed.limits.pids == 9
    assert (changed.shares.cpu_shares, changed.shares.blkio_weight) == (512, 300)
    assert not changed.HasField("restart")


def test_lists_have_what_runs_unless_all_is_asked_for(tmp_path: Path) -> None:
    over = view("b" * 64, "over", state=pb.CONTAINER_STATE_EXITED, exit_code=3, finished_at=1.0)
    agent = Agent(view(), over)

    async def body(engine: Engine) -> None:
        async with Client(engine.path) as client:
            names = []
            for query in (
                "", "?all=1", "?limit=1",
                '?filters={"status":["exited"]}', '?filters={"exited":["3"]}',
                '?filters={"name":["^/o"]}&all=1', '?filters={"id":{"aaa":true}}',
            ):  # fmt: skip
                found = (await client.ask("GET", f"/containers/json{query}")).json
                names.append([each["Names"][0] for each in found])
            assert names == [
                ["/web"], ["/web", "/over"], ["/web"], ["/over"], ["/over"], ["/over"], ["/web"]
            ]  # fmt: skip
            refused = await client.ask("GET", '/containers/json?filters={"nmae":["x"]}')
            assert (refused.status, refused.message[:21]) == (400, "invalid filter 'nmae'")

    run(agent, body, tmp_path)


def test_pruning_spares_what_runs_and_what_is_a_tasks(tmp_path: Path) -> None:
    agent = Agent(
        view(),
        view("b" * 64, "over", state=pb.CONTAINER_STATE_EXITED, labels={"keep": ""}),
        view("c" * 64, "old", state=pb.CONTAINER_STATE_CREATED),
        view("d" * 64, "task", state=pb.CONTAINER_STATE_EXITED, task_id="t1"),
    )

    async def body(engine: Engine) -> None:
        async with Client(engine.path) as client:
            answer = await client.ask("POST", '/containers/prune?filters={"label!":["keep"]}')
            assert answer.json["ContainersDeleted"] == ["c" * 64]
            answer = await client.ask("POST", '/containers/prune?filters={"until":["1600000000"]}')
            assert answer.json["ContainersDeleted"] is None

    run(agent, body, tmp_path)


def test_logs_come_in_frames_unless_there_is_a_terminal(tmp_path: Path) -> None:
    tty = view("b" * 64, "tty")
    tty.spec.container.tty = True

    async def body(engine: Engine) -> None:
        async with Client(engine.path) as client:
            query = "/logs?stdout=1&stderr=1&timestamps=1"
            framed = await client.ask("GET", f"/v1.42/containers/web{query}")
            assert framed.headers["content-type"] == "application/vnd.docker.multiplexed-stream"
            line = b"2023-11-14T22:13:20.500000000Z out\n"
            assert framed.body.startswith(b"\x01\0\0\0\0\0\0" + bytes((len(line),)) + line)
            raw = await client.ask("GET", f"/v1.42/containers/tty{query}")
            assert raw.headers["content-type"] == "application/vnd.docker.raw-stream"
            assert raw.body.startswith(line)
            refused = await client.ask("GET", "/containers/web/logs")
            assert (refused.status, refused.message) == (
                400, "Bad parameters: you must choose at least one stream"
            )  # fmt: skip

    run(Agent(view(), tty), body, tmp_path)


def test_archives_go_both_ways(tmp_path: Path) -> None:
    agent = Agent(view())

    async def body(engine: Engine) -> None:
        async with Client(engine.path) as client:
            sent = await client.ask("PUT", "/containers/web/archive?path=/tmp", b"x" * 3_000_000)
            assert sent.status == 200
            exported = await client.ask("GET", "/containers/web/export")
            assert exported.headers["content-type"] == "application/x-tar"
            assert len(exported.body) == 4 << 18
            missing = await client.ask(
                "PUT", "/containers/gone/archive?path=/tmp", b"x" * 3_000_000
            )
            assert (missing.status, missing.message) == (404, "No such container: gone")

    run(agent, body, tmp_path)
    assert agent.written_bytes == 3_000_000


def test_an_agent_that_starts_again_is_waited_for(tmp_path: Path) -> None:
    async def main() -> None:
        engine = Engine(tmp_path)
        engine.listen()
        for _ in range(2):
            asking = asyncio.ensure_future(once(engine.path, "GET", "/containers/web/json"))
            await asyncio.wait((asking,), timeout=0.1)
            async with listening(Agent(view()), engine.agent_path):
                assert (await asking).status == 200
        await engine.close()

    asyncio.run(main())


def test_logs_and_waits_go_on_with_the_next_agent(tmp_path: Path) -> None:
    """1. Both have begun. 2. The agent ends. 3. The next one has the same log, and tells the end.

    The container is removed at last, with which its log ends.
    """

    async def main() -> None:
        engine = Engine(tmp_path)
        engine.listen()
        async with Client(engine.path) as waiting, Client(engine.path) as reading:
            async with listening(Agent(view()), engine.agent_path):
                await waiting.send("POST", "/v1.47/containers/web/wait?condition=next-exit")
                assert (await waiting.head()).status == 200
                await reading.send("GET", "/v1.47/containers/web/logs?follow=1&stdout=1&stderr=1")
                assert (await reading.head()).status == 200
                assert b"out\n" in await reading.chunk()
            following = Agent(view())
            following.ended.set()
            async with listening(following, engine.agent_path):
                assert await waiting.chunk() == b'{"StatusCode":3}\n'
                await until(lambda: following.streams == 1)
                (asked,) = (
                    each
                    for each in following.asked
                    if isinstance(each, pb.ReadContainerLogsRequest)
                )
                assert (asked.since, asked.tail) == (1_700_000_001.5, -1)
            async with listening(Agent(), engine.agent_path):
                assert await reading.chunk() == b""  # nothing is told twice
        await engine.close()

    asyncio.run(main())


class Sampler(Agent):
    """Samples a container that has `pids`, once, and then never again."""

    def __init__(self, *views: pb.ContainerView, pids: int = 1) -> None:
        super().__init__(*views)
        self.pids = pids

    async def WatchContainerStats(self, request: Any, context: Any) -> AsyncIterator[Any]:
        found = self.find(request.container)
        yield pb.ContainerStats(id=found.id, at=1.0, is_running=True, pids=self.pids)
        await asyncio.Event().wait()


def test_samples_go_on_with_the_next_agent_until_their_container_is_gone(tmp_path: Path) -> None:
    async def main() -> None:
        engine = Engine(tmp_path)
        engine.listen()
        async with Client(engine.path) as reading:
            async with listening(Sampler(view(), pids=1), engine.agent_path):
                await reading.send("GET", "/v1.47/containers/web/stats")
                assert (await reading.head()).status == 200
                assert json.loads(await reading.chunk())["pids_stats"]["current"] == 1
            async with listening(Sampler(view(), pids=2), engine.agent_path):
                assert json.loads(await reading.chunk())["pids_stats"]["current"] == 2
            async with listening(Sampler(), engine.agent_path):
                assert await reading.chunk() == b""
        await engine.close()

    asyncio.run(main())


def test_an_agent_that_stays_away_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.io.backends.READY_WITHIN_S", 0.1)

    async def main() -> None:
        engine = Engine(tmp_path)
        engine.listen()
        answer = await once(engine.path, "GET", "/containers/json")
        assert answer.status == 503
        assert "this node's agent did not answer" in answer.message
        await engine.close()

    asyncio.run(main())


def test_a_link_is_removed_by_whose_it_is_and_what_it_is_called(tmp_path: Path) -> None:
    linked = view("b" * 64, "db")
    web = view()
    web.spec.links.append("db:store")
    agent = Agent(web, linked)

    async def body(engine: Engine) -> None:
        async with Client(engine.path) as client:
            listed = (await client.ask("GET", "/containers/json")).json
            assert [each["Names"] for each in listed] == [["/web"], ["/db", "/web/store"]]
            assert (await client.ask("DELETE", "/containers/web/store?link=1")).status == 204
            assert (await client.ask("DELETE", "/containers/web?link=1")).status == 400

    run(agent, body, tmp_path)
    assert agent.asked[-1] == pb.UpdateContainerRequest(container="web", unlinked=["store"])
