"""Say which control groups a container has, and how they are made, joined, changed and read.

A `path` is relative to the root of every hierarchy and without a leading slash: `swarmd/<id>`.
v1 wants one directory for each hierarchy; v2 one in all, whose parents must first hand their
controllers down. The parents are shared with other containers. A limit that this host cannot
set becomes a step that fails and names it; nothing asked means nothing done.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from msgspec import Struct

from runtime.cgroups import (
    blkio,
    cpu,
    cpuset,
    device_program,
    devices,
    hugetlb,
    memory,
    network,
    pids,
    rdma,
    unified,
)
from runtime.cgroups.layout import V2_CONTROLLERS, Layout
from runtime.cgroups.setting import Demand, Refusal
from runtime.oci.config import Resources
from runtime.steps import (
    CheckUsage,
    FilterDevices,
    HostStep,
    JoinCgroup,
    MakeCgroup,
    RefuseLimit,
    ReplaceDevices,
    WriteKernelFile,
)

_Demands = Callable[[Resources], Iterable[Demand]]
UpdateStep = WriteKernelFile | FilterDevices | ReplaceDevices | CheckUsage | RefuseLimit


class _Controller(Struct, frozen=True):
    """One controller: its names, and what it is asked in each version.

    `counts`: what it counts is worth having where it limits nothing.
    """

    v1_name: str
    v2_name: str
    v1: _Demands
    v2: _Demands
    counts: bool = False


def _nothing(_: Resources) -> Iterable[Demand]:
    return ()


_CONTROLLERS: Final = (
    _Controller("blkio", "io", blkio.v1, blkio.v2, counts=True),
    _Controller("cpu", "cpu", cpu.v1, cpu.v2, counts=True),
    _Controller("cpuset", "cpuset", cpuset.settings, cpuset.settings),
    _Controller("hugetlb", "hugetlb", hugetlb.v1, hugetlb.v2),
    _Controller("memory", "memory", memory.v1, memory.v2, counts=True),
    _Controller("net_cls", "", network.net_cls, network.v2),
    _Controller("net_prio", "", network.net_prio, _nothing),
    _Controller("pids", "pids", pids.settings, pids.settings, counts=True),
    _Controller("rdma", "rdma", rdma.settings, rdma.settings),
)
# In v1 these only count, freeze or filter.
_ALWAYS_V1: Final = ("cpuacct", "devices", *(c.v1_name for c in _CONTROLLERS if c.counts))


def hierarchies(layout: Layout, resources: Resources) -> tuple[str, ...]:
    """The mount points of the hierarchies that the container takes part in."""
    roots = dict.fromkeys(
        root for name, root in layout.v1.items() if _takes_part(layout, name, resources)
    )
    return (*roots, layout.unified) if layout.unified else tuple(roots)


def paths(layout: Layout, path: str, resources: Resources) -> tuple[str, ...]:
    """The container's directories, one for each hierarchy that it takes part in."""
    return tuple(f"{root}/{path}" for root in hierarchies(layout, resources))


def make(layout: Layout, path: str, resources: Resources) -> tuple[HostStep, ...]:
    """Make the groups and set their limits. Devices are filtered whatever `resources` says."""
    rules = devices.read_rules((*resources.devices, *devices.USUAL))
    steps: list[HostStep] = list(_refusals(layout, resources))
    for root in hierarchies(layout, resources):
        steps += _make(layout, root, path, _handed_down(layout, root, resources))
        for demands in _asked(layout, root, resources):
            steps += _write(f"{root}/{path}", demands)
        if layout.v1.get("devices") == root:
            steps += _write(f"{root}/{path}", devices.v1(rules))
    if layout.unified and "devices" not in layout.v1 and not _allows_all(rules):
        steps.append(FilterDevices(f"{layout.unified}/{path}", device_program.assemble(rules)))
    return tuple(steps)


def extend(layout: Layout, path: str, before: Resources, after: Resources) -> tuple[HostStep, ...]:
    """Make the groups that `after` needs besides those of `before`, without limits.

    So are controllers that were not needed handed down.
    """
    steps: list[HostStep] = []
    old, new = hierarchies(layout, before), hierarchies(layout, after)
    for root in new:
        handed = _handed_down(layout, root, after)
        if root not in old:
            steps += _make(layout, root, path, handed)
        elif missing := [x for x in handed if x not in _handed_down(layout, root, before)]:
            words = (" ".join(f"+{name}" for name in missing),)
            for each in ("", *(f"/{parent}" for parent in parents(path))):
                steps.append(WriteKernelFile(f"{root}{each}/cgroup.subtree_control", words))
    return tuple(steps)


