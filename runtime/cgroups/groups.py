"""Say which control groups a container has, and how they are made, joined and read.

A `path` is relative to the root of every hierarchy and without a leading slash: `swarmd/<id>`.
v1 wants one directory for each hierarchy; v2 one in all, whose parents must first hand their
controllers down. The parents are shared with other containers.
"""

from runtime.cgroups import cpu, cpuset, devices, memory, pids
from runtime.cgroups.layout import V2_CONTROLLERS, Layout
from runtime.cgroups.setting import Setting
from runtime.oci.config import Resources
from runtime.steps import FilterDevices, HostStep, JoinCgroup, MakeCgroup, WriteKernelFile


def hierarchies(layout: Layout, resources: Resources) -> tuple[str, ...]:
    """The mount points of the hierarchies that the container takes part in."""
    skipped = "" if cpuset.is_used(resources) else layout.v1.get("cpuset", "")
    return tuple(root for root in layout.hierarchies if root != skipped)


def paths(layout: Layout, path: str, resources: Resources) -> tuple[str, ...]:
    """The container's directories, one for each hierarchy that it takes part in."""
    return tuple(f"{root}/{path}" for root in hierarchies(layout, resources))


def make(layout: Layout, path: str, resources: Resources) -> tuple[HostStep, ...]:
    """Make the groups and set their limits."""
    if layout.v1:
        return _make_v1(layout, path, resources)
    return _make_v2(layout.unified, path, resources)


def join(layout: Layout, path: str, resources: Resources) -> tuple[JoinCgroup, ...]:
    """Enter the groups, once they are limited: no moment passes outside the limits."""
    return tuple(JoinCgroup(each) for each in paths(layout, path, resources))


def update(layout: Layout, path: str, resources: Resources) -> tuple[WriteKernelFile, ...]:
    """Change the limits of groups that exist; what `resources` does not name stays."""
    if not layout.v1:
        return tuple(_write(f"{layout.unified}/{path}", _settings_v2(resources)))
    steps: list[WriteKernelFile] = []
    for controller, settings in _settings_v1(resources).items():
        if settings and controller in layout.v1:
            steps += _write(f"{layout.v1[controller]}/{path}", settings)
    return tuple(steps)


def procs_file(layout: Layout, path: str) -> str:
    """Where the container's processes are listed."""
    return f"{layout.v1.get('pids', layout.hierarchies[0])}/{path}/cgroup.procs"


def kill_file(layout: Layout, path: str) -> str:
    """What kills a whole v2 group at once; v1 has no such thing, and the answer is empty."""
    return "" if layout.v1 else f"{layout.unified}/{path}/cgroup.kill"


def oom_file(layout: Layout, path: str) -> str:
    """Where the kernel counts kills for memory (`memory.oom_kills` reads it)."""
    if layout.v1:
        return f"{layout.v1.get('memory', '')}/{path}/{memory.V1_EVENTS}"
    return f"{layout.unified}/{path}/{memory.V2_EVENTS}"


def _settings_v1(resources: Resources) -> dict[str, tuple[Setting, ...]]:
    return {
        "cpu": cpu.v1(resources),
        "cpuset": cpuset.v1(resources),
        "memory": memory.v1(resources),
        "pids": pids.v1(resources),
    }


def _settings_v2(resources: Resources) -> tuple[Setting, ...]:
    return (
        *cpu.v2(resources),
        *cpuset.v2(resources),
        *memory.v2(resources),
        *pids.v2(resources),
    )


def _make_v1(layout: Layout, path: str, resources: Resources) -> tuple[HostStep, ...]:
    settings = {"devices": devices.v1(devices.ALLOWED), **_settings_v1(resources)}
    steps: list[HostStep] = []
    for root in hierarchies(layout, resources):
        inherit = cpuset.V1_INHERITED if layout.v1.get("cpuset") == root else ()
        for parent in _parents(path):
            steps.append(MakeCgroup(f"{root}/{parent}", shared=True, inherit=inherit))
        steps.append(MakeCgroup(f"{root}/{path}", inherit=inherit))
        for controller, mounted in layout.v1.items():
            if mounted == root:
                steps += _write(f"{root}/{path}", settings.get(controller, ()))
    return tuple(steps)


def _make_v2(root: str, path: str, resources: Resources) -> tuple[HostStep, ...]:
    needed = tuple(
        f"+{controller}"
        for controller in V2_CONTROLLERS
        if controller != "cpuset" or cpuset.is_used(resources)
    )
    steps: list[HostStep] = [WriteKernelFile(f"{root}/cgroup.subtree_control", needed)]
    for parent in _parents(path):
        steps.append(MakeCgroup(f"{root}/{parent}", shared=True))
        steps.append(WriteKernelFile(f"{root}/{parent}/cgroup.subtree_control", needed))
    steps.append(MakeCgroup(f"{root}/{path}"))
    steps += _write(f"{root}/{path}", _settings_v2(resources))
    steps.append(FilterDevices(f"{root}/{path}", devices.v2(devices.ALLOWED)))
    return tuple(steps)


def _parents(path: str) -> list[str]:
    """`a/b/c` lies in `a` and in `a/b`."""
    names = path.split("/")
    return ["/".join(names[:count]) for count in range(1, len(names))]


def _write(path: str, settings: tuple[Setting, ...]) -> list[WriteKernelFile]:
    return [WriteKernelFile(f"{path}/{s.file}", s.values, s.optional) for s in settings]
