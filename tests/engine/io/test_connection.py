"""HTTP as clients of all kinds speak it."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from msgspec.json import decode
from structlog.testing import capture_logs

from engine.io import connection as module
from engine.io.dispatch import Dispatch
from engine.io.exchange import Exchange, Handler
from engine.replies import Reply, json, text
from engine.routing import Route
from tests.engine.io.agents import LOG, Agent, Engine, serving, until, view
from tests.engine.io.clients import Client, once


def run(
    body: Callable[[Engine], Awaitable[None]], directory: Path, *routes: Route[Handler]
) -> None:
    """An engine that serves these routes besides its own."""

    async def main() -> None:
        async with serving(Agent(view()), directory) as engine:
            if routes:
                extended = Dispatch(
                    routes, config=engine.dispatch._config, backends=engine.backends, log=LOG
                )
                engine.server._answer = extended.answer
            await body(engine)
            await until(lambda: engine.server.clients == 0)

    asyncio.run(main())


async def raw(path: str, data: bytes, *, end: bool = True) -> bytes:
    """All that an engine says to `data`."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(data)
    if end:
        writer.write_eof()
    found = await asyncio.wait_for(reader.read(), 30)
    writer.close()
    return found


async def echo(ask: Exchange) -> Reply:
    return json({"size": len(await ask.document()), "query": ask.query.text("q")})


async def count(ask: Exchange) -> Reply:
    return json({"size": sum([len(chunk) async for chunk in ask.body()])})


async def pieces(ask: Exchange) -> Reply:
    return json([len(chunk) async for chunk in ask.body()])


async def mirror(ask: Exchange) -> None:
    """Answers while the request is still being sent."""
    await ask.begin(content_type="application/octet-stream")
    async for chunk in ask.body():
        await ask.write(chunk)


async def flood(ask: Exchange) -> None:
    await ask.begin(content_type="application/octet-stream")
    while True:
        await ask.write(b"x" * (1 << 18))


async def fail(ask: Exchange) -> Reply:
    raise ZeroDivisionError("a secret")


async def early(ask: Exchange) -> Reply:
    return text("I have heard enough", status=418)


def test_requests_follow_each_other_on_one_connection(tmp_path: Path) -> None:
    async def body(engine: Engine) -> None:
        async with Client(engine.path) as client:
            for number in range(3):
                answer = await client.ask("POST", f"/v1.41/echo?q={number}", b"x" * number)
                assert answer.json == {"size": number, "query": str(number)}

    run(body, tmp_path, Route("POST", "/echo", echo))


def test_pipelined_requests_are_answered_in_order(tmp_path: Path) -> None:
    async def body(engine: Engine) -> None:
        request = b"POST /echo?q=%d HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
        answers = await raw(engine.path, b"".join(request % number for number in range(20)))
        assert [answers.count(b'"query":"%d"' % number) for number in range(20)] == [1] * 20

    run(body, tmp_path, Route("POST", "/echo", echo))


