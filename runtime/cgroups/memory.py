"""Limit memory and swap together, and read back whether the limit killed anyone.

Without a swap limit the kernel swaps the container out instead of killing it, and a leaking
task slows its whole node down for minutes before anyone notices. So a memory limit alone
means no swap.
"""

from runtime.cgroups.setting import Setting
from runtime.spec import Resources

V1_EVENTS = "memory.oom_control"
V2_EVENTS = "memory.events"


def v1(resources: Resources) -> tuple[Setting, ...]:
    """The sum must never be below the limit, so the limit is written first."""
    if not resources.memory_bytes:
        return ()
    together = resources.memory_swap_bytes or resources.memory_bytes
    return (
        Setting("memory.limit_in_bytes", (str(resources.memory_bytes),)),
        Setting("memory.memsw.limit_in_bytes", (str(together),), optional=True),
    )


def v2(resources: Resources) -> tuple[Setting, ...]:
    """Here swap is counted by itself."""
    if not resources.memory_bytes:
        return ()
    together = resources.memory_swap_bytes or resources.memory_bytes
    swap = "max" if together == -1 else str(together - resources.memory_bytes)
    return (
        Setting("memory.max", (str(resources.memory_bytes),)),
        Setting("memory.swap.max", (swap,), optional=True),
    )


def oom_kills(events: str) -> int:
    """How often the kernel killed for memory: `oom_kill` of V1_EVENTS or V2_EVENTS."""
    for line in events.splitlines():
        key, _, value = line.partition(" ")
        if key == "oom_kill":
            return int(value)
    return 0
