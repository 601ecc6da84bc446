"""Hear what health checks find, and tell what they found.

The shims run the checks and keep the last results on disk; here a change becomes an event of
its task, and of an illness also what the check printed. A container that has ended can be
asked about like one that runs: why it was found unhealthy is wanted most when it is gone.
"""

from collections.abc import AsyncIterator
from typing import Protocol

import structlog

from agent.events import Examined
from agent.io.conversations import Talk
from agent.metrics import Metrics
from runtime.outcome import HealthChanged, HealthRecord, HealthStatus
from swarm.api.v1 import control_pb2, dispatch_pb2
from swarm.errors import Missing
from swarm.ids import TaskId
from swarm.states import HealthState


class Checked(Protocol):
    """What runs health checks; a container has the id of its task."""

    async def health(self, container_id: str) -> HealthRecord | None:
        """The last results; None without checks. Raises `Missing`."""
        ...

    def healths(self) -> AsyncIterator[HealthChanged]:
        """Every change, and of containers found again how they stand."""
        ...


class Examining:
    """The health of this node's containers."""

    def __init__(
        self, runtime: Checked, metrics: Metrics, log: structlog.stdlib.BoundLogger
    ) -> None:
        self._runtime = runtime
        self._metrics = metrics
        self._log = log

    async def changes(self) -> AsyncIterator[tuple[TaskId, Examined]]:
        """What checks find from now on."""
        async for changed in self._runtime.healths():
            task_id = TaskId(changed.container_id)
            event = await self._event(task_id, changed)
            if event.health is HealthState.UNHEALTHY:
                self._metrics.unhealthy.inc()
                self._log.warning(
                    "container.unhealthy", task_id=task_id, failing_streak=event.failing_streak
                )
            yield task_id, event

    async def stands(self, task_id: TaskId) -> Examined | None:
        """How a container stands that was found here; None when it has no check."""
        record = await self._record(task_id)
        return None if record is None else await self._event(task_id, record)

    async def respond(self, talk: Talk, question: dispatch_pb2.Question) -> None:
        """Tell the last results; of a container that was removed there are none."""
        record = await self._record(TaskId(question.health.task_id))
        results = record.results if record is not None else ()
        answer = dispatch_pb2.HealthLog(
            results=[
                control_pb2.HealthResult(
                    started_at=each.started_at,
                    finished_at=each.finished_at,
                    exit_code=each.exit_code,
                    output=each.output,
                )
                for each in results
            ]
        )
        await talk.conclude(health=answer)

    async def _event(self, task_id: TaskId, found: HealthChanged | HealthRecord) -> Examined:
        output = ""
        if found.status is HealthStatus.UNHEALTHY:
            record = await self._record(task_id)
            output = record.results[-1].output if record and record.results else ""
        return Examined(
            health=HealthState[found.status.name],
            failing_streak=found.failing_streak,
            output=output,
        )

    async def _record(self, task_id: TaskId) -> HealthRecord | None:
        try:
            return await self._runtime.health(task_id)
        except Missing:
            return None
