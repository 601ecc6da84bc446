"""Ask those who know: this node's agent, and through swarmd a manager.

What a call raises is one of our errors, as the other side raised it. A part that is starting
again is waited for, a few seconds: Docker's clients give up at the first refusal.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from contextlib import asynccontextmanager
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar, cast

import grpc
import grpc.aio

from swarm import faults
from swarm.api.v1 import (
    builds_pb2_grpc,
    containers_pb2_grpc,
    control_pb2_grpc,
    daemon_pb2_grpc,
    images_pb2_grpc,
    localnetworks_pb2_grpc,
    volumes_pb2_grpc,
)
from swarm.errors import SwarmError, Unavailable
from swarm.io.rpc import failure

if TYPE_CHECKING:
    from swarm.api.v1.builds_pb2_grpc import BuildsAsyncStub
    from swarm.api.v1.containers_pb2_grpc import ContainersAsyncStub
    from swarm.api.v1.control_pb2_grpc import ControlAsyncStub
    from swarm.api.v1.daemon_pb2_grpc import DaemonAsyncStub
    from swarm.api.v1.images_pb2_grpc import ImagesAsyncStub
    from swarm.api.v1.localnetworks_pb2_grpc import LocalNetworksAsyncStub
    from swarm.api.v1.volumes_pb2_grpc import VolumesAsyncStub

T = TypeVar("T")

READY_WITHIN_S = 15.0
FRAME_BYTES = 1 << 20

_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.http2.max_frame_size", FRAME_BYTES),
)


class Lost(Unavailable):
    """Who answered broke off, and said nothing of why: they may be starting again."""


class Backends:
    """Stubs of every service that answers for us. Close it in the loop it was made in."""

    def __init__(self, *, swarmd_socket: str, agent_socket: str) -> None:
        self._channels = (
            _Line(agent_socket, name="this node's agent"),
            _Line(swarmd_socket, name="swarmd"),
        )
        # Stubs ask nothing of a channel but the four makers of calls.
        agent, swarmd = (cast("grpc.aio.Channel", each) for each in self._channels)
        self.containers: ContainersAsyncStub = containers_pb2_grpc.ContainersStub(agent)
        self.images: ImagesAsyncStub = images_pb2_grpc.ImagesStub(agent)
        self.builds: BuildsAsyncStub = builds_pb2_grpc.BuildsStub(agent)
        self.volumes: VolumesAsyncStub = volumes_pb2_grpc.VolumesStub(agent)
        self.local_networks: LocalNetworksAsyncStub = localnetworks_pb2_grpc.LocalNetworksStub(
            agent
        )
        self.control: ControlAsyncStub = control_pb2_grpc.ControlStub(swarmd)
        self.daemon: DaemonAsyncStub = daemon_pb2_grpc.DaemonStub(swarmd)

    async def close(self) -> None:
        """Break off every call."""
        for channel in self._channels:
            await channel.close()


class _Line:
    """A channel as stubs see one, whose calls wait for the other side and raise our errors."""

    def __init__(self, path: str, *, name: str) -> None:
        self._channel = grpc.aio.insecure_channel(f"unix:{path}", options=_OPTIONS)
        self._name = name

    def unary_unary(self, method: str, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        """See `grpc.aio.Channel`."""
        make = self._channel.unary_unary(method, *args, **kwargs)
        is_harmless = method.rpartition("/")[2].startswith(("Get", "List", "Inspect", "Stat"))

        async def ask(request: object, **how: Any) -> Any:
            for is_last in (not is_harmless, True):
                await self.ready()
                try:
                    return await make(request, **how)
                except grpc.aio.AioRpcError as err:
                    if is_last or not _is_lost(err):
                        raise self._translated(err) from err
            raise AssertionError("the last attempt returns or raises")

        return ask

    def stream_unary(self, method: str, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        """See `grpc.aio.Channel`."""
        make = self._channel.stream_unary(method, *args, **kwargs)

        async def ask(requests: AsyncIterable[Any], **how: Any) -> Any:
            await self.ready()
            call = make(**how)
            async with _feeding(call, requests):
                try:
                    return await call
                except grpc.aio.AioRpcError as err:
                    raise self._translated(err) from err

        return ask

    def unary_stream(self, method: str, *args: Any, **kwargs: Any) -> Callable[..., _Stream]:
        """See `grpc.aio.Channel`."""
        make = self._channel.unary_stream(method, *args, **kwargs)

        def ask(request: object, **how: Any) -> _Stream:
            return _Stream(self, lambda: make(request, **how))

        return ask

    def stream_stream(self, method: str, *args: Any, **kwargs: Any) -> Callable[..., _Stream]:
        """See `grpc.aio.Channel`."""
        make = self._channel.stream_stream(method, *args, **kwargs)

        def ask(requests: AsyncIterable[Any], **how: Any) -> _Stream:
            return _Stream(self, lambda: make(**how), requests)

        return ask

    async def ready(self) -> None:
        """Wait until somebody answers; `Unavailable` after `READY_WITHIN_S`."""
        if self._channel.get_state(try_to_connect=True) is grpc.ChannelConnectivity.READY:
            return
        try:
            await asyncio.wait_for(self._channel.channel_ready(), READY_WITHIN_S)
        except TimeoutError as err:
            raise Unavailable(
                f"{self._name} did not answer within {READY_WITHIN_S:.0f} s",
                hint="it may be starting: try again",
            ) from err

    async def close(self) -> None:
        """See `grpc.aio.Channel`."""
        await self._channel.close()

    async def answers(
        self, make: Callable[[], Any], requests: AsyncIterable[Any] | None
    ) -> AsyncGenerator[Any, None]:
        """What the other side sends, until it ends or nobody listens any more."""
        await self.ready()
        call = make()
        async with _feeding(call, requests):
            try:
                async for answer in call:
                    yield answer
            except grpc.aio.AioRpcError as err:
                raise self._translated(err) from err

    def _translated(self, err: grpc.aio.AioRpcError) -> SwarmError:
        if _is_lost(err):
            return Lost(f"{self._name} went away: {err.details()}", hint="try again")
        return failure(err)


class _Stream:
    """Answers that come one by one; the call ends with whoever reads them, or by `cancel`."""

    def __init__(
        self,
        line: _Line,
        make: Callable[[], Any],
        requests: AsyncIterable[Any] | None = None,
    ) -> None:
        self._answers = line.answers(make, requests)

    def __aiter__(self) -> AsyncGenerator[Any, None]:
        return self._answers


@asynccontextmanager
async def ending(call: AsyncIterable[T]) -> AsyncGenerator[AsyncIterator[T]]:
    """Read the answers of `call`, which ends with this block."""
    answers = aiter(call)
    try:
        yield answers
    finally:
        await cast("AsyncGenerator[T, None]", answers).aclose()


@asynccontextmanager
async def _feeding(call: Any, requests: AsyncIterable[Any] | None) -> AsyncGenerator[None]:
    """Send `requests` while the call lasts. What goes wrong with them is raised here."""
    feeding = asyncio.ensure_future(_feed(call, requests)) if requests is not None else None
    try:
        yield
    except asyncio.CancelledError:
        if feeding is not None and feeding.done() and not feeding.cancelled():
            feeding.result()
        raise
    finally:
        call.cancel()
        if feeding is not None:
            feeding.cancel()
            await asyncio.wait((feeding,))


async def _feed(call: Any, requests: AsyncIterable[Any]) -> None:
    try:
        async with ending(requests) as each:
            async for request in each:
                if not await _write(call, request):
                    return
        with contextlib.suppress(grpc.aio.BaseError, asyncio.InvalidStateError):
            await call.done_writing()
    except Exception:
        call.cancel()
        raise


async def _write(call: Any, request: Any) -> bool:
    """Send a request; False once the call is over, which itself says why.

    gRPC's own `write` forgets that reason when the call ends under it: it sets a status of its
    own before the other side's is read. So this does what it does, but for that.
    """
    if call.done():
        return False
    await _METADATA_SENT(call).wait()
    try:
        await _INNER(call).send_serialized_message(request.SerializeToString())
    except (grpc.aio.BaseError, asyncio.InvalidStateError):
        return False
    return True


_INNER = attrgetter("_cython_call")
_METADATA_SENT = attrgetter("_metadata_sent")


def _is_lost(err: grpc.aio.AioRpcError) -> bool:
    """Whether the other side broke off, which is gRPC's word and not an answer of ours."""
    is_ours = any(key == faults.KEY for key, _ in err.trailing_metadata() or ())
    return err.code() is grpc.StatusCode.UNAVAILABLE and not is_ours
