"""Sample what containers use, for as long as somebody reads it.

Each sample comes with the one before it, so that whoever reads can tell what was used in between.
A container that does not run uses nothing, and is told of like that once a second, too.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

from agent.standalone.found import Found
from agent.standalone.io.lives import Lives
from runtime.cgroups.stats import Stats
from swarm.api.v1 import containers_pb2 as pb
from swarm.errors import Missing

EVERY_S = 1.0
_NANOSECONDS = 1_000_000_000


class Runtime(Protocol):
    """What knows what containers use."""

    async def stats(self, container_id: str) -> Stats:
        """What one uses now and has used; raises `Missing`."""
        ...


class Samples:
    """Samples of all containers."""

    def __init__(self, lives: Lives, runtime: Runtime) -> None:
        self._lives = lives
        self._runtime = runtime

    async def watch(self, asked: pb.WatchContainerStatsRequest) -> AsyncIterator[pb.ContainerStats]:
        """One sample a second, or one alone: at once if `one_shot`."""
        found = self._lives.find(asked.container)
        before = await self._sample(found)
        if asked.once and (asked.one_shot or not before.is_running):
            yield before
            return
        if not asked.once:
            yield before
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                found = self._lives.find(found.id)
            except Missing:
                return
            sample = await self._sample(found)
            if before.is_running:
                sample.before_at = before.at
                sample.cpu_before.CopyFrom(before.cpu)
            yield sample
            if asked.once:
                return
            before = sample

    async def _sample(self, found: Found) -> pb.ContainerStats:
        sample = pb.ContainerStats(id=found.id, name=found.name, at=time.time())
        if not found.is_running:
            return sample
        try:
            used = await self._runtime.stats(found.runtime_id)
        except Missing:
            return sample  # it has just ended
        sample.at = time.time()
        sample.is_running = True
        _fill(sample, used)
        return sample


def _fill(sample: pb.ContainerStats, used: Stats) -> None:
    sample.cpu.CopyFrom(
        pb.CpuSample(
            usage_ns=used.cpu.usage_ns,
            user_ns=used.cpu.user_ns,
            system_ns=used.cpu.system_ns,
            per_cpu_ns=used.cpu.per_cpu_ns,
            host_ns=_host_ns(),
            online_cpus=os.cpu_count() or 1,
            periods=used.cpu.periods,
            throttled_periods=used.cpu.throttled_periods,
            throttled_ns=used.cpu.throttled_ns,
        )
    )
    sample.memory_bytes = used.memory.usage_bytes
    sample.memory_max_bytes = used.memory.max_usage_bytes
    sample.memory_limit_bytes = used.memory.limit_bytes
    sample.memory_failures = used.memory.failures
    sample.memory.update(used.memory.raw)
    sample.pids, sample.pids_limit = used.pids.current, used.pids.limit
    for device in used.io.devices:
        sample.devices.add(
            major=device.major,
            minor=device.minor,
            read_bytes=device.read_bytes,
            write_bytes=device.write_bytes,
            reads=device.reads,
            writes=device.writes,
        )
    for each in used.networks:
        if each.name != "lo":
            sample.interfaces.add(**{name: getattr(each, name) for name in each.__struct_fields__})


def _host_ns() -> int:
    """The time that all CPUs of the node had, by the first line of proc_stat(5)."""
    words = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    ticks = sum(int(each) for each in words[1:9])
    return ticks * _NANOSECONDS // os.sysconf("SC_CLK_TCK")
