"""Find this host's control groups."""

from runtime.cgroups.layout import Layout, read_layout
from runtime.io.cgroups import read


def host_layout(*, thorough: bool = False) -> Layout:
    """Where the hierarchies are mounted that this process sees, and what they control."""
    mountinfo = read("/proc/self/mountinfo")
    unified = read_layout(mountinfo).unified
    controllers = read(f"{unified}/cgroup.controllers") if unified else ""
    return read_layout(mountinfo, controllers, thorough=thorough)
