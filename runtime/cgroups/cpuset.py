"""Pin a container to CPUs and memory nodes, where it asks for it.

A v1 group is made with neither, and no process may enter it until both are set; so a list
that was left out is taken from the parent.
"""

from collections.abc import Iterator
from typing import Final

from runtime.cgroups.setting import Setting
from runtime.oci.config import Resources

V1_INHERITED: Final = ("cpuset.cpus", "cpuset.mems")


def settings(resources: Resources) -> Iterator[Setting]:
    """The files are the same in both versions."""
    if resources.cpu is not None and resources.cpu.cpus:
        yield Setting("cpuset.cpus", (resources.cpu.cpus,))
    if resources.cpu is not None and resources.cpu.mems:
        yield Setting("cpuset.mems", (resources.cpu.mems,))
