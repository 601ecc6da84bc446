from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runtime.cgroups import groups
from runtime.cgroups.layout import Layout
from runtime.oci.config import (
    BlockIo,
    Cpu,
    DeviceRule,
    HugepageLimit,
    Memory,
    Network,
    Pids,
    Resources,
    ThrottleDevice,
)
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
from tests.runtime.specs import HYBRID, V1, V2

DELEGATED = Layout(v1={}, unified="/cg", controllers=("cpu", "memory", "pids"))
THOROUGH = Layout(
    v1=V1.v1 | {"net_cls": "/cg/net_cls,net_prio", "net_prio": "/cg/net_cls,net_prio"},
    thorough=True,
)


def made(layout: Layout, resources: Resources) -> list[str]:
    steps = groups.make(layout, "swarmd/t1", resources)
    return [step.path for step in steps if isinstance(step, MakeCgroup) and not step.shared]


def written(steps: Any) -> dict[str, tuple[str, ...]]:
    return {step.path: step.values for step in steps if isinstance(step, WriteKernelFile)}


def test_a_group_is_made_where_something_is_limited_or_counted() -> None:
    assert made(V1, Resources()) == [
        f"/cg/{name}/swarmd/t1" for name in ("cpu,cpuacct", "devices", "memory", "pids")
    ]
    assert made(V2, Resources()) == ["/cg/swarmd/t1"]
    assert "/cg/cpuset/swarmd/t1" in made(V1, Resources(cpu=Cpu(cpus="0")))


def test_groups_that_were_not_needed_are_made_later_without_limits() -> None:
    pinned = Resources(cpu=Cpu(cpus="0"))

    steps = groups.extend(V1, "swarmd/t1", Resources(), pinned)

    assert [(each.path, each.shared) for each in steps if isinstance(each, MakeCgroup)] == [
        ("/cg/cpuset/swarmd", True),
        ("/cg/cpuset/swarmd/t1", False),
    ]
    assert written(steps) == {}
    assert groups.extend(V1, "swarmd/t1", pinned, pinned) == ()
    assert groups.extend(V1, "swarmd/t1", pinned, Resources()) == ()


def test_controllers_that_were_not_needed_are_handed_down_later() -> None:
    steps = groups.extend(V2, "swarmd/t1", Resources(), Resources(cpu=Cpu(cpus="0")))

    assert written(steps) == {
        "/cg/cgroup.subtree_control": ("+cpuset",),
        "/cg/swarmd/cgroup.subtree_control": ("+cpuset",),
    }
    assert len(steps) == 2


def test_a_thorough_layout_has_a_group_in_each_hierarchy() -> None:
    """So that a later update finds one."""
    assert made(THOROUGH, Resources()) == [f"{root}/swarmd/t1" for root in THOROUGH.hierarchies]


def test_the_unified_hierarchy_takes_the_freezers_place() -> None:
    assert "/cg/unified/swarmd/t1" in made(HYBRID, Resources())
    assert "/cg/freezer/swarmd/t1" not in made(HYBRID, Resources())
    v1 = Layout(v1=HYBRID.v1)
    assert "/cg/freezer/swarmd/t1" in made(v1, Resources())


def test_groups_are_limited_before_they_are_joined_and_in_every_hierarchy() -> None:
    resources = Resources(cpu=Cpu(cpus="0"))

    joined = groups.join(V1, "swarmd/t1", resources)

    assert joined == tuple(JoinCgroup(path) for path in made(V1, resources))


def test_every_parent_is_shared() -> None:
    steps = groups.make(V1, "pods/p1/t1", Resources())

    shared = [s.path for s in steps if isinstance(s, MakeCgroup) and s.shared and "pids" in s.path]
    assert shared == ["/cg/pids/pods", "/cg/pids/pods/p1"]


def test_v2_parents_hand_down_what_counts_and_what_is_asked_for() -> None:
    steps = groups.make(V2, "a/b/t1", Resources(cpu=Cpu(cpus="0")))

    needed = ("+io +cpu +cpuset +memory +pids",)
    assert {path: values for path, values in written(steps).items() if "subtree" in path} == {
        "/cg/cgroup.subtree_control": needed,
        "/cg/a/cgroup.subtree_control": needed,
        "/cg/a/b/cgroup.subtree_control": needed,
    }


def test_v2_hands_down_only_what_it_was_given() -> None:
    steps = groups.make(DELEGATED, "a/t1", Resources())

    assert written(steps)["/cg/a/cgroup.subtree_control"] == ("+cpu +memory +pids",)


