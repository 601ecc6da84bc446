"""Errors cross a real gRPC connection in every kind of call."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import grpc
import grpc.aio
import pytest
import structlog

from swarm.errors import (
    Broken,
    Conflict,
    Invalid,
    KernelRefused,
    Missing,
    Refused,
    SwarmError,
    Unavailable,
)
from swarm.io.rpc import ErrorInterceptor, RoleInterceptor, abort, failure, status_of
from swarm.specs import Role
from tests.trust import Swarm

ERRORS = [
    Invalid("2 problems", hint="fix them", problems=("name: is empty", "image: is empty")),
    Missing("no service web", hint="see `swarmctl service ls`"),
    Refused("node n1 is active", hint="drain it first"),
    Broken("internal error 1f", hint="look into the log"),
    Conflict("service web changed", hint="look again"),
    Unavailable("no leader", hint="wait"),
    KernelRefused("mount /proc", 13, "permission denied", hint="run as root"),
]
KINDS = ["unary_unary", "unary_stream", "stream_unary", "stream_stream"]


class Echo(grpc.GenericRpcHandler):
    """One method in each of the four kinds; all do what `behaviour` does."""

    def __init__(self, behaviour: Callable[[grpc.aio.ServicerContext], Awaitable[None]]) -> None:
        self.behaviour = behaviour
        self.closed = asyncio.Event()

    def service(self, handler_call_details):
        kind = handler_call_details.method.rpartition("/")[2]
        if kind not in KINDS:
            return None
        make = getattr(grpc, f"{kind}_rpc_method_handler")
        return make(self._stream if kind.endswith("_stream") else self._single)

    async def _single(self, request, context) -> bytes:
        if not isinstance(request, bytes):
            request = b"".join([each async for each in request])
        await self.behaviour(context)
        return request

    async def _stream(self, request, context) -> AsyncIterator[bytes]:
        try:
            yield b"first"
            await self.behaviour(context)
            yield b"last"
        finally:
            self.closed.set()


@asynccontextmanager
async def _serving(behaviour, *interceptors, log=None):
    echo = Echo(behaviour)
    errors = ErrorInterceptor(log or structlog.get_logger())
    server = grpc.aio.server(handlers=[echo], interceptors=[errors, *interceptors])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel, echo
    finally:
        await server.stop(0)


async def _call(channel: grpc.aio.Channel, kind: str) -> list[bytes]:
    method = getattr(channel, kind)(f"/swarm.test.Echo/{kind}")
    sent = iter([b"x"]) if kind.startswith("stream_") else b"x"
    call = method(sent, timeout=10)
    if kind.endswith("_stream"):
        return [each async for each in call]
    return [await call]


async def _refused(channel: grpc.aio.Channel, kind: str) -> grpc.aio.AioRpcError:
    """How a call fails. gRPC's client forgets it when the call ends while it still sends."""
    while True:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await _call(channel, kind)
        if caught.value.details() != "Internal error from Core":
            return caught.value


def _caught(kind: str, behaviour, *interceptors, log=None) -> grpc.aio.AioRpcError:
    async def main() -> grpc.aio.AioRpcError:
        async with _serving(behaviour, *interceptors, log=log) as (channel, _):
            return await _refused(channel, kind)

    return asyncio.run(main())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_arrives_as_it_was_raised(kind: str, error: SwarmError) -> None:
    async def behaviour(context) -> None:
        raise error

    caught = _caught(kind, behaviour)
    restored = failure(caught)

    assert caught.code() is status_of(error)
    assert type(restored) is type(error)
    assert vars(restored) == vars(error)


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_passes_a_relay_unchanged(kind: str) -> None:
    """A follower asks the leader and lets its refusal fall through."""
    error = ERRORS[0]

    async def leader(context) -> None:
        raise error

    async def main() -> grpc.aio.AioRpcError:
        async with _serving(leader) as (to_leader, _):

            async def follower(context) -> None:
                await _call(to_leader, "unary_unary")

            async with _serving(follower) as (channel, _):
                return await _refused(channel, kind)

    assert vars(failure(asyncio.run(main()))) == vars(error)


@pytest.mark.parametrize("kind", KINDS)
def test_a_bug_shows_the_caller_an_id_and_the_log_everything(kind: str) -> None:
    async def behaviour(context) -> None:
        logs.clear()  # of a call whose answer was forgotten
        raise ZeroDivisionError("password=hunter2")

    with structlog.testing.capture_logs() as logs:
        caught = _caught(kind, behaviour)

    (entry,) = logs
    assert caught.code() is grpc.StatusCode.INTERNAL
    assert entry["error_id"] in (caught.details() or "")
    assert "hunter2" not in str(caught)
    assert (entry["event"], entry["method"]) == ("call.failed", f"/swarm.test.Echo/{kind}")
    assert entry["exc_info"]
    restored = failure(caught)
    assert isinstance(restored, Broken)
    assert entry["error_id"] in restored.message


@pytest.mark.parametrize("kind", KINDS)
def test_calls_that_go_well_are_left_alone(kind: str) -> None:
    async def behaviour(context) -> None:
        return None

    async def main() -> list[bytes]:
        async with _serving(behaviour) as (channel, _):
            return await _call(channel, kind)

    expected = [b"first", b"last"] if kind.endswith("_stream") else [b"x"]
    assert asyncio.run(main()) == expected


def test_a_handlers_own_abort_is_left_alone() -> None:
    async def behaviour(context) -> None:
        await abort(context, Missing("no task t1"), code=grpc.StatusCode.OUT_OF_RANGE)

    caught = _caught("unary_unary", behaviour)

    assert caught.code() is grpc.StatusCode.OUT_OF_RANGE
    assert isinstance(failure(caught), Missing)


