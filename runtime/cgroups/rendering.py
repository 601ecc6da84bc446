"""Give statistics the form that runc prints them in, which containerd and others read.

The names and the units are runc's `events --stats`: times in nanoseconds, memory in bytes,
operations as the kernel's v1 files name them. What is 0 is left out where runc leaves it out.
"""

from typing import Final, TypeAlias

from runtime.cgroups.stats import (
    CpuUsage,
    DeviceUsage,
    MemoryUsage,
    NetworkUsage,
    Pressure,
    Pressures,
    Stats,
)

Json: TypeAlias = "int | float | str | list[Json] | dict[str, Json]"
_UNLIMITED: Final = (1 << 64) - 1


def stats_event(container_id: str, stats: Stats) -> dict[str, Json]:
    """One line of `events`, which `events --stats` prints alone."""
    return {"type": "stats", "id": container_id, "data": render(stats)}


def oom_event(container_id: str) -> dict[str, Json]:
    """The line of `events` that tells a kill for memory."""
    return {"type": "oom", "id": container_id}


def render(stats: Stats) -> dict[str, Json]:
    """The data of a stats event."""
    found: dict[str, Json] = {
        "cpu": _cpu(stats.cpu) | _pressures(stats.cpu_pressure),
        "cpuset": _CPUSET,
        "memory": _memory(stats.memory) | _pressures(stats.memory_pressure),
        "pids": _known({"current": stats.pids.current, "limit": stats.pids.limit}),
        "blkio": _blkio(stats.io.devices) | _pressures(stats.io_pressure),
        "hugetlb": {
            each.page_size: _known({"usage": each.usage_bytes, "max": each.max_usage_bytes})
            | {"failcnt": each.failures}
            for each in stats.hugepages
        },
        "intel_rdt": {},
        "network_interfaces": [_network(each) for each in stats.networks],
    }
    return found


# Readers of this demand the keys and ignore them; what is set is in the files of cpuset.
_CPUSET: Final[dict[str, Json]] = {
    "cpu_exclusive": 0,
    "mem_hardwall": 0,
    "mem_exclusive": 0,
    "memory_migrate": 0,
    "memory_spread_page": 0,
    "memory_spread_slab": 0,
    "memory_pressure": 0,
    "sched_load_balance": 0,
    "sched_relax_domain_level": 0,
}


def _cpu(cpu: CpuUsage) -> dict[str, Json]:
    usage = _known({"total": cpu.usage_ns})
    for name, numbers in (
        ("percpu", cpu.per_cpu_ns),
        ("percpu_kernel", cpu.per_cpu_system_ns),
        ("percpu_user", cpu.per_cpu_user_ns),
    ):
        if numbers:
            usage[name] = list(numbers)
    usage |= {"kernel": cpu.system_ns, "user": cpu.user_ns}
    throttling = _known(
        {
            "periods": cpu.periods,
            "throttledPeriods": cpu.throttled_periods,
            "throttledTime": cpu.throttled_ns,
        }
    )
    return {"usage": usage, "throttling": throttling}


def _memory(memory: MemoryUsage) -> dict[str, Json]:
    both = memory.usage_bytes + memory.swap_bytes
    most = memory.limit_bytes + memory.swap_limit_bytes if memory.swap_limit_bytes else 0
    return {
        **_known({"cache": memory.cache_bytes}),
        "usage": _entry(
            memory.limit_bytes, memory.usage_bytes, memory.failures, memory.max_usage_bytes
        ),
        "swap": _entry(most, both, memory.swap_failures),
        "kernel": _entry(0, memory.kernel_bytes, 0),
        "kernelTCP": _entry(0, 0, 0),
        "raw": dict[str, Json](memory.raw),
    }


def _entry(limit: int, usage: int, failures: int, most: int = 0) -> dict[str, Json]:
    known = _known({"usage": usage, "max": most})
    return {"limit": limit or _UNLIMITED, **known, "failcnt": failures}


def _blkio(devices: tuple[DeviceUsage, ...]) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for name, read, write in (
        ("ioServiceBytesRecursive", "read_bytes", "write_bytes"),
        ("ioServicedRecursive", "reads", "writes"),
    ):
        entries: list[Json] = []
        for device in devices:
            where = _known({"major": device.major, "minor": device.minor})
            for operation, counter in (("Read", read), ("Write", write)):
                count: int = getattr(device, counter)
                entries.append(where | {"op": operation} | _known({"value": count}))
        if entries:
            found[name] = entries
    return found


def _network(usage: NetworkUsage) -> dict[str, Json]:
    return {
        "Name": usage.name,
        "RxBytes": usage.rx_bytes,
        "RxPackets": usage.rx_packets,
        "RxErrors": usage.rx_errors,
        "RxDropped": usage.rx_dropped,
        "TxBytes": usage.tx_bytes,
        "TxPackets": usage.tx_packets,
        "TxErrors": usage.tx_errors,
        "TxDropped": usage.tx_dropped,
    }


def _pressures(pressures: Pressures | None) -> dict[str, Json]:
    if pressures is None:
        return {}
    return {"psi": {"some": _pressure(pressures.some), "full": _pressure(pressures.full)}}


def _pressure(pressure: Pressure) -> dict[str, Json]:
    return {
        "avg10": pressure.avg10,
        "avg60": pressure.avg60,
        "avg300": pressure.avg300,
        "total": pressure.total_us,
    }


def _known(numbers: dict[str, int]) -> dict[str, Json]:
    return {name: number for name, number in numbers.items() if number}