def test_a_controller_of_the_unified_hierarchy_serves_a_hybrid_host() -> None:
    resources = Resources(hugepage_limits=(HugepageLimit(page_size="2MB", limit=0),))

    steps = written(groups.make(HYBRID, "swarmd/t1", resources))

    assert steps["/cg/unified/swarmd/cgroup.subtree_control"] == ("+hugetlb",)
    assert steps["/cg/unified/swarmd/t1/hugetlb.2MB.max"] == ("0",)
    assert "/cg/unified/cgroup.subtree_control" not in written(
        groups.make(HYBRID, "swarmd/t1", Resources())
    )


def test_a_limit_without_its_controller_is_refused_by_name() -> None:
    asked = Resources(
        block_io=BlockIo(weight=500),
        hugepage_limits=(HugepageLimit(page_size="2MB", limit=0),),
        network=Network(class_id=1),
        unified={"misc.max": "a 1"},
    )

    v1 = [s for s in groups.make(V1, "a/t", asked) if isinstance(s, RefuseLimit)]
    v2 = [s for s in groups.make(DELEGATED, "a/t", asked) if isinstance(s, RefuseLimit)]

    assert {step.limit: step.reason for step in v1} == {
        "blkio.bfq.weight": "this host has no blkio controller",
        "hugetlb.2MB.limit_in_bytes": "this host has no hugetlb controller",
        "hugetlb.2MB.rsvd.limit_in_bytes": "this host has no hugetlb controller",
        "net_cls.classid": "this host has no net_cls controller",
        "unified.misc.max": "this host's controllers are those of cgroup v1",
    }
    assert [step.limit for step in v2] == [
        "io.bfq.weight", "hugetlb.2MB.max", "hugetlb.2MB.rsvd.max", "network.classID",
        "unified.misc.max",
    ]  # fmt: skip
    assert [text.partition(":")[0] for text in groups.missing(V1, asked)] == [
        step.limit for step in v1
    ]


def test_nothing_asked_of_missing_controllers_is_nothing_done() -> None:
    for layout in (V1, V2, HYBRID, DELEGATED):
        assert groups.missing(layout, Resources()) == ()
        assert not [
            step
            for step in groups.make(layout, "a/t", Resources())
            if isinstance(step, RefuseLimit)
        ]


def test_devices_are_filtered_although_nobody_asked() -> None:
    v1 = written(groups.make(HYBRID, "a/t", Resources()))
    v2 = groups.make(V2, "a/t", Resources())

    assert v1["/cg/devices/a/t/devices.deny"] == ("a",)
    assert "c 1:3 rwm" in v1["/cg/devices/a/t/devices.allow"]
    assert [step.path for step in v2 if isinstance(step, FilterDevices)] == ["/cg/a/t"]


def test_a_container_that_may_use_everything_needs_no_program() -> None:
    everything = Resources(devices=(DeviceRule(allow=True, access="rwm"),))

    v1, v2 = groups.make(V1, "a/t", everything), groups.make(V2, "a/t", everything)

    assert written(v1)["/cg/devices/a/t/devices.allow"] == ("a",)
    assert not [step for step in v2 if isinstance(step, FilterDevices)]


def test_an_update_of_memory_works_upwards_and_downwards() -> None:
    """The kernel never lets the limit be above the sum, whichever was written first.

    1. The limit is tried, and refused if it is above the sum in force.
    2. The sum is written: it is not below the limit that is in force by now, old or new.
    3. The limit is written, which is not above the sum.
    """
    steps = groups.update(V1, "a/t", Resources(memory=Memory(limit=5, swap=9)))

    limit, both = (
        "/cg/memory/a/t/memory.limit_in_bytes",
        "/cg/memory/a/t/memory.memsw.limit_in_bytes",
    )
    assert steps == (
        WriteKernelFile(limit, ("5",), tentative=True),
        WriteKernelFile(both, ("9",)),
        WriteKernelFile(limit, ("5",)),
    )


class Pair:
    """Two files of which the kernel wants the first never above the second."""

    def __init__(self, low: int, high: int) -> None:
        self.values = {"memory.limit_in_bytes": low, "memory.memsw.limit_in_bytes": high}

    def write(self, step: WriteKernelFile) -> None:
        new = self.values | {step.path.rpartition("/")[2]: int(step.values[0])}
        if new["memory.limit_in_bytes"] <= new["memory.memsw.limit_in_bytes"]:
            self.values = new
        else:
            assert step.tentative


