"""Cap the CPU time of a container by a quota for each tenth of a second."""

from runtime.cgroups.setting import Setting
from runtime.oci.config import Resources

_PERIOD_US = 100_000


def v1(resources: Resources) -> tuple[Setting, ...]:
    """CFS quota and period; Documentation/scheduler/sched-bwc.rst."""
    cpu = resources.cpu
    if cpu is None or not cpu.quota:
        return ()
    return (
        Setting("cpu.cfs_period_us", (str(cpu.period or _PERIOD_US),)),
        Setting("cpu.cfs_quota_us", (str(cpu.quota),)),
    )


def v2(resources: Resources) -> tuple[Setting, ...]:
    """The same as one file."""
    cpu = resources.cpu
    if cpu is None or not cpu.quota:
        return ()
    quota = "max" if cpu.quota < 0 else str(cpu.quota)
    return (Setting("cpu.max", (f"{quota} {cpu.period or _PERIOD_US}",)),)
