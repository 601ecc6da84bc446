"""Show what containers do now: their processes, what they use; and hold them still.

Nothing of this is stored. A reader of samples has one conversation with each node that it
asks about, opened when the node is here and gone with it; nodes sample for readers only.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable

import structlog

from manager.applied import Applied
from manager.control.targets import full_name, nodes_with, running_task, sampled
from manager.events import program_event
from manager.finding import find_task
from manager.io.mirror import Mirror
from manager.io.reach import Reach
from manager.io.rendering import task_view
from swarm.api.v1 import control_pb2, dispatch_pb2
from swarm.errors import SwarmError, Unavailable
from swarm.ids import NodeId, ServiceId, TaskId
from swarm.objects import Event

ANSWERED_WITHIN_S = 10.0
LOOK_AGAIN_S = 1.0
BUFFERED_BATCHES = 16


class Looking:
    """Questions about what runs."""

    def __init__(
        self,
        mirror: Mirror,
        reach: Reach,
        tell: Callable[[Event], None],
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._mirror = mirror
        self._reach = reach
        self._tell = tell
        self._log = log
        self._readers: set[_Reader] = set()
        mirror.listen(self._changed)

    async def processes(
        self, request: control_pb2.ListProcessesRequest, caller: str, *, is_relayed: bool
    ) -> control_pb2.ListProcessesResponse:
        """The processes of a task's container."""
        task = running_task(self._mirror.view, request.task)
        if address := await self._reach.elsewhere(task.node_id, is_relayed=is_relayed):
            async with self._reach.asking(address, caller) as (stub, metadata):
                return await stub.ListProcesses(request, metadata=metadata)
        asked = dispatch_pb2.ProcessesQuestion(task_id=task.id)
        answer = await self._ask(task.node_id, dispatch_pb2.Question(processes=asked))
        return answer.processes

    async def inspect(
        self, request: control_pb2.InspectTaskRequest, caller: str, *, is_relayed: bool
    ) -> control_pb2.InspectTaskResponse:
        """A task in full. A node that does not answer is said to be silent, not an error."""
        view = self._mirror.view
        task = view.tasks[find_task(view, request.task)]
        response = control_pb2.InspectTaskResponse(task=task_view(view, task.id))
        if not response.task.observation.health:
            return response
        try:
            if address := await self._reach.elsewhere(task.node_id, is_relayed=is_relayed):
                async with self._reach.asking(address, caller) as (stub, metadata):
                    return await stub.InspectTask(request, metadata=metadata)
            asked = dispatch_pb2.HealthQuestion(task_id=task.id)
            answer = await self._ask(task.node_id, dispatch_pb2.Question(health=asked))
            response.health_log.extend(answer.health.results)
        except SwarmError as err:
            response.unreachable = err.message
        return response

    async def pause(
        self, request: control_pb2.PauseTaskRequest, caller: str, *, is_relayed: bool
    ) -> control_pb2.PauseTaskResponse:
        """Stop or continue every process of a task's container."""
        task = running_task(self._mirror.view, request.task)
        if address := await self._reach.elsewhere(task.node_id, is_relayed=is_relayed):
            async with self._reach.asking(address, caller) as (stub, metadata):
                return await stub.PauseTask(request, metadata=metadata)
        asked = dispatch_pb2.PauseQuestion(task_id=task.id, paused=request.paused, caller=caller)
        await self._ask(task.node_id, dispatch_pb2.Question(pause=asked))
        action = "pause" if request.paused else "unpause"
        self._log.info(f"task.{action}d", task=full_name(task), node_id=task.node_id, caller=caller)
        self._tell(program_event(task, action, {"by": caller}, now=self._mirror.clock()))
        return control_pb2.PauseTaskResponse()

    async def stats(
        self, request: control_pb2.WatchStatsRequest, caller: str, *, is_relayed: bool
    ) -> AsyncGenerator[control_pb2.StatsBatch]:
        """Samples of what is asked for, from every node that has it."""
        tasks, services = sampled(self._mirror.view, list(request.tasks))
        question = dispatch_pb2.StatsQuestion(
            task_ids=sorted(tasks),
            service_ids=sorted(services),
            interval_s=request.interval_s,
            once=request.once,
        )
        reader = _Reader(self._mirror, self._reach, question, tasks, services)
        if not is_relayed:
            for address in self._reach.others():
                reader.ask_manager(address, request, caller)
        self._readers.add(reader)
        try:
            async for batch in reader.batches():
                yield batch
        finally:
            self._readers.discard(reader)
            await reader.close()

    async def _ask(self, node_id: NodeId, question: dispatch_pb2.Question) -> dispatch_pb2.Answer:
        """One question, one answer."""
        conversation = await self._reach.conversations.open(node_id, question)
        try:
            async with asyncio.timeout(ANSWERED_WITHIN_S):
                return await conversation.next()
        except TimeoutError as err:
            raise Unavailable(
                f"the agent of node {node_id} did not answer within {ANSWERED_WITHIN_S:.0f} s",
                hint="is its host overloaded?",
            ) from err
        finally:
            conversation.close()

    def _changed(self, applied: Applied) -> None:
        if applied.nodes or applied.tasks:
            for reader in self._readers:
                reader.look_again()


class _Reader:
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
