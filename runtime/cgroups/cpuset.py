"""Pin a container to CPUs and memory nodes, where it asks for it.

A v1 group is made with neither, and no process may enter it until both are set; so groups are
made in this hierarchy only for containers that are pinned, and a list that was left out is
taken from the parent.
"""

from typing import Final

from runtime.cgroups.setting import Setting
from runtime.oci.config import Resources

V1_INHERITED: Final = ("cpuset.cpus", "cpuset.mems")


def is_used(resources: Resources) -> bool:
    """Whether the container is pinned at all."""
    return resources.cpu is not None and bool(resources.cpu.cpus or resources.cpu.mems)


def v1(resources: Resources) -> tuple[Setting, ...]:
    """What replaces the lists of V1_INHERITED, which a new group takes from its parent."""
    return _settings(resources)


def v2(resources: Resources) -> tuple[Setting, ...]:
    """Only what was asked for; the rest is inherited by the kernel."""
    return _settings(resources)


def _settings(resources: Resources) -> tuple[Setting, ...]:
    if resources.cpu is None:
        return ()
    wanted = (("cpuset.cpus", resources.cpu.cpus), ("cpuset.mems", resources.cpu.mems))
    return tuple(Setting(file, (value,)) for file, value in wanted if value)
