"""Make of two readings what a task uses: shares of time need a before and an after."""

from msgspec import Struct

from runtime.cgroups.stats import NetworkUsage, Stats
from swarm.ids import TaskId


class Reading(Struct, frozen=True, kw_only=True):
    """What the kernel had counted of a task at `at`, monotonic seconds."""

    task_id: TaskId
    at: float
    stats: Stats
    networks: tuple[NetworkUsage, ...] = ()


class Use(Struct, frozen=True, kw_only=True):
    """What a task uses now; `cpu_percent` is of one core. Mirrors TaskStats in control.proto."""

    task_id: TaskId
    cpu_percent: float
    memory_bytes: int
    memory_limit_bytes: int
    received_bytes: int
    sent_bytes: int
    read_bytes: int
    written_bytes: int
    pids: int


def use(before: Reading | None, after: Reading) -> Use:
    """What was used between two readings; without a first one nothing is known of the cpu.

    Memory is the working set, as `docker stats` shows it: pages of files that could be
    dropped at once do not count.
    """
    stats = after.stats
    return Use(
        task_id=after.task_id,
        cpu_percent=_cpu_percent(before, after) if before is not None else 0.0,
        memory_bytes=stats.memory.working_set_bytes,
        memory_limit_bytes=stats.memory.limit_bytes,
        received_bytes=sum(each.rx_bytes for each in after.networks),
        sent_bytes=sum(each.tx_bytes for each in after.networks),
        read_bytes=stats.io.read_bytes,
        written_bytes=stats.io.write_bytes,
        pids=stats.pids.current,
    )


def _cpu_percent(before: Reading, after: Reading) -> float:
    elapsed_s = after.at - before.at
    used_ns = after.stats.cpu.usage_ns - before.stats.cpu.usage_ns
    if elapsed_s <= 0 or used_ns <= 0:
        return 0.0
    return used_ns / elapsed_s / 1e7
