"""Tell what the health checks of a container found, from what its shim keeps on disk.

A container that has ended is asked about like one that runs: why it was found unhealthy is
wanted most when it is gone.
"""

from typing import Protocol

from agent.io.conversations import Talk
from runtime.outcome import HealthRecord
from swarm.api.v1 import control_pb2, dispatch_pb2
from swarm.errors import Missing


class Examined(Protocol):
    """What keeps the results of health checks; a container has the id of its task."""

    async def health(self, container_id: str) -> HealthRecord | None:
        """The last results; None without checks. Raises `Missing`."""
        ...


class Examining:
    """Answers `health`."""

    def __init__(self, runtime: Examined) -> None:
        self._runtime = runtime

    async def respond(self, talk: Talk, question: dispatch_pb2.Question) -> None:
        """Tell the results; of a container that was removed there are none."""
        try:
            record = await self._runtime.health(question.health.task_id)
        except Missing:
            record = None
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
