"""The relay between a client and a server that it does not know."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import grpc
import grpc.aio
import pytest

from swarm.api.v1 import (
    builds_pb2,
    containers_pb2,
    control_pb2,
    images_pb2,
    localnetworks_pb2,
    volumes_pb2,
)
from swarm.errors import Missing, SwarmError, Unavailable
from swarm.io.log import configure
from swarm.io.rpc import ErrorInterceptor, failure
from swarmd.io.relay import Relay, _is_repeatable, _sends_much

LOG = configure("test")


async def echo(request: bytes, context: object) -> bytes:
    return request


async def count(request: bytes, context: object) -> AsyncIterator[bytes]:
    for number in range(int(request)):
        yield str(number).encode()


async def concatenate(requests: AsyncIterator[bytes], context: object) -> bytes:
    return b"".join([each async for each in requests])


async def answer_each(
    requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[bytes, bytes]
) -> AsyncIterator[bytes]:
    async for each in requests:
        yield each


async def refuse(request: bytes, context: object) -> bytes:
    raise Missing("no such thing", hint="look elsewhere")


def target() -> grpc.GenericRpcHandler:
    return grpc.method_handlers_generic_handler(
        "swarm.api.v1.Control",
        {
            "Echo": grpc.unary_unary_rpc_method_handler(echo),
            "Count": grpc.unary_stream_rpc_method_handler(count),
            "Concatenate": grpc.stream_unary_rpc_method_handler(concatenate),
            "Exec": grpc.stream_stream_rpc_method_handler(answer_each),
            "Refuse": grpc.unary_unary_rpc_method_handler(refuse),
        },
    )


async def serve(path: Path, handler: grpc.GenericRpcHandler) -> grpc.aio.Server:
    server = grpc.aio.server(interceptors=(ErrorInterceptor(LOG),))
    server.add_generic_rpc_handlers((handler,))
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    return server


def relayed(tmp_path: Path, story: Callable[[grpc.aio.Channel], Awaitable[None]]) -> None:
    async def run() -> None:
        behind = grpc.aio.insecure_channel(f"unix:{tmp_path}/behind.sock")

        async def dial() -> grpc.aio.Channel:
            return behind

        servers = [
            await serve(tmp_path / "behind.sock", target()),
            await serve(tmp_path / "front.sock", Relay({"swarm.api.v1.Control": dial})),
        ]
        try:
            async with grpc.aio.insecure_channel(f"unix:{tmp_path}/front.sock") as channel:
                await story(channel)
        finally:
            await behind.close()
            for server in servers:
                await server.stop(None)

    asyncio.run(run())


def test_every_kind_of_call_is_passed_on(tmp_path: Path) -> None:
    async def story(channel: grpc.aio.Channel) -> None:
        async def three() -> AsyncIterator[bytes]:
            for part in (b"a", b"b", b"c"):
                yield part

        one = await channel.unary_unary("/swarm.api.v1.Control/Echo")(b"hello")
        many = [x async for x in channel.unary_stream("/swarm.api.v1.Control/Count")(b"3")]
        joined = await channel.stream_unary("/swarm.api.v1.Control/Concatenate")(three())

        assert (one, many, joined) == (b"hello", [b"0", b"1", b"2"], b"abc")

    relayed(tmp_path, story)


def test_a_conversation_is_passed_on_message_by_message(tmp_path: Path) -> None:
    """Each word is answered before the next one is said."""

    async def story(channel: grpc.aio.Channel) -> None:
        call = channel.stream_stream("/swarm.api.v1.Control/Exec")()
        for word in (b"hello", b"again"):
            await call.write(word)
            assert await asyncio.wait_for(call.read(), 30) == word
        await call.done_writing()
        assert await asyncio.wait_for(call.read(), 30) is grpc.aio.EOF

    relayed(tmp_path, story)


def test_an_error_arrives_whole(tmp_path: Path) -> None:
    async def story(channel: grpc.aio.Channel) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/swarm.api.v1.Control/Refuse")(b"")

        error = failure(caught.value)
        assert isinstance(error, Missing)
        assert (error.message, error.hint) == ("no such thing", "look elsewhere")

    relayed(tmp_path, story)


def test_a_service_without_a_route_is_unknown(tmp_path: Path) -> None:
    async def story(channel: grpc.aio.Channel) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/swarm.api.v1.Other/Echo")(b"")

        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED

    relayed(tmp_path, story)


def test_what_the_route_says_no_with_is_the_answer(tmp_path: Path) -> None:
    async def dial() -> grpc.aio.Channel:
        raise Unavailable("nobody is there", hint="wait")

    async def run() -> SwarmError:
        server = await serve(tmp_path / "front.sock", Relay({"swarm.api.v1.Control": dial}))
        try:
            async with grpc.aio.insecure_channel(f"unix:{tmp_path}/front.sock") as channel:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await channel.unary_unary("/swarm.api.v1.Control/Echo")(b"")
        finally:
            await server.stop(None)
        return failure(caught.value)

    error = asyncio.run(run())

    assert isinstance(error, Unavailable)
    assert (error.message, error.hint) == ("nobody is there", "wait")


def flaky(answered: list[str]) -> grpc.GenericRpcHandler:
    """Goes away under its first call, without a word of ours; answers the second."""

    async def once(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        answered.append("asked")
        if len(answered) == 1:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "Cancelling all calls")
        return request

    handler = grpc.unary_unary_rpc_method_handler(once)
    methods = {"ListServices": handler, "CreateService": handler}
    return grpc.method_handlers_generic_handler("swarm.api.v1.Control", methods)


async def ask_flaky(tmp_path: Path, method: str) -> tuple[bytes | SwarmError, int]:
    answered: list[str] = []
    behind = grpc.aio.insecure_channel(f"unix:{tmp_path}/behind.sock")

    async def dial() -> grpc.aio.Channel:
        return behind

    servers = [
        await serve(tmp_path / "behind.sock", flaky(answered)),
        await serve(tmp_path / "front.sock", Relay({"swarm.api.v1.Control": dial})),
    ]
    try:
        async with grpc.aio.insecure_channel(f"unix:{tmp_path}/front.sock") as channel:
            return await channel.unary_unary(f"/swarm.api.v1.Control/{method}")(b"x"), len(answered)
    except grpc.aio.AioRpcError as err:
        return failure(err), len(answered)
    finally:
        await behind.close()
        for server in servers:
            await server.stop(None)


def test_a_call_that_only_reads_is_asked_again(tmp_path: Path) -> None:
    assert asyncio.run(ask_flaky(tmp_path, "ListServices")) == (b"x", 2)


def test_a_call_that_writes_is_never_asked_again(tmp_path: Path) -> None:
    answer, times = asyncio.run(ask_flaky(tmp_path, "CreateService"))

    assert isinstance(answer, Unavailable)
    assert "CreateService went away" in answer.message
    assert times == 1


RELAYED = [
    (f"/{service.full_name}/{method.name}", method.client_streaming)
    for module in (
        control_pb2,
        images_pb2,
        volumes_pb2,
        containers_pb2,
        localnetworks_pb2,
        builds_pb2,
    )
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]


@pytest.mark.parametrize(("method", "streams"), RELAYED)
def test_what_callers_go_on_saying_is_passed_on_as_it_comes(method: str, streams: bool) -> None:
    """Collected first, a conversation would never begin, and an image would fill the memory."""
    assert _sends_much(method) is streams


@pytest.mark.parametrize(
    "method",
    [
        "CreateContainer",
        "StartContainer",
        "WaitContainer",
        "KillContainer",
        "PruneContainers",
        "CommitContainer",
        "ExportContainer",
        "ResizeContainer",
        "RenameContainer",
        "PullImage",
        "PushImage",
        "PruneBuildCache",
        "Attach",
    ],
)
def test_what_does_something_is_done_once(method: str) -> None:
    assert not _is_repeatable(f"/swarm.api.v1.Containers/{method}")
