"""Tell where this host's cgroup controllers are mounted.

Three kinds of host exist: v2 alone, v1 alone, and both at once (hybrid), where the unified
hierarchy is mounted but the controllers belong to v1. What decides is where the controllers
are, so a hybrid host counts as v1.
"""

from collections.abc import Iterator

from msgspec import Struct

V1_CONTROLLERS = ("cpu", "cpuacct", "cpuset", "devices", "freezer", "memory", "pids")
V2_CONTROLLERS = ("cpu", "cpuset", "memory", "pids")


class Layout(Struct, frozen=True, kw_only=True):
    """`v1` maps controllers to mount points; without it `unified` is the v2 mount point."""

    v1: dict[str, str]
    unified: str = ""

    @property
    def hierarchies(self) -> tuple[str, ...]:
        """Every mount point once; controllers that are mounted together share one."""
        return tuple(dict.fromkeys(self.v1.values())) or (self.unified,)


def read_layout(mountinfo: str) -> Layout:
    """Read the text of /proc/self/mountinfo."""
    v1: dict[str, str] = {}
    unified = ""
    for kind, point, options in _mounts(mountinfo):
        if kind == "cgroup":
            for controller in V1_CONTROLLERS:
                if controller in options:
                    v1.setdefault(controller, point)
        elif kind == "cgroup2":
            unified = unified or point
    has_v1 = "memory" in v1 or "pids" in v1
    return Layout(v1=dict(sorted(v1.items())) if has_v1 else {}, unified=unified)


def _mounts(mountinfo: str) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    for line in mountinfo.splitlines():
        mount, _, filesystem = line.partition(" - ")
        fields = filesystem.split(" ")
        if fields[0] in ("cgroup", "cgroup2"):
            yield fields[0], mount.split(" ")[4], tuple(fields[-1].split(","))