def test_a_stream_that_writes_through_its_context_works_too() -> None:
    class Writing(Echo):
        async def _stream(self, request, context) -> None:
            await context.write(b"written")
            raise Missing("the rest")

    async def main() -> None:
        server = grpc.aio.server(
            handlers=[Writing(lambda context: None)],
            interceptors=[ErrorInterceptor(structlog.get_logger())],
        )
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = channel.unary_stream("/swarm.test.Echo/unary_stream")(b"x", timeout=10)
            assert await call.read() == b"written"
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call.read()
            assert isinstance(failure(caught.value), Missing)
        await server.stop(0)

    asyncio.run(main())


def test_a_caller_that_goes_away_ends_the_handler_at_once() -> None:
    async def behaviour(context) -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        async with _serving(behaviour) as (channel, echo):
            call = channel.unary_stream("/swarm.test.Echo/unary_stream")(b"x")
            assert await call.read() == b"first"
            call.cancel()
            await asyncio.wait_for(echo.closed.wait(), 10)

    asyncio.run(main())


async def _nothing(context) -> None:
    """A handler that nobody reaches."""


def _gate() -> RoleInterceptor:
    """Lets nobody in."""
    swarm = Swarm(1_800_000_000.0)
    return RoleInterceptor(
        access={},
        anchors=lambda: swarm.anchors,
        role_of=lambda node_id: Role.MANAGER,
        now=lambda: swarm.now,
    )


@pytest.mark.parametrize("kind", ["stream_unary", "stream_stream"])
def test_a_refused_stream_knows_why_even_if_it_has_much_to_say(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """gRPC's client forgets how a call ended under a message that it is sending."""
    monkeypatch.setattr("swarm.io.rpc.HEARD_WITHIN_S", 60.0)

    async def main() -> None:
        async with _serving(_nothing, _gate()) as (channel, _):
            for _ in range(20):
                call = getattr(channel, kind)(f"/swarm.test.Echo/{kind}")(timeout=10)
                await call.write(bytes(1 << 20))
                assert await call.code() is grpc.StatusCode.PERMISSION_DENIED

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["stream_unary", "stream_stream"])
def test_a_refused_stream_that_says_nothing_is_not_waited_for(kind: str) -> None:
    async def main() -> None:
        async with _serving(_nothing, _gate()) as (channel, _):
            call = getattr(channel, kind)(f"/swarm.test.Echo/{kind}")(timeout=10)
            assert await call.code() is grpc.StatusCode.PERMISSION_DENIED

    asyncio.run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_a_caller_without_a_certificate_reaches_no_handler(kind: str) -> None:
    swarm, reached = Swarm(1_800_000_000.0), []

    async def behaviour(context) -> None:
        reached.append(context)

    roles = RoleInterceptor(
        access={},
        anchors=lambda: swarm.anchors,
        role_of=lambda node_id: Role.MANAGER,
        now=lambda: swarm.now,
    )

    caught = _caught(kind, behaviour, roles)

    assert caught.code() is grpc.StatusCode.PERMISSION_DENIED
    assert "no certificate" in failure(caught).message
    assert not reached


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, Invalid),
        (grpc.StatusCode.NOT_FOUND, Missing),
        (grpc.StatusCode.PERMISSION_DENIED, Refused),
        (grpc.StatusCode.UNAUTHENTICATED, Refused),
        (grpc.StatusCode.ABORTED, Conflict),
        (grpc.StatusCode.UNAVAILABLE, Unavailable),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, Refused),
        (grpc.StatusCode.UNKNOWN, Broken),
    ],
)
def test_a_status_without_our_detail_says_whose_move_it_is(code, kind) -> None:
    restored = failure(grpc.aio.AioRpcError(code, (), (), details="because"))

    assert type(restored) is kind
    assert restored.message == "because"


def test_silence_is_unavailable_and_unknown_calls_hint_at_the_version() -> None:
    async def behaviour(context) -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        async with _serving(behaviour) as (channel, _):
            with pytest.raises(grpc.aio.AioRpcError) as silent:
                await channel.unary_unary("/swarm.test.Echo/unary_unary")(b"x", timeout=0.05)
            with pytest.raises(grpc.aio.AioRpcError) as unknown:
                await channel.unary_unary("/swarm.test.Echo/other")(b"x", timeout=10)
        assert isinstance(failure(silent.value), Unavailable)
        assert isinstance(failure(unknown.value), Refused)
        assert "one version" in failure(unknown.value).hint

    asyncio.run(main())


def test_a_manager_that_does_not_know_yet_says_so() -> None:
    """A manager that has just started must not tell a living node that it was removed."""
    import time

    from swarm.api.v1 import dispatch_pb2, dispatch_pb2_grpc
    from swarm.io.tls import channel
    from tests.trust import serving

    swarm = Swarm(time.time())

    class Blank(dict):
        def get(self, node_id):
            raise Unavailable("this manager is still reading the cluster")

    swarm.roles = Blank()

    async def main() -> SwarmError:
        async with (
            serving(swarm) as (address, _),
            channel(address, swarm.node(), dial_s=10.0) as dialled,
        ):
            session = dispatch_pb2_grpc.DispatcherStub(dialled).Session()

            async def talk() -> None:
                await session.write(dispatch_pb2.AgentMessage())  # or the refusal came first
                await session.read()

            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await talk()
            return failure(caught.value)

    error = asyncio.run(main())

    assert isinstance(error, Unavailable)
    assert error.message == "this manager is still reading the cluster"
