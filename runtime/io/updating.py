"""Change what a running container may use, and remember it.

Its spec is what tells which groups it has: programs that join later look there. So groups that
it has not had yet are made first, its spec is replaced then, and its processes enter them last:
whoever is born meanwhile is in them already, or is found in the next look. Who erases it looks
into every hierarchy, and who changes its limits again has all enter all groups, so this may be
killed at any point.
"""

import contextlib

import msgspec
from msgspec.structs import replace

from runtime.allotting import to_change, to_resources
from runtime.cgroups import groups
from runtime.cgroups.layout import Layout
from runtime.io import cgroups, host, limits, usage
from runtime.layout import ContainerDir
from runtime.spec import ContainerSpec, Resources
from runtime.steps import HostStep, JoinCgroup, own, undo
from runtime.translation import group_path

_LOOKS = 20


def update(
    layout: Layout, directory: ContainerDir, spec: ContainerSpec, resources: Resources
) -> None:
    """Give the container of `spec` these limits, or raise `KernelRefused` and change nothing."""
    group = group_path(spec)
    wanted = replace(spec, resources=_pinned(layout, spec, resources))
    before, after = to_resources(spec.resources), to_resources(wanted.resources)
    made: list[HostStep] = []
    try:
        for step in groups.extend(layout, group, before, after):
            made.append(step)
            _apply(step)
        change = to_change(spec.resources, wanted.resources, is_v1="memory" in layout.v1)
        limits.update(layout, group, change)
    except BaseException:
        host.revert(undo(own(made)))
        raise
    host.replace_file(directory.spec_file, msgspec.json.encode(wanted))
    _enter(layout, group, groups.join(layout, group, after))


def _pinned(layout: Layout, spec: ContainerSpec, resources: Resources) -> Resources:
    """No list of CPUs cannot be said of a group that had one: it gets that of its parent."""
    root, had = layout.v1.get("cpuset", layout.unified), spec.resources
    lists = {
        name: getattr(resources, f"cpuset_{name}") or _list(f"{root}/{spec.cgroup_parent}", name)
        for name in ("cpus", "mems")
        if getattr(had, f"cpuset_{name}")
    }
    return replace(resources, **{f"cpuset_{name}": found for name, found in lists.items()})


def _list(parent: str, name: str) -> str:
    own_list = cgroups.read(f"{parent}/cpuset.{name}").strip()
    return own_list or cgroups.read(f"{parent}/cpuset.{name}.effective").strip()


def _apply(step: HostStep) -> None:
    try:
        host.apply(step)
    except OSError as err:
        raise host.refusal(step, err) from err


def _enter(layout: Layout, group: str, joined: tuple[JoinCgroup, ...]) -> None:
    for each in joined:
        procs = f"{each.path}/cgroup.procs"
        for _ in range(_LOOKS):
            inside = {int(pid) for pid in cgroups.read(procs).split()}
            outside = [pid for pid in usage.pids(layout, group) if pid not in inside]
            if not outside:
                break
            for pid in outside:
                with contextlib.suppress(ProcessLookupError):
                    _move(each, procs, pid)


def _move(step: JoinCgroup, procs: str, pid: int) -> None:
    try:
        cgroups.write_values(procs, (str(pid),))
    except ProcessLookupError:
        raise
    except OSError as err:
        raise host.refusal(step, err) from err