def join(layout: Layout, path: str, resources: Resources) -> tuple[JoinCgroup, ...]:
    """Enter the groups, once they are limited: no moment passes outside the limits."""
    return tuple(JoinCgroup(each) for each in paths(layout, path, resources))


def update(layout: Layout, path: str, resources: Resources) -> tuple[UpdateStep, ...]:
    """Change the limits of groups that exist; what `resources` does not name stays.

    What the kernel judges together is tried in one order and written again at the end: if the
    first try was refused because of what was in force, then by then it no longer is.
    """
    steps: list[UpdateStep] = list(_refusals(layout, resources))
    steps += _usage_check(layout, path, resources)
    for root in layout.hierarchies:
        for demands in _asked(layout, root, resources):
            steps += _rewrite(f"{root}/{path}", demands)
    if resources.devices:
        steps.append(_refilter(layout, path, resources))
    return tuple(steps)


def missing(layout: Layout, resources: Resources) -> tuple[str, ...]:
    """Every limit that this host cannot set, and why, as `memory.swappiness: …`."""
    refused = [f"{each.limit}: {each.reason}" for each in _refusals(layout, resources)]
    demands = (d for root in layout.hierarchies for d in _asked(layout, root, resources))
    asked = [each for found in demands for each in found]
    return (*refused, *(f"{x.field}: {x.reason}" for x in asked if isinstance(x, Refusal)))


def procs_file(layout: Layout, path: str) -> str:
    """Where the container's processes are listed."""
    return f"{layout.unified or layout.v1.get('pids') or layout.hierarchies[0]}/{path}/cgroup.procs"


def kill_file(layout: Layout, path: str) -> str:
    """What kills a whole group at once; v1 alone has no such thing, and the answer is empty."""
    return f"{layout.unified}/{path}/cgroup.kill" if layout.unified else ""


def oom_file(layout: Layout, path: str) -> str:
    """Where the kernel counts kills for memory (`memory.oom_kills` reads it)."""
    if "memory" in layout.v1:
        return f"{layout.v1['memory']}/{path}/{memory.V1_EVENTS}"
    return f"{layout.unified}/{path}/{memory.V2_EVENTS}"


def parents(path: str) -> tuple[str, ...]:
    """`a/b/c` lies in `a` and in `a/b`."""
    names = path.split("/")
    return tuple("/".join(names[:count]) for count in range(1, len(names)))


def _takes_part(layout: Layout, v1_name: str, resources: Resources) -> bool:
    if layout.thorough or v1_name in _ALWAYS_V1:
        return True
    if v1_name == "freezer":
        return not layout.unified  # which freezes as well
    return any(
        each.v1_name == v1_name and any(True for _ in each.v1(resources)) for each in _CONTROLLERS
    )


def _asked(layout: Layout, root: str, resources: Resources) -> Iterator[tuple[Demand, ...]]:
    """What the controllers of one hierarchy are asked, controller by controller."""
    for each in _CONTROLLERS:
        if each.v1_name in layout.v1:
            if layout.v1[each.v1_name] == root:
                yield tuple(each.v1(resources))
        elif root == layout.unified and _has_v2(layout, each.v2_name):
            yield tuple(each.v2(resources))
    if root == layout.unified and not layout.v1:
        known = (d for d in unified.v2(resources) if not _is_missing(layout, d))
        yield tuple(known)


def _refusals(layout: Layout, resources: Resources) -> Iterator[RefuseLimit]:
    """What is asked of controllers that this host does not have."""
    for each in _CONTROLLERS:
        if each.v1_name in layout.v1 or _has_v2(layout, each.v2_name):
            continue
        demands = each.v1(resources) if layout.v1 else each.v2(resources)
        for demand in demands:
            if isinstance(demand, Refusal):
                yield RefuseLimit(demand.field, demand.reason)
            else:
                name = each.v1_name if layout.v1 else each.v2_name
                yield RefuseLimit(demand.file, f"this host has no {name} controller")
    for demand in unified.v1(resources) if layout.v1 else unified.v2(resources):
        if layout.v1 and isinstance(demand, Refusal):
            yield RefuseLimit(demand.field, demand.reason)
        elif _is_missing(layout, demand):
            assert not isinstance(demand, Refusal)
            name = unified.controller(demand.file)
            yield RefuseLimit(f"unified.{demand.file}", f"this host has no {name} controller")


