"""Read what tasks use from every node that runs them, for one reader.

There is one conversation with each node, opened when the node is here and gone with it; the
last word about a node that went is that it has nothing to tell. Nodes of other managers are
asked through those.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable

from manager.control.targets import nodes_with
from manager.io.mirror import Mirror
from manager.io.reach import Reach
from swarm.api.v1 import control_pb2, dispatch_pb2
from swarm.errors import SwarmError
from swarm.ids import NodeId, ServiceId, TaskId

LOOK_AGAIN_S = 1.0
BUFFERED_BATCHES = 16


class Samples:
    """One reader of samples, and whom it asks."""

    def __init__(
        self,
        mirror: Mirror,
        reach: Reach,
        question: dispatch_pb2.StatsQuestion,
        tasks: frozenset[TaskId],
        services: frozenset[ServiceId],
    ) -> None:
        self._mirror = mirror
        self._reach = reach
        self._question = question
        self._tasks = tasks
        self._services = services
        self._found: asyncio.Queue[control_pb2.StatsBatch | None] = asyncio.Queue(BUFFERED_BATCHES)
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._answered: set[NodeId] = set()
        self._wake = asyncio.Event()
        self._looking = asyncio.ensure_future(self._look())

    async def batches(self) -> AsyncIterator[control_pb2.StatsBatch]:
        """What comes in, until there is nobody left to ask, if once was enough."""
        while (batch := await self._found.get()) is not None:
            yield batch

    def look_again(self) -> None:
        """There may be more nodes to ask."""
        self._wake.set()

    def ask_manager(
        self, address: str, request: control_pb2.WatchStatsRequest, caller: str
    ) -> None:
        """Have another manager ask the nodes that are connected there."""
        self._asking[address] = asyncio.ensure_future(self._relay(address, request, caller))

    async def close(self) -> None:
        """Ask nobody any more."""
        running = [self._looking, *self._asking.values()]
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _look(self) -> None:
        """Ask every node that has something to tell, as it turns up."""
        while True:
            self._wake.clear()
            self._begin()
            if self._question.once:
                if self._asking:
                    await asyncio.wait(self._asking.values())
                await self._found.put(None)
                return
            await self._wake.wait()
            await asyncio.sleep(LOOK_AGAIN_S)  # many changes are one look

    def _begin(self) -> None:
        for node_id in sorted(nodes_with(self._mirror.view, self._tasks, self._services)):
            if node_id not in self._asking and self._reach.conversations.is_here(node_id):
                self._asking[node_id] = asyncio.ensure_future(self._read(node_id))

    async def _read(self, node_id: NodeId) -> None:
        try:
            await self._copy(node_id)
        except SwarmError:
            # Its rows are gone with it; when it is back it is asked again.
            await self._found.put(self._batch(node_id))
            self._wake.set()
        finally:
            if not self._question.once:
                self._asking.pop(node_id, None)

    async def _copy(self, node_id: NodeId) -> None:
        question = dispatch_pb2.Question(stats=self._question)
        conversation = await self._reach.conversations.open(node_id, question)
        try:
            while True:
                batch = (await conversation.next()).stats
                await self._found.put(self._batch(node_id, batch.tasks))
                if self._question.once:
                    return
        finally:
            conversation.close()

    def _batch(
        self, node_id: NodeId, samples: Iterable[control_pb2.TaskStats] = ()
    ) -> control_pb2.StatsBatch:
        """The samples of tasks that the node has, with the names that they have here."""
        view = self._mirror.view
        node = view.nodes.get(node_id)
        hostname = node.description.hostname if node is not None else ""
        batch = control_pb2.StatsBatch(node_id=node_id, node_hostname=hostname)
        for sample in samples:
            task = view.tasks.get(TaskId(sample.task_id))
            if task is not None and task.node_id == node_id:
                sample.service_name, sample.slot = task.service_name, task.slot
                batch.tasks.append(sample)
        return batch

    async def _relay(
        self, address: str, request: control_pb2.WatchStatsRequest, caller: str
    ) -> None:
        with contextlib.suppress(SwarmError):
            async with self._reach.asking(address, caller) as (stub, metadata):
                async for batch in stub.WatchStats(request, metadata=metadata):
                    await self._found.put(batch)
