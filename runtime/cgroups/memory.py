"""Limit memory and swap together, and read back whether the limit killed anyone.

Without a swap limit the kernel swaps the container out instead of killing it, and a leaking
task slows its whole node down for minutes before anyone notices. So a memory limit alone
means no swap.
"""

from runtime.cgroups.setting import Setting
from runtime.oci.config import Resources

V1_EVENTS = "memory.oom_control"
V2_EVENTS = "memory.events"


def v1(resources: Resources) -> tuple[Setting, ...]:
    """The sum must never be below the limit, so the limit is written first."""
    memory = resources.memory
    if memory is None or not memory.limit:
        return ()
    return (
        Setting("memory.limit_in_bytes", (str(memory.limit),)),
        Setting("memory.memsw.limit_in_bytes", (str(memory.swap or memory.limit),), optional=True),
    )


def v2(resources: Resources) -> tuple[Setting, ...]:
    """Here swap is counted by itself."""
    memory = resources.memory
    if memory is None or not memory.limit:
        return ()
    together = memory.swap or memory.limit
    swap = "max" if together < 0 else str(together - memory.limit)
    return (
        Setting("memory.max", ("max" if memory.limit < 0 else str(memory.limit),)),
        Setting("memory.swap.max", (swap,), optional=True),
    )


def oom_kills(events: str) -> int:
    """How often the kernel killed for memory: `oom_kill` of V1_EVENTS or V2_EVENTS."""
    for line in events.splitlines():
        key, _, value = line.partition(" ")
        if key == "oom_kill":
            return int(value)
    return 0
