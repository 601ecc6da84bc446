"""Share out CPU time: by weight where it is short, by quota even where it is not.

v1 calls the weight shares (1024 is a fair one) and v2 weight (100 is). A quota is judged by
the kernel together with its period and burst: burst within the quota, quota over period within
the parent's.
"""

import math
from collections.abc import Iterator

from runtime.cgroups.setting import Demand, Refusal, Setting
from runtime.oci.config import Cpu, Resources

_PERIOD_US = 100_000  # the kernel's own
_LEAST_SHARES, _MOST_SHARES = 2, 262_144


def v1(resources: Resources) -> Iterator[Demand]:
    """Documentation/scheduler/sched-bwc.rst and sched-rt-group.rst."""
    cpu = resources.cpu or Cpu()
    if cpu.idle is not None:
        yield Setting("cpu.idle", (str(cpu.idle),))
    if cpu.shares and not cpu.idle:
        yield Setting("cpu.shares", (str(cpu.shares),))
    if cpu.period:
        yield Setting("cpu.cfs_period_us", (str(cpu.period),), bound=True)
    if cpu.burst is not None:
        yield Setting("cpu.cfs_burst_us", (str(cpu.burst),), bound=True)
    if cpu.quota:
        yield Setting("cpu.cfs_quota_us", (str(max(-1, cpu.quota)),))
    if cpu.realtime_period:
        yield Setting("cpu.rt_period_us", (str(cpu.realtime_period),), bound=True)
    if cpu.realtime_runtime:
        yield Setting("cpu.rt_runtime_us", (str(cpu.realtime_runtime),))


def v2(resources: Resources) -> Iterator[Demand]:
    """Documentation/admin-guide/cgroup-v2.rst. An idle group has no weight of its own."""
    cpu = resources.cpu or Cpu()
    if cpu.idle is not None:
        yield Setting("cpu.idle", (str(cpu.idle),))
    if cpu.shares and not cpu.idle:
        yield Setting("cpu.weight", (str(weight(cpu.shares)),))
    if cpu.burst is not None:
        yield Setting("cpu.max.burst", (str(cpu.burst),), bound=True)
    if cpu.quota or cpu.period:
        quota = str(cpu.quota) if cpu.quota and cpu.quota > 0 else "max"
        yield Setting("cpu.max", (f"{quota} {cpu.period or _PERIOD_US}",))
    if cpu.realtime_runtime or cpu.realtime_period:
        field = "cpu.realtimeRuntime" if cpu.realtime_runtime else "cpu.realtimePeriod"
        yield Refusal(field, "cgroup v2 shares out no realtime")


def weight(shares: int) -> int:
    """The v2 weight of v1 shares: 2 is 1, 1024 is 100, 262144 is 10000.

    On a logarithmic scale these three lie on a parabola, and the other values with them, as
    runc and crun have it too. A straight line would make 39 of the fair share.
    """
    binary = math.log2(min(max(shares, _LEAST_SHARES), _MOST_SHARES))
    exponent = (binary * binary + 125 * binary) / 612 - 7 / 34
    return min(10_000, math.ceil(round(10**exponent, 9)))
