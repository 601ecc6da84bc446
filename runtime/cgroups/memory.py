"""Limit memory, and memory and swap together, and read back whether a limit killed anyone.

The sum counts in OCI and in v1; v2 counts swap by itself. A limit of the kernel's own memory
is ignored as the specification asks: the kernel has given it up. So is `useHierarchy`, which
is always so since 5.11, unless it is to be turned off.
"""

from collections.abc import Iterator

from runtime.cgroups.setting import Demand, Refusal, Setting
from runtime.oci.config import Memory, Resources

V1_EVENTS = "memory.oom_control"
V2_EVENTS = "memory.events"


def v1(resources: Resources) -> Iterator[Demand]:
    """The sum must never be below the limit; what is unlimited alone is so with swap, too."""
    memory = resources.memory or Memory()
    if memory.use_hierarchy is False:
        yield Setting("memory.use_hierarchy", ("0",))
    if memory.reservation:
        yield Setting("memory.soft_limit_in_bytes", (str(memory.reservation),))
    together = memory.swap or (-1 if memory.limit == -1 else 0)
    if memory.limit:
        yield Setting("memory.limit_in_bytes", (str(memory.limit),), bound=bool(together))
    if together:
        # Without swap accounting there is none that this could keep from being used.
        without = together in (-1, memory.limit)
        yield Setting("memory.memsw.limit_in_bytes", (str(together),), optional=without)
    if memory.kernel_tcp:
        yield Setting("memory.kmem.tcp.limit_in_bytes", (str(memory.kernel_tcp),))
    if memory.swappiness is not None:
        yield Setting("memory.swappiness", (str(memory.swappiness),))
    if memory.disable_oom_killer is not None:
        yield Setting(V1_EVENTS, (str(int(memory.disable_oom_killer)),))


def v2(resources: Resources) -> Iterator[Demand]:
    """A reservation is protected, where v1 only reclaims the rest first."""
    memory = resources.memory or Memory()
    if memory.reservation:
        yield Setting("memory.low", (_bytes(memory.reservation),))
    if memory.swap:
        yield _swap(memory)
    if memory.limit:
        yield Setting("memory.max", (_bytes(memory.limit),))
    if memory.kernel_tcp:
        yield Refusal("memory.kernelTCP", "cgroup v2 counts it with all other memory")
    if memory.swappiness is not None:
        yield Refusal("memory.swappiness", "cgroup v2 has no swappiness of a group")
    if memory.disable_oom_killer:
        yield Refusal("memory.disableOOMKiller", "cgroup v2 cannot do without it")
    if memory.use_hierarchy is False:
        yield Refusal("memory.useHierarchy", "cgroup v2 always counts children")


def oom_kills(events: str) -> int:
    """How often the kernel killed for memory: `oom_kill` of V1_EVENTS or V2_EVENTS."""
    for line in events.splitlines():
        key, _, value = line.partition(" ")
        if key == "oom_kill":
            return int(value)
    return 0


def _swap(memory: Memory) -> Demand:
    swap = memory.swap or 0
    if swap < 0:
        return Setting("memory.swap.max", ("max",), optional=True)
    if not memory.limit:
        return Refusal("memory.swap", "counts memory too, and memory.limit is not given")
    if memory.limit < 0:
        return Refusal("memory.swap", "counts memory too, and memory.limit is unlimited")
    alone = swap - memory.limit
    return Setting("memory.swap.max", (str(alone),), optional=not alone)


def _bytes(number: int) -> str:
    return "max" if number < 0 else str(number)
