"""Talk to one etcd endpoint: a channel with mutual TLS, deadlines, and errors in our terms.

The channel looks for its peer again every 50 to 500 ms and pings it when in use, so that an
etcd that is killed, restarted or frozen is noticed within a second or three.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar, cast
from urllib.parse import urlsplit

import grpc
import grpc.aio
from aetcd.rpc import rpc_pb2, rpc_pb2_grpc
from msgspec import Struct

from manager.io.etcd_messages import translated
from swarm.certificates import Identity
from swarm.errors import Invalid, Unavailable

_T = TypeVar("_T")
_Request = TypeVar("_Request")
_Stream = grpc.aio.StreamStreamCall[rpc_pb2.WatchRequest, rpc_pb2.WatchResponse]

# Have a member that lost its majority say so at once, instead of holding on to a request
# until its deadline and to a stream for ever.
_HAS_LEADER = (("hasleader", "true"),)


class _Renewal(Iterator[rpc_pb2.LeaseKeepAliveResponse], Protocol):
    def cancel(self) -> bool: ...


LEASES = 2  # a manager's presence and its leadership


class Manners(Struct, frozen=True, kw_only=True):
    """How to behave towards an endpoint.

    `server_name` is the name its certificate must bear, whatever the address; empty means
    the address itself. With `waits`, calls stay in line while there is no connection, and
    fail only by `timeout_s`. etcd drops a client that pings more often than its
    --grpc-keepalive-min-time, which is 5 s unless told otherwise.
    """

    server_name: str
    ping_s: float
    timeout_s: float
    waits: bool


class Connection:
    """One endpoint's services. Every method raises errors of `swarm.errors` only."""

    def __init__(self, address: str, identity: Identity, manners: Manners) -> None:
        credentials = grpc.ssl_channel_credentials(
            root_certificates=identity.root,
            private_key=identity.key,
            certificate_chain=identity.certificate,
        )
        self._channel = grpc.aio.secure_channel(address, credentials, options=_options(manners))
        self._kv = rpc_pb2_grpc.KVStub(self._channel)
        self._watch = rpc_pb2_grpc.WatchStub(self._channel)
        self._lease = rpc_pb2_grpc.LeaseStub(self._channel)
        self._keeper = Keeper(address, credentials, manners)
        self._timeout_s, self._waits = manners.timeout_s, manners.waits
        self._streams: set[_Stream] = set()

    async def read(self, request: rpc_pb2.RangeRequest) -> rpc_pb2.RangeResponse:
        """List a range of keys."""
        return await self._ask(self._kv.Range, request)

    async def commit(self, request: rpc_pb2.TxnRequest) -> rpc_pb2.TxnResponse:
        """Do a transaction."""
        return await self._ask(self._kv.Txn, request)

    async def compact(self, revision: int) -> None:
        """Forget what was before `revision`."""
        request = rpc_pb2.CompactionRequest(revision=revision, physical=True)
        await self._ask(self._kv.Compact, request)

    async def grant(self, request: rpc_pb2.LeaseGrantRequest) -> rpc_pb2.LeaseGrantResponse:
        """Open a lease."""
        return await self._ask(self._lease.LeaseGrant, request)

    async def revoke(self, request: rpc_pb2.LeaseRevokeRequest) -> None:
        """End a lease."""
        await self._ask(self._lease.LeaseRevoke, request)

    async def keep_alive(
        self, request: rpc_pb2.LeaseKeepAliveRequest
    ) -> rpc_pb2.LeaseKeepAliveResponse:
        """Renew a lease once."""
        return await _answer(self._keeper.keep_alive(request))

    async def watch(
        self, request: rpc_pb2.WatchRequest
    ) -> AsyncGenerator[rpc_pb2.WatchResponse, None]:
        """Yield etcd's answers until the connection is lost, which is `Unavailable`."""
        call = self._watch.Watch(metadata=_HAS_LEADER, wait_for_ready=self._waits)
        self._streams.add(call)
        try:
            await _answer(call.write(request))
            while True:
                yield _not_ended(await _answer(call.read()), rpc_pb2.WatchResponse)
        finally:
            self._streams.discard(call)
            call.cancel()

    async def _ask(
        self, method: grpc.aio.UnaryUnaryMultiCallable[_Request, _T], request: _Request
    ) -> _T:
        return await _answer(
            method(
                request,
                timeout=self._timeout_s,
                wait_for_ready=self._waits,
                metadata=_HAS_LEADER,
            )
        )

    async def close(self, *, grace_s: float | None) -> None:
        """End the watches at once, and calls under way after `grace_s`."""
        for call in self._streams:
            call.cancel()
        self._keeper.close()
        await self._channel.close(grace_s)


