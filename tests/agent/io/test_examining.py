"""What is told of a container's health checks."""

import asyncio
from typing import Any, cast

from agent.io.conversations import Talk
from agent.io.examining import Examining
from runtime.outcome import HealthRecord, HealthResult
from swarm.api.v1 import dispatch_pb2
from swarm.errors import Missing


class Records:
    """What a runtime keeps; a container that is not in it does not exist."""

    def __init__(self, **records: HealthRecord | None) -> None:
        self._records = records

    async def health(self, container_id: str) -> HealthRecord | None:
        if container_id not in self._records:
            raise Missing(f"container {container_id} does not exist")
        return self._records[container_id]


class Listener:
    """The other end of a conversation."""

    def __init__(self) -> None:
        self.said: list[Any] = []

    async def conclude(self, **answer: Any) -> None:
        self.said.append(answer)


def asked(records: Records, task_id: str) -> list[tuple[int, str]]:
    listener = Listener()
    question = dispatch_pb2.Question(health=dispatch_pb2.HealthQuestion(task_id=task_id))

    asyncio.run(Examining(records).respond(cast(Talk, listener), question))

    [answer] = listener.said
    return [(each.exit_code, each.output) for each in answer["health"].results]


def test_results_are_told_in_their_order() -> None:
    results = tuple(
        HealthResult(started_at=1.0, finished_at=2.0, exit_code=code, output=f"said {code}")
        for code in (0, 1, -1)
    )

    found = asked(Records(t1=HealthRecord(results=results)), "t1")

    assert found == [(0, "said 0"), (1, "said 1"), (-1, "said -1")]


def test_a_container_without_checks_or_without_a_trace_has_no_results() -> None:
    assert asked(Records(t1=None), "t1") == []
    assert asked(Records(), "t1") == []
