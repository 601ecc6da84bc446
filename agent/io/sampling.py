"""Sample what tasks use, for as long as somebody reads it and no longer.

Each reader has samples of its own. Files are read on a thread: with a thousand containers
that takes a tenth of a second, in which heartbeats must not wait.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping

from msgspec import Struct

from agent.io.conversations import Talk
from agent.usage import Reading, Use, use
from runtime.cgroups.stats import NetworkUsage, Stats
from swarm.api.v1 import control_pb2, dispatch_pb2
from swarm.ids import ServiceId, TaskId

FIRST_AFTER_S = 0.5
EVERY_S, SHORTEST_S, LONGEST_S = 1.0, 0.2, 60.0


class Sampled(Struct, frozen=True, kw_only=True):
    """A task whose container runs. `pid` 0: its network is not its own."""

    task_id: TaskId
    service_id: ServiceId
    pid: int = 0


class Sampling:
    """Answers `stats`. `running` lists the tasks; the others read what the kernel counts."""

    def __init__(
        self,
        *,
        running: Callable[[], Iterable[Sampled]],
        read_stats: Callable[[TaskId], Stats],
        read_networks: Callable[[int], tuple[NetworkUsage, ...]],
    ) -> None:
        self._running = running
        self._read_stats = read_stats
        self._read_networks = read_networks

    async def respond(self, talk: Talk, question: dispatch_pb2.Question) -> None:
        """Send samples of what is asked for, until nobody listens."""
        asked = question.stats
        interval_s = min(max(asked.interval_s or EVERY_S, SHORTEST_S), LONGEST_S)
        before = await self._read(asked)
        await asyncio.sleep(min(FIRST_AFTER_S, interval_s))
        while not talk.is_over:
            after = await self._read(asked)
            batch = _batch(use(before.get(key), reading) for key, reading in after.items())
            if asked.once:
                await talk.conclude(stats=batch)
                return
            await talk.say(stats=batch)
            before = after
            await asyncio.sleep(interval_s)

    async def _read(self, asked: dispatch_pb2.StatsQuestion) -> Mapping[TaskId, Reading]:
        return await asyncio.to_thread(self._read_all, self._chosen(asked))

    def _chosen(self, asked: dispatch_pb2.StatsQuestion) -> list[Sampled]:
        tasks, services = frozenset(asked.task_ids), frozenset(asked.service_ids)
        is_open = not tasks and not services
        return [
            each
            for each in self._running()
            if is_open or each.task_id in tasks or each.service_id in services
        ]

    def _read_all(self, tasks: Iterable[Sampled]) -> dict[TaskId, Reading]:
        return {
            each.task_id: Reading(
                task_id=each.task_id,
                at=time.monotonic(),
                stats=self._read_stats(each.task_id),
                networks=self._read_networks(each.pid) if each.pid else (),
            )
            for each in tasks
        }


def _batch(found: Iterable[Use]) -> control_pb2.StatsBatch:
    batch = control_pb2.StatsBatch()
    for each in found:
        sample = batch.tasks.add()
        for name in each.__struct_fields__:
            setattr(sample, name, getattr(each, name))
    return batch
