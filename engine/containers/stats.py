"""Show what a container uses, so that `docker stats` works out the right shares.

Docker's shares of memory are of what is used without the page cache, which clients take off by
themselves with the kernel's own table; shares of CPU are against the host's time.
"""

from collections.abc import Iterable

from engine import times
from engine.replies import JsonObject
from swarm.api.v1 import containers_pb2 as pb


def write_stats(stats: pb.ContainerStats) -> JsonObject:
    """One sample, with the one before."""
    shown: JsonObject = {
        "name": f"/{stats.name}",
        "id": stats.id,
        "read": times.stamp(stats.at if stats.is_running else 0),
        "preread": times.stamp(stats.before_at),
        "num_procs": 0,
        "pids_stats": _write_pids(stats),
        "storage_stats": {},
        "cpu_stats": _write_cpu(stats.cpu),
        "precpu_stats": _write_cpu(stats.cpu_before),
        "memory_stats": _write_memory(stats),
        "blkio_stats": _write_devices(stats.devices),
    }
    if stats.interfaces:
        shown["networks"] = {each.name: _write_interface(each) for each in stats.interfaces}
    return shown


def _write_pids(stats: pb.ContainerStats) -> JsonObject:
    if not stats.is_running:
        return {}
    # Clients read the largest number there is as no bound.
    return {"current": stats.pids, "limit": stats.pids_limit or 2**64 - 1}


def _write_cpu(cpu: pb.CpuSample) -> JsonObject:
    usage: JsonObject = {
        "total_usage": cpu.usage_ns,
        "usage_in_kernelmode": cpu.system_ns,
        "usage_in_usermode": cpu.user_ns,
    }
    if cpu.per_cpu_ns:
        usage["percpu_usage"] = list(cpu.per_cpu_ns)
    shown: JsonObject = {"cpu_usage": usage}
    if cpu.host_ns:
        shown["system_cpu_usage"] = cpu.host_ns
    if cpu.online_cpus:
        shown["online_cpus"] = cpu.online_cpus
    shown["throttling_data"] = {
        "periods": cpu.periods,
        "throttled_periods": cpu.throttled_periods,
        "throttled_time": cpu.throttled_ns,
    }
    return shown


def _write_memory(stats: pb.ContainerStats) -> JsonObject:
    if not stats.is_running:
        return {}
    shown: JsonObject = {"usage": stats.memory_bytes}
    if stats.memory_max_bytes:
        shown["max_usage"] = stats.memory_max_bytes
    if stats.memory_failures:
        shown["failcnt"] = stats.memory_failures
    shown["stats"] = dict(stats.memory)
    shown["limit"] = stats.memory_limit_bytes
    return shown


def _write_devices(devices: Iterable[pb.DeviceSample]) -> JsonObject:
    found = tuple(devices)
    return {
        "io_service_bytes_recursive": [
            {"major": each.major, "minor": each.minor, "op": op, "value": value}
            for each in found
            for op, value in (("read", each.read_bytes), ("write", each.write_bytes))
        ]
        or None,
        "io_serviced_recursive": [
            {"major": each.major, "minor": each.minor, "op": op, "value": value}
            for each in found
            for op, value in (("read", each.reads), ("write", each.writes))
        ]
        or None,
        "io_queue_recursive": None,
        "io_service_time_recursive": None,
        "io_wait_time_recursive": None,
        "io_merged_recursive": None,
        "io_time_recursive": None,
        "sectors_recursive": None,
    }


def _write_interface(each: pb.InterfaceSample) -> JsonObject:
    return {
        "rx_bytes": each.rx_bytes,
        "rx_packets": each.rx_packets,
        "rx_errors": each.rx_errors,
        "rx_dropped": each.rx_dropped,
        "tx_bytes": each.tx_bytes,
        "tx_packets": each.tx_packets,
        "tx_errors": each.tx_errors,
        "tx_dropped": each.tx_dropped,
    }