def _has_v2(layout: Layout, name: str) -> bool:
    if not layout.unified or not name:
        return False
    if layout.v1:
        return name in layout.controllers
    return name in (layout.controllers or V2_CONTROLLERS)


def _is_missing(layout: Layout, demand: Demand) -> bool:
    """Whether a file named in `unified` is of a controller that is not there."""
    if isinstance(demand, Refusal) or not layout.controllers:
        return False
    name = unified.controller(demand.file)
    return bool(name) and name not in layout.controllers


def _handed_down(layout: Layout, root: str, resources: Resources) -> tuple[str, ...]:
    """The controllers that a group of the unified hierarchy needs from its parents."""
    if root != layout.unified:
        return ()
    named = [unified.controller(name) for name in resources.unified if not layout.v1]
    return tuple(
        each.v2_name
        for each in _CONTROLLERS
        if each.v1_name not in layout.v1
        and _has_v2(layout, each.v2_name)
        and (
            (layout.thorough and each.v2_name in layout.controllers)
            or each.counts
            or each.v2_name in named
            or any(True for _ in each.v2(resources))
        )
    )


def _make(layout: Layout, root: str, path: str, needed: tuple[str, ...]) -> Iterator[HostStep]:
    inherit = cpuset.V1_INHERITED if layout.v1.get("cpuset") == root else ()
    words = (" ".join(f"+{name}" for name in needed),)
    if needed:
        yield WriteKernelFile(f"{root}/cgroup.subtree_control", words)
    for parent in parents(path):
        yield MakeCgroup(f"{root}/{parent}", shared=True, inherit=inherit)
        if needed:
            yield WriteKernelFile(f"{root}/{parent}/cgroup.subtree_control", words)
    yield MakeCgroup(f"{root}/{path}", inherit=inherit)


def _write(group: str, demands: Iterable[Demand]) -> list[HostStep]:
    return [_step(group, demand) for demand in demands]


def _rewrite(group: str, demands: tuple[Demand, ...]) -> list[UpdateStep]:
    """See `update`."""
    steps: list[UpdateStep] = []
    bound: list[WriteKernelFile] = []
    for demand in demands:
        step = _step(group, demand)
        if isinstance(demand, Refusal) or isinstance(step, RefuseLimit) or not demand.bound:
            steps.append(step)
        else:
            bound.append(step)
            steps.append(WriteKernelFile(step.path, step.values, tentative=True))
    return [*steps, *bound]


def _step(group: str, demand: Demand) -> WriteKernelFile | RefuseLimit:
    if isinstance(demand, Refusal):
        return RefuseLimit(demand.field, demand.reason)
    other = demand.otherwise
    return WriteKernelFile(
        f"{group}/{demand.file}",
        demand.values,
        demand.optional,
        otherwise=None if other is None else WriteKernelFile(f"{group}/{other.file}", other.values),
    )


def _usage_check(layout: Layout, path: str, resources: Resources) -> list[UpdateStep]:
    """v1 checks by itself; v2 would take the limit and kill."""
    asked = resources.memory
    if asked is None or not asked.check_before_update or "memory" in layout.v1:
        return []
    if not asked.limit or asked.limit < 0:
        return []
    return [CheckUsage(f"{layout.unified}/{path}/memory.current", asked.limit)]


def _refilter(layout: Layout, path: str, resources: Resources) -> UpdateStep:
    rules = devices.read_rules((*resources.devices, *devices.USUAL))
    if "devices" not in layout.v1:
        return FilterDevices(f"{layout.unified}/{path}", device_program.assemble(rules))
    lines = devices.exceptions(rules)
    if isinstance(lines, Refusal):
        return RefuseLimit(lines.field, lines.reason)
    return ReplaceDevices(f"{layout.v1['devices']}/{path}", rules.allow, lines)


def _allows_all(rules: devices.Filter) -> bool:
    return rules.allow and all(rule.allow for rule in rules.rules)
