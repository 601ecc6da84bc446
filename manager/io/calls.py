"""Stand before every handler: count calls, and pass the cluster's API on to whoever leads.

A manager that does not lead relays a whole call, byte for byte, with its own certificate;
the caller's role was checked before. A call is relayed once at most: two managers that take
each other for the leader must say so instead of passing it to and fro.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, cast

import grpc
import grpc.aio

from manager.io.leader import Leader
from manager.metrics import Metrics
from swarm.errors import Unavailable
from swarm.io.rpc import Continuation, Request, Response

CONTROL = "/swarm.api.v1.Control/"
RELAYED = "swarm-relayed"

# These go to the manager that holds the node's session, which need not be the leader.
ANYWHERE = frozenset(
    f"{CONTROL}{name}"
    for name in (
        "Exec",
        "Attach",
        "InspectTask",
        "ListProcesses",
        "PauseTask",
        "WatchStats",
        "CheckNetwork",
    )
)

Context = grpc.aio.ServicerContext[Any, Any]
Relay = grpc.aio.StreamStreamMultiCallable[bytes, bytes]
Dial = Callable[[str], grpc.aio.Channel]


class CountingInterceptor(grpc.aio.ServerInterceptor):
    """Measures calls by method and status. Put it first, so that it sees how calls end."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def intercept_service(
        self,
        continuation: Continuation[Request, Response],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Request, Response] | None:
        method = handler_call_details.method.rpartition(".")[2]

        def begin(context: Context) -> None:
            started = time.perf_counter()

            def done(_: object) -> None:
                code = "CANCELLED" if context.cancelled() else _code_name(context.code())
                self._metrics.rpcs.labels(method, code).inc()
                self._metrics.rpc_seconds.labels(method).observe(time.perf_counter() - started)

            context.add_done_callback(done)  # type: ignore[arg-type]  # a callable is what it takes

        handler = await continuation(handler_call_details)
        return None if handler is None else _beginning(handler, begin)


class LeaderInterceptor(grpc.aio.ServerInterceptor):
    """Relays calls of the cluster's API while another manager leads. Put it last."""

    def __init__(self, leader: Leader, dial: Dial) -> None:
        self._leader = leader
        self._dial = dial
        self._channel: tuple[str, grpc.aio.Channel] | None = None

    async def intercept_service(
        self,
        continuation: Continuation[Request, Response],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Request, Response] | None:
        method = handler_call_details.method
        holder = self._leader.holder
        if holder is None or not method.startswith(CONTROL) or method in ANYWHERE:
            return await continuation(handler_call_details)

        async def relay(requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
            if RELAYED in dict(context.invocation_metadata() or ()):
                raise Unavailable("the leader is changing", hint="try again")
            dial: Relay = self._to(holder.address).stream_stream(method)
            call = dial(requests, timeout=_time_left(context), metadata=((RELAYED, "1"),))
            try:
                async for response in call:
                    yield response
            except grpc.aio.AioRpcError as err:
                trailing = tuple(err.trailing_metadata() or ())
                await context.abort(err.code(), err.details() or "", trailing)
            finally:
                call.cancel()

        # On the wire every kind of call is a stream of messages, so one handler serves all.
        return cast(
            "grpc.RpcMethodHandler[Request, Response]", grpc.stream_stream_rpc_method_handler(relay)
        )

    def _to(self, address: str) -> grpc.aio.Channel:
        if self._channel is None or self._channel[0] != address:
            self._channel = (address, self._dial(address))
        return self._channel[1]


def _time_left(context: Context) -> float | None:
    left = context.time_remaining()
    return left if left and left < 1e9 else None


def _code_name(code: object) -> str:
    """gRPC's status as its name; a number or nothing when the handler set none."""
    if isinstance(code, grpc.StatusCode):
        return code.name
    return next((each.name for each in grpc.StatusCode if each.value[0] == code), "OK")


def _beginning(
    handler: grpc.RpcMethodHandler[Request, Response], begin: Callable[[Context], None]
) -> grpc.RpcMethodHandler[Request, Response]:
    """The same handler, but `begin` is called first."""
    inner: Callable[..., Any] | None = (
        handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    )
    assert inner is not None
    inner_call = inner

    async def single(request: Any, context: Context) -> Any:
        begin(context)
        return await inner_call(request, context)

    async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
        begin(context)
        async with aclosing(inner_call(request, context)) as responses:
            async for response in responses:
                yield response

    make = _MAKERS[handler.request_streaming, handler.response_streaming]
    return cast(
        "grpc.RpcMethodHandler[Request, Response]",
        make(
            stream if handler.response_streaming else single,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        ),
    )


_MAKERS: dict[tuple[bool, bool], Callable[..., object]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}
