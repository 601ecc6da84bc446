"""Bring readers of logs together with the nodes that have them.

The broker subscribes at nodes over their sessions, agents answer with a stream of lines, and
each line is handed on with the name that its task has here: a publisher says which task a
line is of, never whose. A reader that is slow slows its publishers down; one that leaves
ends its subscriptions.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from itertools import count

import grpc.aio

from manager.applied import Applied
from manager.dispatch.subscriptions import Query, Reading
from manager.io.mirror import Mirror
from manager.io.preflights import Send
from swarm.api.v1 import control_pb2, dispatch_pb2
from swarm.dispatch import LogUnsubscription
from swarm.errors import Missing
from swarm.ids import NodeId, TaskId

BUFFERED_BATCHES = 64

Sessions = Callable[[], Mapping[NodeId, str]]
"""The id of each node's session that is connected here."""


class _Reader:
    """One reading and the lines that wait for it; `is_stale` when it may subscribe anew."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.is_stale = True
        self.is_closed = False
        self.batches: deque[control_pb2.LogBatch] = deque()
        self.wake = asyncio.Event()
        self._room = asyncio.Event()

    async def put(self, batch: control_pb2.LogBatch) -> bool:
        """Wait for room and leave `batch`; False when nobody reads any more."""
        while len(self.batches) >= BUFFERED_BATCHES and not self.is_closed:
            self._room.clear()
            await self._room.wait()
        if not self.is_closed:
            self.batches.append(batch)
            self.wake.set()
        return not self.is_closed

    def take(self) -> list[control_pb2.LogBatch]:
        """All that waits."""
        taken = list(self.batches)
        self.batches.clear()
        self._room.set()
        return taken

    def refresh(self) -> None:
        """Look again at what there is to subscribe to."""
        if self.reading.query.follow:
            self.is_stale = True
        self.wake.set()

    def close(self) -> None:
        """Let publishers go."""
        self.is_closed = True
        self._room.set()


class LogBroker:
    """Who reads what."""

    def __init__(self, mirror: Mirror, send: Send, sessions: Sessions) -> None:
        self._mirror = mirror
        self._send = send
        self._sessions = sessions
        self._numbers = count(1)
        self._readers: dict[str, _Reader] = {}
        mirror.listen(self._changed)

    async def read(self, query: Query) -> AsyncIterator[control_pb2.LogBatch]:
        """The lines that `query` asks for, in the order in which they come in."""
        name = f"l{next(self._numbers)}"
        reader = self._readers[name] = _Reader(Reading(name, query))
        try:
            while True:
                if reader.is_stale:
                    self._advance(reader)
                for batch in reader.take():
                    yield batch
                if not reader.batches and reader.reading.is_over(self._mirror.view):
                    return
                await self._wait(reader)
        finally:
            del self._readers[name]
            reader.close()
            for subscription_id, part in reader.reading.parts.items():
                self._send(part.node_id, LogUnsubscription(subscription_id=subscription_id))

    async def publish(
        self, node_id: NodeId, requests: AsyncIterator[dispatch_pb2.PublishedLogs]
    ) -> None:
        """Take the lines of one subscription, until its publisher ends or nobody reads them.

        The first message may have no lines; it says whose subscription this is.
        """
        reader, subscription_id = None, ""
        try:
            async for request in requests:
                if reader is None:
                    subscription_id = request.subscription_id
                    reader = self._reader_of(subscription_id, node_id)
                batch = _named(reader.reading, subscription_id, node_id, request.lines)
                if batch.lines and not await reader.put(batch):
                    return
        except grpc.aio.BaseError:
            return  # the publisher is gone, and with it what it had to say
        finally:
            if reader is not None:
                reader.reading.ended(subscription_id)
                reader.wake.set()

    def session_ended(self, session_id: str) -> None:
        """A session is over, and so is what was read in it."""
        for reader in self._readers.values():
            reader.reading.session_ended(session_id)
            reader.refresh()

    def session_began(self) -> None:
        """A node is here (again): followers may have something to read there."""
        for reader in self._readers.values():
            reader.refresh()

    def _reader_of(self, subscription_id: str, node_id: NodeId) -> _Reader:
        reader = self._readers.get(subscription_id.partition(".")[0])
        if reader is None or not reader.reading.picked_up(subscription_id, node_id):
            raise Missing(f"nobody reads subscription {subscription_id!r}", hint="end the stream")
        return reader

    def _advance(self, reader: _Reader) -> None:
        """Subscribe to what can be read by now."""
        reader.is_stale = False
        found = reader.reading.advance(self._mirror.view, self._sessions(), now=time.monotonic())
        for each in found:
            if not self._send(each.node_id, each.subscription):
                reader.reading.ended(each.subscription.subscription_id)

    async def _wait(self, reader: _Reader) -> None:
        deadline = reader.reading.next_deadline()
        patience = None if deadline is None else max(0.0, deadline - time.monotonic())
        try:
            async with asyncio.timeout(patience):
                await reader.wake.wait()
        except TimeoutError:
            reader.reading.expired(now=time.monotonic())
        reader.wake.clear()

    def _changed(self, applied: Applied) -> None:
        if applied.tasks or applied.services:
            for reader in self._readers.values():
                reader.refresh()


def _named(
    reading: Reading, subscription_id: str, node_id: NodeId, lines: Iterable[control_pb2.LogLine]
) -> control_pb2.LogBatch:
    """The lines that may be handed on, with what this manager knows of their tasks."""
    batch = control_pb2.LogBatch()
    for line in lines:
        task = reading.line(subscription_id, TaskId(line.task_id), line.at)
        if task is not None:
            batch.lines.append(line)
            named = batch.lines[-1]
            named.node_id, named.service_name, named.slot = node_id, task.service_name, task.slot
    return batch
