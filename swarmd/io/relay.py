"""Pass calls on, message by message, without looking inside.

swarmctl speaks to one socket. What belongs to the cluster goes to a manager with this
node's certificate; what belongs to this host goes to the agent. On the wire every
kind of call is a stream of messages, so one handler relays them all, with deadline, status
and trailing metadata unchanged. A call that only reads and was not answered yet is asked a
second time when a manager goes away under it: what is behind us may be restarting.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import grpc
import grpc.aio

from swarm import faults
from swarm.errors import SwarmError, Unavailable
from swarm.io.rpc import FORGOTTEN, abort

Dial = Callable[[], Awaitable[grpc.aio.Channel]]

READY_WITHIN_S = 10.0
_ATTEMPTS = 3


class Relay(grpc.GenericRpcHandler):
    """Answers every method of `routes`' services by asking the channel that it names.

    A route is tried for `READY_WITHIN_S` before it counts as gone: what is behind it may be
    starting again this second.
    """

    def __init__(self, routes: dict[str, Dial]) -> None:
        self._routes = routes

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        method = handler_call_details.method
        dial = self._routes.get(method.rpartition("/")[0].lstrip("/"))
        if dial is None:
            return None

        async def relay(
            requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[bytes, bytes]
        ) -> AsyncIterator[bytes]:
            async for each in _pass_on(method, dial, requests, context):
                yield each

        return grpc.stream_stream_rpc_method_handler(relay)


async def _pass_on(
    method: str,
    dial: Dial,
    requests: AsyncIterator[bytes],
    context: grpc.aio.ServicerContext[bytes, bytes],
) -> AsyncIterator[bytes]:
    """Relay one call; ask again, while nothing was answered, where that is harmless."""
    asked = [requests]
    if not _sends_much(method):
        only = [request async for request in requests]
        asked = [_each(only) for _ in range(_ATTEMPTS)]
    for number, attempt in enumerate(asked, start=1):
        is_answered = False
        try:
            async for response in _ask(method, dial, attempt, context):
                is_answered = True
                yield response
            return
        except SwarmError as err:
            await abort(context, err)
        except grpc.aio.AioRpcError as err:
            is_harmless = _is_unsent(err) or (_is_lost(err) and _is_repeatable(method))
            if is_answered or not is_harmless or number == len(asked):
                await _fail(method, context, err)


async def _fail(
    method: str, context: grpc.aio.ServicerContext[bytes, bytes], err: grpc.aio.AioRpcError
) -> None:
    if _is_lost(err) or _is_unsent(err):
        lost = f"who answered {method.rpartition('/')[2]} went away: {err.details()}"
        await abort(context, Unavailable(lost, hint="see what became of it, then try again"))
    metadata = tuple(err.trailing_metadata() or ())
    await context.abort(err.code(), err.details() or "", metadata)


async def _ask(
    method: str,
    dial: Dial,
    requests: AsyncIterator[bytes],
    context: grpc.aio.ServicerContext[bytes, bytes],
) -> AsyncIterator[bytes]:
    channel = await dial()
    await _wait_ready(channel)
    ask: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(method)
    call = ask(requests, timeout=context.time_remaining())
    try:
        async for response in call:
            yield response
    finally:
        call.cancel()


# Uploads and conversations: their requests are passed on as they come.
_STREAMS = frozenset(
    {
        "LoadImage",
        "ImportImage",
        "BuildImage",
        "WriteArchive",
        "Exec",
        "Attach",
        "ExecInContainer",
        "AttachContainer",
    }
)
# Calls that change nothing. Waiting for an end reads, too, but whoever waits was told that his
# wait began: he has to hear that it broke off, and not miss an end in between.
_READING = ("Get", "List", "Read", "Watch", "Inspect", "Stat", "Diff")


def _sends_much(method: str) -> bool:
    return method.rpartition("/")[2] in _STREAMS


def _is_repeatable(method: str) -> bool:
    return method.rpartition("/")[2].startswith(_READING)


def _is_lost(err: grpc.aio.AioRpcError) -> bool:
    """Whether the other side broke off, which is gRPC's word and not an answer of ours."""
    is_ours = any(key == faults.KEY for key, _ in err.trailing_metadata() or ())
    gone = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
    return err.code() in gone and not is_ours


def _is_unsent(err: grpc.aio.AioRpcError) -> bool:
    """Whether gRPC's client gave up sending: the call was over before its only message was
    taken, and the client forgets how it ended."""
    is_core = err.details() == FORGOTTEN
    return err.code() is grpc.StatusCode.INTERNAL and is_core


async def _each(requests: list[bytes]) -> AsyncIterator[bytes]:
    for request in requests:
        yield request


async def _wait_ready(channel: grpc.aio.Channel) -> None:
    try:
        await asyncio.wait_for(channel.channel_ready(), READY_WITHIN_S)
    except TimeoutError as err:
        raise Unavailable(
            f"nobody answered within {READY_WITHIN_S:.0f} s", hint="is a manager reachable?"
        ) from err