pairs = st.tuples(st.integers(1, 9), st.integers(1, 9)).map(sorted)


@given(pairs, pairs)
def test_law_an_update_of_memory_ends_where_it_was_asked_to(
    before: list[int], after: list[int]
) -> None:
    kernel = Pair(*before)

    for step in groups.update(V1, "a", Resources(memory=Memory(limit=after[0], swap=after[1]))):
        assert isinstance(step, WriteKernelFile)
        kernel.write(step)

    assert list(kernel.values.values()) == after


def test_an_update_changes_only_what_it_names() -> None:
    steps = groups.update(V2, "a/t", Resources(pids=Pids(limit=7)))

    assert steps == (WriteKernelFile("/cg/a/t/pids.max", ("7",)),)
    assert groups.update(V1, "a/t", Resources()) == ()


def test_an_update_of_devices_replaces_all_rules_at_once() -> None:
    rules = Resources(devices=(DeviceRule(allow=True, type="c", major=10, minor=200, access="rw"),))

    (v1,), (v2,) = groups.update(V1, "a/t", rules), groups.update(V2, "a/t", rules)

    assert isinstance(v1, ReplaceDevices)
    assert (v1.path, v1.allow, "c 10:200 rw" in v1.exceptions) == ("/cg/devices/a/t", False, True)
    assert isinstance(v2, FilterDevices)


def test_a_limit_that_would_kill_can_be_checked_first() -> None:
    asked = Resources(memory=Memory(limit=5, check_before_update=True))

    assert groups.update(V2, "a/t", asked)[0] == CheckUsage("/cg/a/t/memory.current", 5)
    assert not [step for step in groups.update(V1, "a/t", asked) if isinstance(step, CheckUsage)]


def test_processes_are_listed_killed_and_counted_in_one_place() -> None:
    assert groups.procs_file(V1, "a/t") == "/cg/pids/a/t/cgroup.procs"
    assert groups.procs_file(HYBRID, "a/t") == "/cg/unified/a/t/cgroup.procs"
    assert (groups.kill_file(V1, "a/t"), groups.kill_file(V2, "a/t")) == ("", "/cg/a/t/cgroup.kill")
    assert groups.oom_file(HYBRID, "a/t") == "/cg/memory/a/t/memory.oom_control"
    assert groups.oom_file(V2, "a/t") == "/cg/a/t/memory.events"


asked = st.builds(
    Resources,
    cpu=st.sampled_from([None, Cpu(shares=5, quota=1000, period=1000, burst=1), Cpu(cpus="0")]),
    memory=st.sampled_from([None, Memory(limit=5, swap=9, reservation=1), Memory(swappiness=1)]),
    pids=st.sampled_from([None, Pids(limit=5)]),
    block_io=st.sampled_from(
        [
            None,
            BlockIo(weight=50),
            BlockIo(throttle_read_bps_device=(ThrottleDevice(major=8, minor=0, rate=1),)),
        ]
    ),
    hugepage_limits=st.sampled_from([(), (HugepageLimit(page_size="2MB", limit=0),)]),
    network=st.sampled_from([None, Network(class_id=1)]),
    unified=st.sampled_from([{}, {"memory.high": "5"}, {"../x": "1"}]),
)
layouts = st.sampled_from([V1, V2, HYBRID, DELEGATED, THOROUGH])


@given(layouts, asked)
def test_law_every_write_is_into_a_group_that_was_made_before(
    layout: Layout, resources: Resources
) -> None:
    there = set(layout.hierarchies)
    for step in groups.make(layout, "a/b/t", resources):
        if isinstance(step, MakeCgroup):
            assert step.path.rpartition("/")[0] in there
            there.add(step.path)
        elif not isinstance(step, RefuseLimit | CheckUsage):
            directory = step.path if _is_directory(step) else step.path.rpartition("/")[0]
            assert directory in there
    assert {step.path for step in groups.join(layout, "a/b/t", resources)} <= there


def _is_directory(step: HostStep) -> bool:
    return isinstance(step, FilterDevices | ReplaceDevices)


@given(layouts, asked)
def test_law_what_is_missing_is_refused_in_making_and_in_updating(
    layout: Layout, resources: Resources
) -> None:
    refused = {
        kind.__name__: {
            step.limit for step in kind(layout, "a/t", resources) if isinstance(step, RefuseLimit)
        }
        for kind in (groups.make, groups.update)
    }

    missing = {text.partition(":")[0] for text in groups.missing(layout, resources)}
    assert refused["make"] == refused["update"] == missing