@pytest.mark.parametrize(
    "request_line",
    [b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n", b"GET http://somewhere/_ping HTTP/1.0\r\n\r\n"],
)
def test_a_client_that_ends_its_direction_is_answered(tmp_path: Path, request_line: bytes) -> None:
    async def body(engine: Engine) -> None:
        assert (await raw(engine.path, request_line)).endswith(b"\r\n\r\nOK")

    run(body, tmp_path)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
        b"garbage\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\nHost: x\r\nX: " + b"a" * (module.HEAD_LIMIT_BYTES + 1),
    ],
)
def test_garbage_is_answered_as_such(
    tmp_path: Path, garbage: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    async def body(engine: Engine) -> None:
        answer = await raw(engine.path, garbage)
        assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 431 ", b"HTTP/1.1 505 ")), answer
        assert b'{"message":"malformed HTTP request' in answer

    run(body, tmp_path)
    assert "Traceback" not in capfd.readouterr().err


def test_broken_chunks_are_the_callers_fault(tmp_path: Path) -> None:
    async def body(engine: Engine) -> None:
        head = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        answer = await raw(engine.path, head + b"zz\r\n")
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"malformed HTTP body" in answer

    run(body, tmp_path, Route("POST", "/echo", echo))


def test_what_a_client_frames_word_by_word_comes_in_few_pieces(tmp_path: Path) -> None:
    async def body(engine: Engine) -> None:
        head = b"POST /pieces HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        whole = await raw(engine.path, head + b"4\r\nword\r\n" * 1000 + b"0\r\n\r\n")
        sizes = decode(whole.rpartition(b"\r\n\r\n")[2])
        assert sum(sizes) == 4000
        assert len(sizes) < 10

        broken = await raw(engine.path, head + b"4\r\nword\r\n" * 2 + b"zz\r\n")
        assert broken.startswith(b"HTTP/1.1 400 ")

    run(body, tmp_path, Route("POST", "/pieces", pieces))


def test_half_a_request_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HEAD_WITHIN_S", 0.05)

    async def body(engine: Engine) -> None:
        answer = await raw(engine.path, b"GET /_ping HT", end=False)
        assert answer.startswith(b"HTTP/1.1 408 ")

    run(body, tmp_path)


def test_a_client_that_wants_leave_to_send_gets_it(tmp_path: Path) -> None:
    async def body(engine: Engine) -> None:
        reader, writer = await asyncio.open_unix_connection(engine.path)
        writer.write(
            b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
        )
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        writer.write(b"abc")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        writer.close()

    run(body, tmp_path, Route("POST", "/echo", echo))


def test_a_client_that_wants_leave_is_refused_without_it(tmp_path: Path) -> None:
    async def body(engine: Engine) -> None:
        answer = await raw(
            engine.path,
            b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n",
            end=False,
        )
        assert answer.startswith(b"HTTP/1.1 404 ")
        assert b"onnection: close" in answer

    run(body, tmp_path)


def test_answers_begin_before_requests_end(tmp_path: Path) -> None:
    async def body(engine: Engine) -> None:
        reader, writer = await asyncio.open_unix_connection(engine.path)
        writer.write(b"POST /mirror HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for text_ in (b"one", b"two", b"three"):
            writer.write(b"%x\r\n%s\r\n" % (len(text_), text_))
            await asyncio.wait_for(reader.readuntil(text_), 30)
        writer.write(b"0\r\n\r\n")
        assert (await asyncio.wait_for(reader.read(), 30)).endswith(b"0\r\n\r\n")
        writer.close()

    run(body, tmp_path, Route("POST", "/mirror", mirror))


def test_an_early_refusal_reaches_a_client_that_goes_on_sending(tmp_path: Path) -> None:
    async def body(engine: Engine) -> None:
        reader, writer = await asyncio.open_unix_connection(engine.path)
        writer.write(b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n")
        for _ in range(100):
            writer.write(b"x" * 1_000_000)
            await writer.drain()
        assert b"I have heard enough" in await asyncio.wait_for(reader.read(), 30)
        writer.close()

    run(body, tmp_path, Route("POST", "/early", early))


def test_a_document_of_any_size_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DOCUMENT_LIMIT_BYTES", 1000)

    async def body(engine: Engine) -> None:
        answer = await once(engine.path, "POST", "/echo", b"x" * 1001)
        assert answer.status == 413
        assert "1000 bytes" in answer.message

    run(body, tmp_path, Route("POST", "/echo", echo))


def test_a_bug_is_logged_and_answered_by_its_number(tmp_path: Path) -> None:
    async def body(engine: Engine) -> None:
        with capture_logs() as logged:
            answer = await once(engine.path, "GET", "/fail")
        assert answer.status == 500
        assert "secret" not in answer.message
        (entry,) = [each for each in logged if each["event"] == "request.failed"]
        assert entry["error_id"] in answer.message
        assert entry["exc_info"]

    run(body, tmp_path, Route("GET", "/fail", fail))


@pytest.mark.parametrize(
    ("target", "status", "message"),
    [
        (
            "/v1.48/_ping", 400,
            "client version 1.48 is too new. Maximum supported API version is 1.47",
        ),
        (
            "/v1.11/_ping", 400,
            "client version 1.11 is too old. Minimum supported API version is 1.12, please upgrade "
            "your client to a newer version",
        ),
        ("/v1.41/nothing", 404, "page not found"),
        ("/v9.9/nothing", 404, "page not found"),
        ("//nothing", 404, "page not found"),
    ],
)  # fmt: skip
def test_versions_and_pages_that_there_are_not(
    tmp_path: Path, target: str, status: int, message: str
) -> None:
    async def body(engine: Engine) -> None:
        answer = await once(engine.path, "GET", target)
        assert (answer.status, answer.message) == (status, message)

    run(body, tmp_path)


def test_a_path_that_could_be_shorter_leads_to_where_it_means(tmp_path: Path) -> None:
    async def body(engine: Engine) -> None:
        for target, meant in (
            ("//_ping", "/_ping"),
            ("/v1.41//_ping?a=%2F&b", "/v1.41/_ping?a=%2F&b"),
            ("/containers/../_ping", "/_ping"),
            ("/%0d%0aX/..//_ping", "/_ping"),
        ):
            answer = await once(engine.path, "GET", target)
            assert (answer.status, answer.headers["location"], answer.body) == (301, meant, b"")
        answer = await once(engine.path, "GET", "/_ping/")
        assert answer.status == 404

    run(body, tmp_path)


def test_a_client_that_vanishes_ends_what_was_done_for_it(tmp_path: Path) -> None:
    async def body(engine: Engine) -> None:
        for _ in range(5):
            async with Client(engine.path) as client:
                await client.send("GET", "/flood")
                await client.head()
                await client.chunk()

    run(body, tmp_path, Route("GET", "/flood", flood))


async def speak(ask: Exchange) -> None:
    """Becomes a raw stream, and has something to say at once."""
    pipe = await ask.take_over(content_type="application/octet-stream")
    await pipe.write(b"at once")
    await pipe.end()


@pytest.mark.parametrize("delay_s", [0.0, 0.02])
def test_what_a_raw_stream_says_does_not_come_with_its_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, delay_s: float
) -> None:
    """A client that reads heads into a buffer, and then the bare socket, misses nothing."""
    monkeypatch.setattr(module, "TAKEN_WITHIN_S", 60.0)

    async def body(engine: Engine) -> None:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_UNIX) as client:
            client.setblocking(False)
            await loop.sock_connect(client, engine.path)
            await loop.sock_sendall(client, b"POST /speak HTTP/1.1\r\nHost: x\r\n\r\n")
            await asyncio.sleep(delay_s)

            head = await loop.sock_recv(client, 8192)
            rest = await loop.sock_recv(client, 8192)

            assert head.endswith(b"\r\n\r\n")
            assert rest == b"at once"

    run(body, tmp_path, Route("POST", "/speak", speak))


def test_a_client_that_does_not_read_the_head_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TAKEN_WITHIN_S", 0.01)
    said = asyncio.Event()

    async def speak_and_tell(ask: Exchange) -> None:
        await speak(ask)
        said.set()

    async def body(engine: Engine) -> None:
        _, writer = await asyncio.open_unix_connection(engine.path, limit=1)
        writer.transport.pause_reading()
        writer.write(b"POST /speak HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.wait_for(said.wait(), 30)
        writer.close()

    run(body, tmp_path, Route("POST", "/speak", speak_and_tell))


def test_bodies_are_moved_fast_and_not_kept(tmp_path: Path) -> None:
    """Two hundred megabytes each way; what is measured elsewhere is only bounded here."""

    async def body(engine: Engine) -> None:
        reader, writer = await asyncio.open_unix_connection(engine.path)
        size = 200 << 20
        writer.write(b"POST /count HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size)
        before = _resident_bytes()
        for _ in range(size >> 20):
            writer.write(bytes(1 << 20))
            await writer.drain()
        assert b'{"size":%d}' % size in await asyncio.wait_for(reader.readuntil(b"}"), 60)
        assert _resident_bytes() - before < 64 << 20
        writer.close()

    run(body, tmp_path, Route("POST", "/count", count))


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
