"""Tell where this host's cgroup controllers are mounted.

Three kinds of host exist: v2 alone, v1 alone, and both at once (hybrid), where the unified
hierarchy is mounted but nearly all controllers belong to v1. So every controller is looked for
in v1 first and then in the unified hierarchy, which a hybrid host still has one use for: its
groups can be frozen and killed as a whole.
"""

from collections.abc import Iterator

from msgspec import Struct

V1_CONTROLLERS = (
    "blkio", "cpu", "cpuacct", "cpuset", "devices", "freezer", "hugetlb", "memory", "net_cls",
    "net_prio", "perf_event", "pids", "rdma",
)  # fmt: skip
V2_CONTROLLERS = ("cpu", "cpuset", "hugetlb", "io", "memory", "pids", "rdma")


class Hierarchy(Struct, frozen=True):
    """One tree of groups: where it is mounted, and with which type and options of mount(8)."""

    root: str
    type: str
    options: str

    @property
    def name(self) -> str:
        """What it is called among the others: `cpu,cpuacct` or `unified`."""
        return self.options or "unified"


class Layout(Struct, frozen=True, kw_only=True):
    """`v1` maps controllers to mount points; `unified` is the v2 mount point, if there is one.

    `controllers` are those of the unified hierarchy, empty if nobody has looked. A container
    is in all hierarchies if `thorough`, so that a later update finds it in each; else only in
    those that limit it or count what it uses, since each costs it a tenth of a millisecond.
    """

    v1: dict[str, str]
    unified: str = ""
    controllers: tuple[str, ...] = ()
    thorough: bool = False

    @property
    def hierarchies(self) -> tuple[str, ...]:
        """Every mount point once; controllers that are mounted together share one."""
        found = dict.fromkeys(self.v1.values())
        return (*found, self.unified) if self.unified else tuple(found)

    def hierarchy(self, root: str) -> Hierarchy:
        """The hierarchy that is mounted at `root`."""
        if root == self.unified:
            return Hierarchy(root, "cgroup2", "")
        together = (name for name, mounted in self.v1.items() if mounted == root)
        return Hierarchy(root, "cgroup", ",".join(together))


def read_layout(mountinfo: str, controllers: str = "", *, thorough: bool = False) -> Layout:
    """Read the text of /proc/self/mountinfo, and of the unified cgroup.controllers."""
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
    return Layout(
        v1=dict(sorted(v1.items())) if has_v1 else {},
        unified=unified,
        controllers=tuple(controllers.split()),
        thorough=thorough,
    )


def _mounts(mountinfo: str) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    for line in mountinfo.splitlines():
        mount, _, filesystem = line.partition(" - ")
        fields = filesystem.split(" ")
        if fields[0] in ("cgroup", "cgroup2"):
            yield fields[0], mount.split(" ")[4], tuple(fields[-1].split(","))
