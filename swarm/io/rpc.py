"""Stand at the gRPC boundary: errors become statuses once, callers become peers once.

Put `ErrorInterceptor` first and `RoleInterceptor` second: the second one's refusals are the
first one's to translate. Handlers raise the six errors and read `peer()`; they never see a
status code or a certificate. A handler's generator is closed as soon as its call ends, not
when the garbage collector finds it.
"""

from __future__ import annotations  # grpc's handlers are generic in its stubs only

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, suppress
from contextvars import ContextVar
from typing import Any, NoReturn, TypeVar, cast

import grpc
import grpc.aio
import structlog

from swarm import faults
from swarm.access import Access, objection, remedy
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
from swarm.ids import NodeId
from swarm.peers import Anchors, Peer, Recognition, check_dates, limited
from swarm.specs import Role

Request = TypeVar("Request")
Response = TypeVar("Response")
Context = grpc.aio.ServicerContext[Any, Any]
Around = Callable[[Context], AbstractAsyncContextManager[None]]
Continuation = Callable[
    [grpc.HandlerCallDetails], Awaitable["grpc.RpcMethodHandler[Request, Response] | None"]
]

HEARD_WITHIN_S = 1.0

_CODES: tuple[tuple[type[SwarmError], grpc.StatusCode], ...] = (
    (Invalid, grpc.StatusCode.INVALID_ARGUMENT),
    (Missing, grpc.StatusCode.NOT_FOUND),
    (Broken, grpc.StatusCode.INTERNAL),
    (Refused, grpc.StatusCode.FAILED_PRECONDITION),
    (Conflict, grpc.StatusCode.ABORTED),
    (Unavailable, grpc.StatusCode.UNAVAILABLE),
    (KernelRefused, grpc.StatusCode.FAILED_PRECONDITION),
)

