"""Serve agents' sessions to callers whose certificates say which node they are."""

from collections.abc import AsyncIterator
from typing import Any

from manager.io.dispatcher import Dispatcher
from swarm.api.v1 import dispatch_pb2, dispatch_pb2_grpc
from swarm.io.rpc import peer


class DispatcherService(dispatch_pb2_grpc.DispatcherServicer):
    """`swarm.api.v1.Dispatcher`. A caller speaks for its own node and no other."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    async def Session(  # type: ignore[override]  # it writes through the context
        self, request_iterator: AsyncIterator[dispatch_pb2.AgentMessage], context: Any
    ) -> None:
        """One agent's session, for as long as it lasts."""
        await self._dispatcher.serve(peer().node_id, request_iterator, context)

    async def PublishLogs(
        self, request_iterator: AsyncIterator[dispatch_pb2.PublishedLogs], context: Any
    ) -> dispatch_pb2.PublishLogsResponse:
        """The lines that an agent was asked for."""
        await self._dispatcher.logs.publish(peer().node_id, request_iterator)
        return dispatch_pb2.PublishLogsResponse()

    async def Converse(  # type: ignore[override]  # it writes through the context
        self, request_iterator: AsyncIterator[dispatch_pb2.Answer], context: Any
    ) -> None:
        """What an agent was called back for."""
        conversations = self._dispatcher.conversations
        await conversations.serve(peer().node_id, request_iterator, context)

    async def AttachGuest(
        self, request: dispatch_pb2.AttachGuestRequest, context: Any
    ) -> dispatch_pb2.AttachGuestResponse:
        """Have one of its containers be in a network."""
        return await self._dispatcher.guests.attach(peer().node_id, request)

    async def ReleaseGuest(
        self, request: dispatch_pb2.ReleaseGuestRequest, context: Any
    ) -> dispatch_pb2.ReleaseGuestResponse:
        """Have one of its containers be there no more."""
        return await self._dispatcher.guests.release(peer().node_id, request)
