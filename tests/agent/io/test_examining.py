"""What is heard and told of containers' health checks."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import structlog

from agent.events import Examined
from agent.io.conversations import Talk
from agent.io.examining import Examining
from agent.metrics import Metrics
from runtime.outcome import HealthChanged, HealthRecord, HealthResult, HealthStatus
from swarm.api.v1 import dispatch_pb2
from swarm.errors import Missing
from swarm.ids import TaskId
from swarm.states import HealthState

ILL = HealthRecord(
    status=HealthStatus.UNHEALTHY,
    failing_streak=3,
    results=tuple(
        HealthResult(started_at=1.0, finished_at=2.0, exit_code=code, output=f"said {code}")
        for code in (0, 1, -1)
    ),
)


class Records:
    """What a runtime keeps and says; a container that is not in `records` does not exist."""

    def __init__(self, *changes: HealthChanged, **records: HealthRecord | None) -> None:
        self._changes = changes
        self._records = records

    async def health(self, container_id: str) -> HealthRecord | None:
        if container_id not in self._records:
            raise Missing(f"container {container_id} does not exist")
        return self._records[container_id]

    async def healths(self) -> AsyncIterator[HealthChanged]:
        for each in self._changes:
            yield each


class Listener:
    """The other end of a conversation."""

    def __init__(self) -> None:
        self.said: list[Any] = []

    async def conclude(self, **answer: Any) -> None:
        self.said.append(answer)


def examining(records: Records, metrics: Metrics | None = None) -> Examining:
    return Examining(records, metrics or Metrics(), structlog.get_logger())


def asked(records: Records, task_id: str) -> list[tuple[int, str]]:
    listener = Listener()
    question = dispatch_pb2.Question(health=dispatch_pb2.HealthQuestion(task_id=task_id))

    asyncio.run(examining(records).respond(cast(Talk, listener), question))

    [answer] = listener.said
    return [(each.exit_code, each.output) for each in answer["health"].results]


def test_results_are_told_in_their_order() -> None:
    found = asked(Records(t1=ILL), "t1")

    assert found == [(0, "said 0"), (1, "said 1"), (-1, "said -1")]


def test_a_container_without_checks_or_without_a_trace_has_no_results() -> None:
    assert asked(Records(t1=None), "t1") == []
    assert asked(Records(), "t1") == []


def test_an_illness_comes_with_what_the_last_check_printed_and_is_counted() -> None:
    metrics = Metrics()
    changes = (
        HealthChanged(container_id="t1", status=HealthStatus.HEALTHY, failing_streak=1),
        HealthChanged(container_id="t1", status=HealthStatus.UNHEALTHY, failing_streak=3),
        HealthChanged(container_id="gone", status=HealthStatus.UNHEALTHY, failing_streak=3),
    )

    async def heard() -> list[tuple[TaskId, Examined]]:
        return [each async for each in examining(Records(*changes, t1=ILL), metrics).changes()]

    ill = Examined(health=HealthState.UNHEALTHY, failing_streak=3)
    assert asyncio.run(heard()) == [
        ("t1", Examined(health=HealthState.HEALTHY, failing_streak=1)),
        ("t1", Examined(health=HealthState.UNHEALTHY, failing_streak=3, output="said -1")),
        ("gone", ill),
    ]
    found = metrics.registry.get_sample_value("swarm_agent_container_unhealthy_total")
    assert found == 2


def test_a_container_that_was_found_here_stands_as_it_was_recorded() -> None:
    async def stands(task_id: str) -> Examined | None:
        young = HealthRecord(status=HealthStatus.STARTING, failing_streak=2)
        return await examining(Records(young=young, none=None)).stands(TaskId(task_id))

    assert asyncio.run(stands("young")) == Examined(health=HealthState.STARTING, failing_streak=2)
    assert asyncio.run(stands("none")) is None
    assert asyncio.run(stands("gone")) is None