# Of statuses that gRPC itself, or a server without our detail, gave. Where one is missing here
# asking again will not help, an operator has to look.
_KINDS: dict[grpc.StatusCode, type[SwarmError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: Invalid,
    grpc.StatusCode.OUT_OF_RANGE: Invalid,
    grpc.StatusCode.NOT_FOUND: Missing,
    grpc.StatusCode.ABORTED: Conflict,
    grpc.StatusCode.INTERNAL: Broken,
    grpc.StatusCode.UNKNOWN: Broken,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: Unavailable,
    grpc.StatusCode.CANCELLED: Unavailable,
}

# gRPC's client says so when the other side ends a call under a message: the answer is lost.
FORGOTTEN = "Internal error from Core"

_PEER: ContextVar[Peer] = ContextVar("peer")


def peer() -> Peer:
    """Who made the call that this handler serves."""
    return _PEER.get()


def status_of(error: SwarmError) -> grpc.StatusCode:
    """The status that tells a client without our detail whose move it is."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    return grpc.StatusCode.FAILED_PRECONDITION


async def abort(
    context: Context, error: SwarmError, *, code: grpc.StatusCode | None = None
) -> NoReturn:
    """End the call with `error`, whole, in the trailing metadata."""
    detail = ((faults.KEY, faults.encode(error)),)
    await context.abort(code or status_of(error), faults.brief(error), detail)


def failure(err: grpc.RpcError) -> SwarmError:
    """The error behind a failed call, as the other side raised it."""
    # The stubs' class of such pairs is not the tuple that arrives.
    pairs = cast("Iterable[tuple[str, str | bytes]]", err.trailing_metadata() or ())
    for key, value in pairs:
        restored = faults.restore(value) if key == faults.KEY and isinstance(value, bytes) else None
        if restored is not None:
            return restored
    code, message = err.code(), err.details() or ""
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return Unavailable("nobody answered in time", hint="is a manager reachable?")
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return Refused(
            f"the other side does not know this call: {message}",
            hint="both sides should run one version",
        )
    if code is grpc.StatusCode.INTERNAL and message == FORGOTTEN:
        return Unavailable("the call ended while it was still being sent", hint="ask again")
    text = message or f"the call failed with status {code.name.lower()}"
    return _KINDS.get(code, Refused)(text)


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Turns what a handler raises into a status.

    A bug becomes INTERNAL with an id and nothing else: its text may hold what the caller must
    not see. The log has the rest under that id.
    """

    def __init__(self, log: structlog.stdlib.BoundLogger) -> None:
        self._log = log

    async def intercept_service(
        self,
        continuation: Continuation[Request, Response],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Request, Response] | None:
        method = handler_call_details.method

        @asynccontextmanager
        async def around(context: Context) -> AsyncGenerator[None, None]:
            try:
                yield
            except grpc.aio.AbortError:
                raise
            except SwarmError as err:
                await abort(context, err)
            except grpc.RpcError as err:
                await abort(context, failure(err))
            except Exception:
                error_id = secrets.token_hex(4)
                self._log.exception("call.failed", method=method, error_id=error_id)
                text = f"internal error {error_id}: look for this id in the log of the other side"
                await abort(context, Broken(text))

        return _wrap(await continuation(handler_call_details), around)


class RoleInterceptor(grpc.aio.ServerInterceptor):
    """Refuses who may not call, and tells handlers who does.

    `anchors` is asked for on every call, so that a rotation counts at once; it gives the same
    object until something changed, or callers are recognised anew each time. `role_of` gives the
    role that the cluster wants a node to have, None once it is removed, and raises `Unavailable`
    while it does not know: a manager that has just started must not tell living nodes that
    they were removed. The lesser of certificate and wanted role counts.
    """

    def __init__(
        self,
        *,
        access: Access,
        anchors: Callable[[], Anchors],
        role_of: Callable[[NodeId], Role | None],
        now: Callable[[], float],
    ) -> None:
        self._access = access
        self._anchors = anchors
        self._role_of = role_of
        self._now = now
        self._recognition = Recognition()

    async def intercept_service(
        self,
        continuation: Continuation[Request, Response],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Request, Response] | None:
        method = handler_call_details.method
        handler = await continuation(handler_call_details)
        sends_stream = handler is not None and handler.request_streaming

        @asynccontextmanager
        async def around(context: Context) -> AsyncGenerator[None, None]:
            try:
                caller = self._admit(context, method)
            except Refused as err:
                if sends_stream:
                    await _hear_first(context)
                await abort(context, err, code=grpc.StatusCode.PERMISSION_DENIED)
            _PEER.set(caller)
            yield

        return _wrap(handler, around)

    def _admit(self, context: Context, method: str) -> Peer:
        certificates = list(context.auth_context().get("x509_pem_cert", ()))
        if not certificates:
            raise Refused("the caller shows no certificate", hint="join the swarm first")
        caller = self._recognition.identify(certificates[0], self._anchors())
        check_dates(caller, now=self._now())
        if not caller.is_joining:
            caller = limited(caller, self._role_of(caller.node_id))
        reason = objection(caller, method, self._access)
        if reason is not None:
            raise Refused(reason, hint=remedy(caller))
        return caller


async def _hear_first(context: Context) -> None:
    """Take a caller's first message: refused under it, gRPC's client would forget why."""
    with suppress(TimeoutError, grpc.aio.BaseError):
        async with asyncio.timeout(HEARD_WITHIN_S):
            await context.read()


def _wrap(
    handler: grpc.RpcMethodHandler[Request, Response] | None, around: Around
) -> grpc.RpcMethodHandler[Request, Response] | None:
    if handler is None:
        return None
    make = _MAKERS[handler.request_streaming, handler.response_streaming]
    inner = (
        handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    )
    assert inner is not None
    wrapped = (_stream if handler.response_streaming else _single)(inner, around)
    # grpc's stubs know handlers of the blocking server only; the values are the same.
    return cast(
        "grpc.RpcMethodHandler[Request, Response]",
        make(
            wrapped,
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


def _single(inner: Callable[..., Any], around: Around) -> Callable[..., Awaitable[Any]]:
    async def single(request: Any, context: Context) -> Any:
        async with around(context):
            return await inner(request, context)

    return single


def _stream(inner: Callable[..., Any], around: Around) -> Callable[..., AsyncIterator[Any]]:
    async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
        async with around(context):
            responses = inner(request, context)
            if not hasattr(responses, "__aiter__"):
                await responses  # it writes by itself, through the context
                return
            async with aclosing(responses):
                async for response in responses:
                    yield response

    return stream
