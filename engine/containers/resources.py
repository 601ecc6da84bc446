"""Translate what the kernel is told of a container.

Docker counts memory and swap together, we count swap by itself; a limit of memory without a word of
swap means as much swap again. Its cores are billionths, ours are thousandths: a finer share is
rounded, but never to none. In a change zero says nothing.
"""

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from engine.replies import JsonObject
from engine.wire.containers import ResourcesJson, ThrottleDeviceJson
from swarm.errors import Invalid, Refused
from swarm.specs import LEAST_CPU_MILLIS, LEAST_MEMORY_BYTES, Limits
from swarm.standalone import DeviceRate, DeviceRateKind, Shares

_NANOS_OF_A_MILLI = 1_000_000
_THROTTLES = (
    ("BlkioDeviceReadBps", DeviceRateKind.READ_BYTES),
    ("BlkioDeviceWriteBps", DeviceRateKind.WRITE_BYTES),
    ("BlkioDeviceReadIOps", DeviceRateKind.READS),
    ("BlkioDeviceWriteIOps", DeviceRateKind.WRITES),
)


def read_limits(asked: ResourcesJson) -> Limits:
    """The limits of a container to be made."""
    _check(asked)
    if asked.memory == 0 and asked.memory_swap > 0:
        raise Invalid(
            "You should always set the Memory limit when using Memoryswap limit, see usage"
        )
    return Limits(
        cpu_millis=_millis(asked.nano_cpus),
        memory_bytes=asked.memory,
        pids=max(asked.pids_limit or 0, 0),
        swap_bytes=_swap(asked.memory, asked.memory_swap or 2 * asked.memory),
        swappiness=_swappiness(asked.memory_swappiness),
    )


def read_shares(asked: ResourcesJson) -> Shares:
    """What else the kernel is told of a container to be made."""
    return Shares(
        cpu_shares=asked.cpu_shares,
        cpu_period_us=asked.cpu_period,
        cpu_quota_us=asked.cpu_quota,
        cpuset_cpus=asked.cpuset_cpus,
        cpuset_mems=asked.cpuset_mems,
        memory_reservation_bytes=asked.memory_reservation,
        blkio_weight=asked.blkio_weight,
        oom_kill_disable=bool(asked.oom_kill_disable),
    )


def change_limits(limits: Limits, shares: Shares, asked: ResourcesJson) -> Limits:
    """The limits after a change; `Refused` where it does not go with what there is."""
    _check(asked)
    memory = asked.memory or limits.memory_bytes
    total = asked.memory_swap or _total(limits)
    if not asked.memory_swap and 0 < total < memory:
        raise Refused(
            "Memory limit should be smaller than already set memoryswap limit, update the "
            "memoryswap at the same time"
        )
    if asked.memory_swap > 0 and memory == 0:
        raise Invalid(
            "You should always set the Memory limit when using Memoryswap limit, see usage"
        )
    if 0 < asked.memory_swap < memory:
        raise Invalid("Minimum memoryswap limit should be larger than memory limit, see usage")
    for name, value in (("Period", shares.cpu_period_us), ("Quota", shares.cpu_quota_us)):
        if asked.nano_cpus and value:
            raise Refused(
                f"Conflicting options: NanoCPUs cannot be updated as CPU {name} has already "
                "been set"
            )
    for name, value in (("Period", asked.cpu_period), ("Quota", asked.cpu_quota)):
        if limits.cpu_millis and value:
            raise Refused(
                f"Conflicting options: CPU {name} cannot be updated as NanoCPUs has already "
                "been set"
            )
    return Limits(
        cpu_millis=_millis(asked.nano_cpus) or limits.cpu_millis,
        memory_bytes=memory,
        pids=limits.pids if asked.pids_limit is None else max(asked.pids_limit, 0),
        swap_bytes=_swap(memory, total or -1)
        if asked.memory or asked.memory_swap
        else limits.swap_bytes,
        swappiness=limits.swappiness
        if asked.memory_swappiness is None
        else _swappiness(asked.memory_swappiness),
    )


def change_shares(shares: Shares, asked: ResourcesJson) -> Shares:
    """What else the kernel is told after a change."""
    wanted = read_shares(asked)
    fields = {name: getattr(wanted, name) or getattr(shares, name) for name in _SHARES}
    if asked.oom_kill_disable is not None:
        fields["oom_kill_disable"] = asked.oom_kill_disable
    return replace(shares, **fields)


_SHARES = Shares.__struct_fields__


def read_rates(asked: ResourcesJson) -> Iterator[DeviceRate]:
    """Limits of what is done with block devices."""
    for each in asked.blkio_weight_device:
        yield DeviceRate(path=each.path, kind=DeviceRateKind.WEIGHT, rate=each.weight)
    throttles: tuple[tuple[Iterable[ThrottleDeviceJson], DeviceRateKind], ...] = (
        (asked.blkio_device_read_bps, DeviceRateKind.READ_BYTES),
        (asked.blkio_device_write_bps, DeviceRateKind.WRITE_BYTES),
        (asked.blkio_device_read_i_ops, DeviceRateKind.READS),
        (asked.blkio_device_write_i_ops, DeviceRateKind.WRITES),
    )
    for devices, kind in throttles:
        for device in devices:
            yield DeviceRate(path=device.path, kind=kind, rate=device.rate)


