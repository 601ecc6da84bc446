"""Say which control groups a container has, and how they are made, joined and read.

v1 wants one directory for each hierarchy; v2 one in all, whose parents must first hand their
controllers down. The container's own directory is `<hierarchy>/<parent>/<id>`.
"""

from runtime.cgroups import cpu, cpuset, devices, memory, pids
from runtime.cgroups.layout import V2_CONTROLLERS, Layout
from runtime.cgroups.setting import Setting
from runtime.spec import Resources
from runtime.steps import FilterDevices, HostStep, JoinCgroup, MakeCgroup, WriteKernelFile


def hierarchies(layout: Layout, resources: Resources) -> tuple[str, ...]:
    """The mount points of the hierarchies that the container takes part in."""
    skipped = "" if cpuset.is_used(resources) else layout.v1.get("cpuset", "")
    return tuple(root for root in layout.hierarchies if root != skipped)


def paths(layout: Layout, parent: str, container_id: str, resources: Resources) -> tuple[str, ...]:
    """The container's directories, one for each hierarchy that it takes part in."""
    return tuple(f"{root}/{parent}/{container_id}" for root in hierarchies(layout, resources))


def make(
    layout: Layout, parent: str, container_id: str, resources: Resources
) -> tuple[HostStep, ...]:
    """Make the groups and set their limits."""
    if layout.v1:
        return _make_v1(layout, parent, container_id, resources)
    return _make_v2(layout.unified, parent, container_id, resources)


def join(paths: tuple[str, ...]) -> tuple[JoinCgroup, ...]:
    """Enter the groups, once they are limited: no moment passes outside the limits."""
    return tuple(JoinCgroup(path) for path in paths)


def procs_file(layout: Layout, parent: str, container_id: str) -> str:
    """Where the container's processes are listed."""
    root = layout.v1.get("pids", layout.hierarchies[0])
    return f"{root}/{parent}/{container_id}/cgroup.procs"


def kill_file(layout: Layout, parent: str, container_id: str) -> str:
    """What kills a whole v2 group at once; v1 has no such thing, and the answer is empty."""
    return "" if layout.v1 else f"{layout.unified}/{parent}/{container_id}/cgroup.kill"


def oom_file(layout: Layout, parent: str, container_id: str) -> str:
    """Where the kernel counts kills for memory (`memory.oom_kills` reads it)."""
    if layout.v1:
        return f"{layout.v1.get('memory', '')}/{parent}/{container_id}/{memory.V1_EVENTS}"
    return f"{layout.unified}/{parent}/{container_id}/{memory.V2_EVENTS}"


def _make_v1(
    layout: Layout, parent: str, container_id: str, resources: Resources
) -> tuple[HostStep, ...]:
    settings = {
        "cpu": cpu.v1(resources),
        "cpuset": cpuset.v1(resources),
        "devices": devices.v1(devices.ALLOWED),
        "memory": memory.v1(resources),
        "pids": pids.v1(resources),
    }
    steps: list[HostStep] = []
    for path in paths(layout, parent, container_id, resources):
        root = path.removesuffix(f"/{parent}/{container_id}")
        inherit = cpuset.V1_INHERITED if layout.v1.get("cpuset") == root else ()
        steps.append(MakeCgroup(f"{root}/{parent}", shared=True, inherit=inherit))
        steps.append(MakeCgroup(path, inherit=inherit))
        for controller, mounted in layout.v1.items():
            if mounted == root:
                steps += _write(path, settings.get(controller, ()))
    return tuple(steps)


def _make_v2(
    root: str, parent: str, container_id: str, resources: Resources
) -> tuple[HostStep, ...]:
    path = f"{root}/{parent}/{container_id}"
    needed = tuple(
        f"+{controller}"
        for controller in V2_CONTROLLERS
        if controller != "cpuset" or cpuset.is_used(resources)
    )
    return (
        WriteKernelFile(f"{root}/cgroup.subtree_control", needed),
        MakeCgroup(f"{root}/{parent}", shared=True),
        WriteKernelFile(f"{root}/{parent}/cgroup.subtree_control", needed),
        MakeCgroup(path),
        *_write(path, cpu.v2(resources)),
        *_write(path, cpuset.v2(resources)),
        *_write(path, memory.v2(resources)),
        *_write(path, pids.v2(resources)),
        FilterDevices(path, devices.v2(devices.ALLOWED)),
    )


def _write(path: str, settings: tuple[Setting, ...]) -> tuple[WriteKernelFile, ...]:
    return tuple(WriteKernelFile(f"{path}/{s.file}", s.values, s.optional) for s in settings)
