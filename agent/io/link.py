"""Speak with one manager over one channel, for as long as it lasts.

Every attempt has a channel and a certificate of its own: the certificate may have been
renewed since, and a channel that failed would wait before it tries again. What is said is
queued here and goes out in order; nothing said on one link is carried over to the next.
"""

import asyncio
from collections.abc import AsyncIterator, Callable

import grpc
import grpc.aio

from agent.io.messages import decode, encode
from agent.session import LONGEST_PATIENCE_S
from swarm.api.v1 import dispatch_pb2, dispatch_pb2_grpc
from swarm.certificates import Identity
from swarm.dispatch import FromAgent, FromManager, Hello
from swarm.errors import Unavailable
from swarm.io import tls
from swarm.io.rpc import failure

Receive = Callable[[FromManager], None]


class Link:
    """One attempt at a session. `run` dials, says hello, and hands on what it hears."""

    def __init__(self, address: str, attempt: int) -> None:
        self.address = address
        self.attempt = attempt
        self.is_welcome = False
        self._channel: grpc.aio.Channel | None = None
        self._outbox: asyncio.Queue[FromAgent | None] = asyncio.Queue()

    def say(self, value: FromAgent) -> None:
        """Send `value` after whatever was said before."""
        self._outbox.put_nowait(value)

    @property
    def dispatcher(self) -> "dispatch_pb2_grpc.DispatcherAsyncStub":
        """Further calls over the same channel; there is one while `run` runs."""
        assert self._channel is not None
        return dispatch_pb2_grpc.DispatcherStub(self._channel)

    async def run(
        self, identity: Identity, hello: Callable[[], Hello | None], receive: Receive
    ) -> None:
        """Stay until the manager ends it; raises `SwarmError` with the reason.

        `hello` is asked once the channel stands; None means that nobody wants it any more.
        """
        async with tls.channel(self.address, identity, dial_s=LONGEST_PATIENCE_S) as channel:
            self._channel = channel
            await _connected(channel, self.address)
            opening = hello()
            if opening is None:
                return
            self._outbox.put_nowait(opening)
            try:
                call = self.dispatcher.Session(self._said())
                async for message in call:
                    if (value := decode(message)) is not None:
                        receive(value)
            except grpc.RpcError as err:
                raise failure(err) from err
            finally:
                # gRPC does not end what writes to a call that the other side ended.
                self._outbox.put_nowait(None)
        raise Unavailable(f"{self.address} ended the session")

    async def _said(self) -> AsyncIterator[dispatch_pb2.AgentMessage]:
        while (value := await self._outbox.get()) is not None:
            yield encode(value)


async def _connected(channel: grpc.aio.Channel, address: str) -> None:
    """Wait for the handshake; a refusal is told at once instead of tried again."""
    while True:
        state = channel.get_state(try_to_connect=True)
        if state is grpc.ChannelConnectivity.READY:
            return
        if state in (
            grpc.ChannelConnectivity.TRANSIENT_FAILURE,
            grpc.ChannelConnectivity.SHUTDOWN,
        ):
            raise Unavailable(f"{address} does not answer")
        await channel.wait_for_state_change(state)
