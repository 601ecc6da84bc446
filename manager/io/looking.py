"""Show what containers do now: their processes, what they use; and hold them still.

Nothing of this is stored, and nodes sample for readers only.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable

import structlog

from manager.applied import Applied
from manager.control.targets import full_name, running_task, sampled
from manager.events import program_event
from manager.finding import find_task
from manager.io.mirror import Mirror
from manager.io.reach import Reach
from manager.io.rendering import networks_of_task, task_view
from manager.io.samples import Samples
from swarm.api.v1 import control_pb2, dispatch_pb2
from swarm.errors import SwarmError, Unavailable
from swarm.ids import NodeId
from swarm.objects import Event

ANSWERED_WITHIN_S = 10.0


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
        self._readers: set[Samples] = set()
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
        response = control_pb2.InspectTaskResponse(
            task=task_view(view, task.id), networks=networks_of_task(view, task.id)
        )
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
        reader = Samples(self._mirror, self._reach, question, tasks, services)
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
