"""Connections that become raw streams: programs that are joined and run, and clients who leave."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from engine.websocket import Opcode
from swarm.api.v1 import control_pb2
from swarm.errors import KernelRefused
from tests.engine.io.agents import Agent, Engine, listening, serving, until, view
from tests.engine.io.clients import Client, once

FRAME = b"\x01\0\0\0\0\0\0\x06hello\n"


def run(agent: Agent, body: Callable[[Engine], Awaitable[None]], directory: Path) -> None:
    """What runs has to end with its clients, to the last task and descriptor."""

    async def main() -> None:
        async with serving(agent, directory) as engine:
            await once(engine.path, "GET", "/containers/json")
            tasks, descriptors = len(asyncio.all_tasks()), open_descriptors()
            await body(engine)
            await until(lambda: engine.server.clients == 0)
            await until(lambda: agent.streams == 0)
            await until(lambda: len(asyncio.all_tasks()) <= tasks)
            await until(lambda: open_descriptors() <= descriptors)

    asyncio.run(main())


def interactive(name: str = "web", *, tty: bool = False, once_: bool = True) -> Agent:
    """A container that reads input."""
    found = view(name=name)
    found.spec.container.open_stdin = True
    found.spec.container.tty = tty
    found.spec.stdin_once = once_
    return Agent(found)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


ATTACH = "/v1.47/containers/web/attach?stream=1&stdin=1&stdout=1&stderr=1"


def test_a_client_that_asks_for_it_gets_101_and_others_200(tmp_path: Path) -> None:
    agent = Agent(view())

    async def body(engine: Engine) -> None:
        async with Client(engine.path) as client:
            head = await client.upgrade(ATTACH)
            assert head.status == 101
            assert head.headers["upgrade"] == "tcp"
            assert head.headers["content-type"] == "application/vnd.docker.multiplexed-stream"
            rest = await client.reader.readexactly(14 - len(client.early()))
            assert client.early() + rest == FRAME
        async with Client(engine.path) as client:
            await client.send("POST", ATTACH.replace("1.47", "1.41"))
            head = await client.head()
            assert head.status == 200
            assert head.headers["content-type"] == "application/vnd.docker.raw-stream"
            assert "transfer-encoding" not in head.headers
            assert await client.chunk() == FRAME
        agent.ended.set()

    run(agent, body, tmp_path)


def test_what_cannot_be_joined_is_refused_before_http_is_left(tmp_path: Path) -> None:
    paused = view("b" * 64, "paused", state=2)

    async def body(engine: Engine) -> None:
        async with Client(engine.path) as client:
            assert (await client.upgrade(ATTACH.replace("web", "gone"))).status == 404
        async with Client(engine.path) as client:
            assert (await client.upgrade(ATTACH.replace("web", "paused"))).status == 409
        async with Client(engine.path) as client:
            assert (await client.upgrade(f"{ATTACH}&detachKeys=ctrl-%24")).status == 400

    run(Agent(view(), paused), body, tmp_path)


def test_input_ends_while_output_goes_on(tmp_path: Path) -> None:
    async def body(engine: Engine) -> None:
        async with Client(engine.path) as client:
            await client.upgrade(ATTACH)
            client.writer.write(b"some input")
            client.writer.write_eof()
            found = client.early() + await asyncio.wait_for(client.reader.read(), 30)
            assert found == b"\x01\0\0\0\0\0\0\x0asome input\x02\0\0\0\0\0\0\x03end"

    run(interactive(), body, tmp_path)


def test_bytes_that_come_with_the_request_are_input(tmp_path: Path) -> None:
    async def body(engine: Engine) -> None:
        reader, writer = await asyncio.open_unix_connection(engine.path)
        writer.write(
            b"POST %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nearly"
            % ATTACH.encode()
        )
        await asyncio.wait_for(reader.readuntil(b"early"), 30)
        writer.close()

    run(interactive(), body, tmp_path)


def test_keys_detach_a_terminal_and_leave_the_program(tmp_path: Path) -> None:
    agent = interactive(tty=True)

    async def body(engine: Engine) -> None:
        async with Client(engine.path) as client:
            await client.upgrade(f"{ATTACH}&detachKeys=ctrl-a,x")
            client.writer.write(b"one\x01y\x01")
            assert await asyncio.wait_for(client.reader.readexactly(5), 30) == b"one\x01y"
            client.writer.write(b"x")
            assert await asyncio.wait_for(client.reader.read(), 30) == b""

    run(agent, body, tmp_path)
    assert agent.asked[-1] == control_pb2.StreamInput(detach=control_pb2.Detach())


def test_clients_that_vanish_end_their_view(tmp_path: Path) -> None:
    """Before anything was sent, while the program is silent, and while it floods them."""

    async def body(engine: Engine) -> None:
        async with Client(engine.path) as client:
            await client.upgrade(ATTACH.replace("stdin=1", "stdin=0"))
            await client.reader.readexactly(14 - len(client.early()))
        for kind in range(3):
            async with Client(engine.path) as client:
                if kind == 0:
                    await client.send("POST", ATTACH, Connection="Upgrade", Upgrade="tcp")
                    continue
                await client.upgrade(ATTACH)
                if kind == 1:
                    continue
                for _ in range(20):
                    client.writer.write(b"x" * 100_000)

    run(interactive(), body, tmp_path)


def test_an_agent_that_dies_ends_the_stream(tmp_path: Path) -> None:
    agent = interactive()

    async def main() -> None:
        engine = Engine(tmp_path)
        engine.listen()
        async with Client(engine.path) as client:
            async with listening(agent, engine.agent_path):
                await client.upgrade(ATTACH)
                client.writer.write(b"x")
                await client.reader.readexactly(9)
            assert await asyncio.wait_for(client.reader.read(), 30) == b""
        await until(lambda: engine.server.clients == 0)
        await engine.close()

    asyncio.run(main())


def test_two_hundred_streams_at_once(tmp_path: Path) -> None:
    async def one(engine: Engine, number: int) -> None:
        async with Client(engine.path) as client:
            await client.upgrade(ATTACH)
            data = b"%d," % number * 20_000
            client.writer.write(data)
            client.writer.write_eof()
            found, size = bytearray(client.early()), 0
            found += await asyncio.wait_for(client.reader.read(), 60)
            output = bytearray()
            while found:
                size = int.from_bytes(found[4:8])
                if found[0] == 1:
                    output += found[8 : 8 + size]
                del found[: 8 + size]
            assert output == data

    async def body(engine: Engine) -> None:
        await asyncio.gather(*(one(engine, number) for number in range(200)))

    run(interactive(), body, tmp_path)


async def described(engine: Engine, **asked: object) -> str:
    body = {"Cmd": ["cat"], "AttachStdout": True, "AttachStderr": True} | asked
    answer = await once(engine.path, "POST", "/containers/web/exec", body)
    assert answer.status == 201
    found: str = answer.json["Id"]
    return found


def test_a_program_is_described_run_and_looked_at(tmp_path: Path) -> None:
    agent = Agent(view())

    async def body(engine: Engine) -> None:
        exec_id = await described(engine, User="me", Env=["A=1"], WorkingDir="/tmp")
        inspection = await once(engine.path, "GET", f"/exec/{exec_id}/json")
        assert inspection.json["Running"] is False
        assert inspection.json["ExitCode"] is None
        async with Client(engine.path) as client:
            await client.upgrade(f"/exec/{exec_id}/start", {"Detach": False})
            assert client.early() + await client.reader.readexactly(14 - len(client.early())) == (
                FRAME
            )
            during = (await once(engine.path, "GET", f"/exec/{exec_id}/json")).json
            assert (during["Running"], during["Pid"]) == (True, 42)
            shown = (await once(engine.path, "GET", "/containers/web/json")).json
            assert shown["ExecIDs"] == [exec_id]
            again = await once(engine.path, "POST", f"/exec/{exec_id}/start", {})
            assert again.status == 409
            agent.ended.set()
            assert await asyncio.wait_for(client.reader.read(), 30) == b""
            after = (await once(engine.path, "GET", f"/exec/{exec_id}/json")).json
            assert (after["Running"], after["ExitCode"]) == (False, 7)

    run(agent, body, tmp_path)
    start = next(each.exec for each in agent.asked if isinstance(each, control_pb2.StreamInput))
    assert (start.user, list(start.env), start.workdir) == ("me", ["A=1"], "/tmp")
    assert start.outlives


def test_a_program_goes_on_when_its_client_leaves(tmp_path: Path) -> None:
    agent = Agent(view())

    async def body(engine: Engine) -> None:
        exec_id = await described(engine)
        async with Client(engine.path) as client:
            await client.upgrade(f"/exec/{exec_id}/start", {})
            await until(lambda: agent.streams == 1)
        await until(lambda: engine.server.clients == 0)
        assert (await once(engine.path, "GET", f"/exec/{exec_id}/json")).json["Running"]
        agent.ended.set()
        await until(lambda: engine.dispatch._execs.get(exec_id).exit_code is not None)
        after = (await once(engine.path, "GET", f"/exec/{exec_id}/json")).json
        assert (after["Running"], after["ExitCode"]) == (False, 7)

    run(agent, body, tmp_path)


def test_a_detached_program_is_not_waited_for(tmp_path: Path) -> None:
    agent = Agent(view())

    async def body(engine: Engine) -> None:
        exec_id = await described(engine)
        started = await once(engine.path, "POST", f"/exec/{exec_id}/start", {"Detach": True})
        assert started.status == 200
        assert (await once(engine.path, "GET", f"/exec/{exec_id}/json")).json["Running"]
        agent.ended.set()

    run(agent, body, tmp_path)


def test_a_program_that_cannot_run_says_why_where_it_would_have_written(tmp_path: Path) -> None:
    agent = Agent(view())

    def fail(_: object) -> None:
        raise KernelRefused("exec", 2, "executable file not found in $PATH")

    agent.answers["exec"] = fail

    async def body(engine: Engine) -> None:
        exec_id = await described(engine)
        async with Client(engine.path) as client:
            await client.upgrade(f"/exec/{exec_id}/start", {})
            found = client.early() + await asyncio.wait_for(client.reader.read(), 30)
            assert b"executable file not found in $PATH\r\n" in found
        after = (await once(engine.path, "GET", f"/exec/{exec_id}/json")).json
        assert (after["Running"], after["ExitCode"]) == (False, 127)
        other = await described(engine)
        refused = await once(engine.path, "POST", f"/exec/{other}/start", {"Detach": True})
        assert refused.status == 400

    run(agent, body, tmp_path)


def test_sizes_reach_a_programs_terminal(tmp_path: Path) -> None:
    async def body(engine: Engine) -> None:
        exec_id = await described(engine, Tty=True, AttachStdin=True)
        target = f"/exec/{exec_id}/resize"
        assert (await once(engine.path, "POST", f"{target}?h=10&w=20")).status == 200
        async with Client(engine.path) as client:
            await client.upgrade(f"/exec/{exec_id}/start", {"Tty": True})
            await asyncio.wait_for(client.reader.readuntil(b"10x20"), 30)
            await once(engine.path, "POST", f"{target}?h=11&w=22")
            await asyncio.wait_for(client.reader.readuntil(b"11x22"), 30)
            client.writer.write_eof()
            await asyncio.wait_for(client.reader.readuntil(b"end"), 30)
        assert (await once(engine.path, "POST", f"{target}?h=x&w=20")).status == 400

    run(interactive(), body, tmp_path)


def test_a_websocket_is_a_raw_stream_too(tmp_path: Path) -> None:
    async def body(engine: Engine) -> None:
        key = base64.b64encode(bytes(16)).decode()
        async with Client(engine.path) as client:
            await client.send(
                "GET", "/containers/web/attach/ws?stream=1&stdin=1&stdout=1",
                Connection="Upgrade", Upgrade="websocket", Sec_WebSocket_Key=key,
                Sec_WebSocket_Version="13",
            )  # fmt: skip
            head = await client.head()
            assert head.status == 101
            assert head.headers["sec-websocket-accept"] == "ICX+Yqv66kxgM0FcWaLWlFLwTAI="
            mask = b"abcd"
            payload = bytes(a ^ b for a, b in zip(b"hello", b"abcda", strict=True))
            client.writer.write(bytes((0x80 | Opcode.BINARY, 0x85)) + mask + payload)
            assert await asyncio.wait_for(client.reader.readexactly(7), 30) == b"\x82\x05hello"
            client.writer.write(bytes((0x80 | Opcode.CLOSE, 0x80)) + mask)
            rest = await asyncio.wait_for(client.reader.read(), 30)
            assert rest.endswith(b"\x88\x02\x03\xe8")
        async with Client(engine.path) as client:
            await client.send("GET", "/containers/web/attach/ws?stream=1")
            assert (await client.head()).status == 400

    run(interactive(), body, tmp_path)


@pytest.mark.parametrize("end", [True, False])
def test_a_hundred_megabytes_through_a_program(tmp_path: Path, end: bool) -> None:
    async def body(engine: Engine) -> None:
        size = 100 << 20
        async with Client(engine.path) as client:
            await client.upgrade(ATTACH)

            async def write() -> None:
                for _ in range(size >> 20):
                    client.writer.write(bytes(1 << 20))
                    await client.writer.drain()
                if end:
                    client.writer.write_eof()

            writing = asyncio.ensure_future(write())
            got = 0
            while got < size:
                header = await asyncio.wait_for(client.reader.readexactly(8), 60)
                got += len(await client.reader.readexactly(int.from_bytes(header[4:])))
            await writing

    run(interactive(), body, tmp_path)
