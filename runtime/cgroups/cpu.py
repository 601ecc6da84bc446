"""Cap the CPU time of a container by a quota for each tenth of a second."""

from runtime.cgroups.setting import Setting
from runtime.spec import Resources

_PERIOD_US = 100_000


def v1(resources: Resources) -> tuple[Setting, ...]:
    """CFS quota and period; Documentation/scheduler/sched-bwc.rst."""
    if not resources.cpu_millis:
        return ()
    return (
        Setting("cpu.cfs_period_us", (str(_PERIOD_US),)),
        Setting("cpu.cfs_quota_us", (str(_quota_us(resources)),)),
    )


def v2(resources: Resources) -> tuple[Setting, ...]:
    """The same as one file."""
    if not resources.cpu_millis:
        return ()
    return (Setting("cpu.max", (f"{_quota_us(resources)} {_PERIOD_US}",)),)


def _quota_us(resources: Resources) -> int:
    return resources.cpu_millis * _PERIOD_US // 1000
