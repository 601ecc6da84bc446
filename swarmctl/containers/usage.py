"""Write what containers use, as `stats` shows it."""

from collections.abc import Iterable

from swarm.api.v1 import containers_pb2 as pb
from swarmctl.rows import Detail
from swarmctl.tables import Listing
from swarmctl.usage import BINARY, NOTHING, pair, size

STATS = Listing(
    columns=("ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs"),
    headings={
        "Container": "CONTAINER",
        "ID": "CONTAINER ID",
        "Name": "NAME",
        "CPUPerc": "CPU %",
        "MemUsage": "MEM USAGE / LIMIT",
        "MemPerc": "MEM %",
        "NetIO": "NET I/O",
        "BlockIO": "BLOCK I/O",
        "PIDs": "PIDS",
    },
)


def stats_row(
    now: pb.ContainerStats, before: pb.ContainerStats | None, detail: Detail
) -> dict[str, str]:
    """A line; shares of cpu are those since the sample before."""
    named = {"Container": now.name, "ID": detail.id(now.id), "Name": now.name}
    if not now.is_running:
        return (
            named
            | dict.fromkeys(("CPUPerc", "MemPerc", "NetIO", "BlockIO", "PIDs"), NOTHING)
            | {"MemUsage": f"{NOTHING} / {NOTHING}"}
        )
    used, limit = now.memory_bytes, now.memory_limit_bytes
    return named | {
        "CPUPerc": f"{_cpu_percent(now, before):.2f}%",
        "MemUsage": f"{size(used, 1024, BINARY, 4)} / {size(limit, 1024, BINARY, 4)}",
        "MemPerc": f"{100 * used / limit:.2f}%" if limit else "0.00%",
        "NetIO": pair(
            _sum(each.rx_bytes for each in now.interfaces),
            _sum(each.tx_bytes for each in now.interfaces),
        ),
        "BlockIO": pair(
            _sum(each.read_bytes for each in now.devices),
            _sum(each.write_bytes for each in now.devices),
        ),
        "PIDs": str(now.pids),
    }


def _cpu_percent(now: pb.ContainerStats, before: pb.ContainerStats | None) -> float:
    if before is None or now.at <= before.at:
        return 0.0
    return max(now.cpu.usage_ns - before.cpu.usage_ns, 0) / (now.at - before.at) / 1e7


def _sum(counts: Iterable[int]) -> int:
    return sum(counts)
