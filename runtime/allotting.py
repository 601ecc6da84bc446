"""Say what limits are in the terms of an OCI config, and what has to be said when they change.

A limit of 0 is none. Nothing said to the kernel leaves a group as it is; so where a limit goes,
what has none is said instead.
"""

from typing import Final, TypeVar

import msgspec

from runtime.oci.config import BlockIo, Cpu, Memory, Pids, ThrottleDevice, WeightDevice
from runtime.oci.config import Resources as OciResources
from runtime.spec import RateKind, Resources

_Limits = TypeVar("_Limits", Cpu, Memory, BlockIo)
_PERIOD_US: Final = 100_000
_FAIR_SHARES: Final = 1024
_FAIR_WEIGHT: Final = 100


def to_resources(asked: Resources) -> OciResources:
    """A limit of 0 is none, and a limit of memory alone allows no swap."""
    return OciResources(
        cpu=_unless_empty(_cpu(asked)),
        memory=_unless_empty(_memory(asked)),
        pids=Pids(limit=asked.pids_limit) if asked.pids_limit else None,
        block_io=_unless_empty(_block_io(asked)),
    )


def to_change(before: Resources, after: Resources, *, is_v1: bool) -> OciResources:
    """What has to be said of a group with the limits of `before` that is to have `after`'s.

    Nothing said leaves things as they are, so what was limited and is no longer is said.
    """
    was, asked = to_resources(before), to_resources(after)
    cpu, memory = asked.cpu or Cpu(), asked.memory or Memory()
    old_cpu, old_memory = was.cpu or Cpu(), was.memory or Memory()
    cpu = msgspec.structs.replace(
        cpu,
        shares=cpu.shares or (_FAIR_SHARES if old_cpu.shares else None),
        quota=cpu.quota or (-1 if old_cpu.quota else None),
        period=cpu.period or (_PERIOD_US if old_cpu.period else None),
    )
    is_freed = bool(old_memory.reservation and not memory.reservation)
    memory = msgspec.structs.replace(
        memory,
        limit=memory.limit or (-1 if old_memory.limit else None),
        swap=memory.swap or (-1 if old_memory.swap else None),
        reservation=-1 if is_freed and is_v1 else memory.reservation,
        disable_oom_killer=after.oom_kill_disable
        if after.oom_kill_disable != before.oom_kill_disable
        else None,
    )
    pids, weight = after.pids_limit, after.blkio_weight
    return OciResources(
        cpu=_unless_empty(cpu),
        memory=_unless_empty(memory),
        pids=Pids(limit=pids or -1) if pids != before.pids_limit else None,
        block_io=BlockIo(weight=weight or _FAIR_WEIGHT) if weight != before.blkio_weight else None,
        unified={"memory.low": "0"} if is_freed and not is_v1 else {},
    )


def _unless_empty(asked: _Limits) -> _Limits | None:
    return None if asked == type(asked)() else asked


def _block_io(asked: Resources) -> BlockIo:
    def rates(kind: RateKind) -> tuple[ThrottleDevice, ...]:
        return tuple(
            ThrottleDevice(major=each.major, minor=each.minor, rate=each.rate)
            for each in asked.device_rates
            if each.kind is kind
        )

    return BlockIo(
        weight=asked.blkio_weight or None,
        weight_device=tuple(
            WeightDevice(major=each.major, minor=each.minor, weight=each.rate)
            for each in rates(RateKind.WEIGHT)
        ),
        throttle_read_bps_device=rates(RateKind.READ_BYTES),
        throttle_write_bps_device=rates(RateKind.WRITE_BYTES),
        throttle_read_iops_device=rates(RateKind.READS),
        throttle_write_iops_device=rates(RateKind.WRITES),
    )


def _cpu(asked: Resources) -> Cpu:
    quota, period = asked.cpu_quota_us or None, asked.cpu_period_us or None
    if asked.cpu_millis:
        quota, period = asked.cpu_millis * _PERIOD_US // 1000, _PERIOD_US
    return Cpu(
        shares=asked.cpu_shares or None,
        quota=quota,
        period=period,
        cpus=asked.cpuset_cpus,
        mems=asked.cpuset_mems,
    )


def _memory(asked: Resources) -> Memory:
    return Memory(
        limit=asked.memory_bytes or None,
        reservation=asked.memory_reservation_bytes or None,
        swap=(asked.memory_swap_bytes or asked.memory_bytes) or None,
        swappiness=asked.memory_swappiness if asked.memory_swappiness >= 0 else None,
        disable_oom_killer=asked.oom_kill_disable or None,
    )