def write_resources(limits: Limits, shares: Shares, rates: Iterable[DeviceRate]) -> JsonObject:
    """What the kernel is told, as clients read it."""
    rates = tuple(rates)
    return {
        "CpuShares": shares.cpu_shares,
        "Memory": limits.memory_bytes,
        "NanoCpus": limits.cpu_millis * _NANOS_OF_A_MILLI,
        "BlkioWeight": shares.blkio_weight,
        "BlkioWeightDevice": [
            {"Path": each.path, "Weight": each.rate}
            for each in rates
            if each.kind is DeviceRateKind.WEIGHT
        ],
        **{
            name: [{"Path": each.path, "Rate": each.rate} for each in rates if each.kind is kind]
            for name, kind in _THROTTLES
        },
        "CpuPeriod": shares.cpu_period_us,
        "CpuQuota": shares.cpu_quota_us,
        "CpuRealtimePeriod": 0,
        "CpuRealtimeRuntime": 0,
        "CpusetCpus": shares.cpuset_cpus,
        "CpusetMems": shares.cpuset_mems,
        "MemoryReservation": shares.memory_reservation_bytes,
        "MemorySwap": _total(limits),
        "MemorySwappiness": None if limits.swappiness < 0 else limits.swappiness,
        "OomKillDisable": shares.oom_kill_disable,
        "PidsLimit": limits.pids or None,
    }


def warnings_of(asked: ResourcesJson) -> Iterator[str]:
    """What is passed over, in words."""
    if asked.kernel_memory > 0:
        yield "Kernel memory limits are deprecated and discarded."
    if asked.kernel_memory_tcp > 0:
        yield "Kernel memory TCP limits are discarded."
    if asked.cpu_percent > 0:
        yield "linux does not support CPU percent. Percent discarded."
    if asked.oom_kill_disable and asked.memory == 0:
        yield (
            "OOM killer is disabled for the container, but no memory limit is set, this can "
            "result in the system running out of resources."
        )


def _check(asked: ResourcesJson) -> None:
    for problem in _problems(asked):
        raise Invalid(problem)


def _problems(asked: ResourcesJson) -> Iterator[str]:
    yield from _memory_problems(asked)
    yield from _cpu_problems(asked)
    if asked.blkio_weight and not 10 <= asked.blkio_weight <= 1000:
        yield "Range of blkio weight is from 10 to 1000"
    if asked.i_o_maximum_bandwidth or asked.i_o_maximum_i_ops:
        yield (
            "Invalid QoS settings: linux does not support Maximum IO Bandwidth or Maximum IO IOps"
        )
    if asked.device_requests:
        yield "DeviceRequests: there are no drivers that hand out devices: name them in Devices"


def _memory_problems(asked: ResourcesJson) -> Iterator[str]:
    if asked.memory and asked.memory < LEAST_MEMORY_BYTES:
        yield "Minimum memory limit allowed is 6MB"
    if asked.memory and 0 < asked.memory_swap < asked.memory:
        yield "Minimum memoryswap limit should be larger than memory limit, see usage"
    if asked.memory_swap < -1:
        yield f"MemorySwap: {asked.memory_swap} is neither -1 nor a number of bytes"
    if asked.memory_reservation and asked.memory_reservation < LEAST_MEMORY_BYTES:
        yield "Minimum memory reservation allowed is 6MB"
    if 0 < asked.memory < asked.memory_reservation:
        yield ("Minimum memory limit can not be less than memory reservation limit, see usage")


def _cpu_problems(asked: ResourcesJson) -> Iterator[str]:
    if asked.nano_cpus < 0:
        yield f"NanoCpus: {asked.nano_cpus} is negative"
    for name, value in (("Period", asked.cpu_period), ("Quota", asked.cpu_quota)):
        if asked.nano_cpus > 0 and value > 0:
            yield f"Conflicting options: Nano CPUs and CPU {name} cannot both be set"
    if asked.cpu_period and not 1000 <= asked.cpu_period <= 1_000_000:
        yield (
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"
        )
    if 0 < asked.cpu_quota < 1000:
        yield "CPU cfs quota can not be less than 1ms (i.e. 1000)"
    if asked.cpu_shares < 0:
        yield f"CpuShares: {asked.cpu_shares} is negative"
    if asked.cpu_realtime_period or asked.cpu_realtime_runtime:
        yield "CPU real-time scheduling is not supported: leave CpuRealtime* out"


def _millis(nano_cpus: int) -> int:
    if nano_cpus == 0:
        return 0
    return max(round(nano_cpus / _NANOS_OF_A_MILLI), LEAST_CPU_MILLIS)


def _swap(memory: int, total: int) -> int:
    if total < 0:
        return -1
    return max(total - memory, 0)


def _total(limits: Limits) -> int:
    """Memory and swap together; -1 without a bound, 0 where nothing was said."""
    if limits.swap_bytes < 0:
        return -1
    return limits.memory_bytes + limits.swap_bytes if limits.memory_bytes else 0


def _swappiness(asked: int | None) -> int:
    if asked is None or asked == -1:
        return -1
    if not 0 <= asked <= 100:
        raise Invalid(f"Invalid value: {asked}, valid memory swappiness range is 0-100")
    return asked