class Keeper:
    """Renews leases on threads of its own, over a connection of its own.

    What takes a call of a busy event loop through its many turns, and waits behind megabytes of
    commits on the wire, would end leases of managers that live. So a renewal is handed over in
    one turn of the loop and taken back in one.
    """

    def __init__(
        self, address: str, credentials: grpc.ChannelCredentials, manners: Manners
    ) -> None:
        self._channel = grpc.secure_channel(address, credentials, options=_options(manners))
        self._renewals = rpc_pb2_grpc.LeaseStub(self._channel).LeaseKeepAlive
        self._threads = ThreadPoolExecutor(LEASES, thread_name_prefix="lease")
        self._timeout_s, self._waits = manners.timeout_s, manners.waits

    async def keep_alive(
        self, request: rpc_pb2.LeaseKeepAliveRequest
    ) -> rpc_pb2.LeaseKeepAliveResponse:
        """Renew a lease once."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._renew, request)

    def close(self) -> None:
        """End renewals under way."""
        self._channel.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _renew(self, request: rpc_pb2.LeaseKeepAliveRequest) -> rpc_pb2.LeaseKeepAliveResponse:
        # A stream of one message: etcd has no simpler call for it.
        # The stubs know the call of an event loop only; over this channel it is an iterator.
        ask = cast("Callable[..., _Renewal]", self._renewals)
        call = ask(
            iter((request,)),
            timeout=self._timeout_s,
            wait_for_ready=self._waits,
            metadata=_HAS_LEADER,
        )
        try:
            return _not_ended(next(call, grpc.aio.EOF), rpc_pb2.LeaseKeepAliveResponse)
        finally:
            call.cancel()


def address_of(endpoint: str) -> str:
    """The host and port of an endpoint's URL; only https is taken."""
    url = urlsplit(endpoint)
    if url.scheme != "https" or not url.hostname or url.path not in ("", "/"):
        raise Invalid(
            f"etcd-endpoints: {endpoint!r} is not of the form https://HOST:PORT",
            hint="etcd holds the swarm's secrets and is reached with mutual TLS only",
        )
    return url.netloc if url.port else f"{url.netloc}:2379"


async def _answer(call: Awaitable[_T]) -> _T:
    try:
        return await call
    except grpc.RpcError as err:
        raise translated(err.code(), err.details() or "") from err
    except RuntimeError as err:  # how a thread pool says that it was shut down
        raise Unavailable("the connection to etcd was closed", hint="try again") from err
    except asyncio.CancelledError as err:
        # gRPC says it in the same way when someone closes the connection under a call.
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise Unavailable("the connection to etcd was closed", hint="try again") from err


def _not_ended(message: object, kind: type[_T]) -> _T:
    if message is grpc.aio.EOF:
        raise Unavailable("etcd ended the stream", hint="try again")
    assert isinstance(message, kind), message
    return message


def _options(manners: Manners) -> list[tuple[str, str | int]]:
    options: list[tuple[str, str | int]] = [
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", -1),
        ("grpc.initial_reconnect_backoff_ms", 50),
        ("grpc.max_reconnect_backoff_ms", 500),
        # How long one attempt may take: a TLS handshake on a busy host is not a failure.
        ("grpc.min_reconnect_backoff_ms", 2_000),
        ("grpc.keepalive_time_ms", round(manners.ping_s * 1000)),
        ("grpc.keepalive_timeout_ms", 1_000),
        ("grpc.http2.max_pings_without_data", 0),
        # A commit is sent once: whoever wants it twice has to look first.
        ("grpc.enable_retries", 0),
        # A channel made after a renewal must not share a connection made before it.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_http_proxy", 0),
    ]
    if manners.server_name:
        options.append(("grpc.ssl_target_name_override", manners.server_name))
    return options
