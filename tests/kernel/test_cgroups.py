"""Groups do what their steps say, whichever versions of cgroups this kernel has."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.cgroups import freezer, groups
from runtime.io import cgroups, hierarchies, host, limits, usage
from runtime.oci.config import (
    Cpu,
    DeviceRule,
    HugepageLimit,
    Memory,
    Network,
    Pids,
    Resources,
)
from runtime.steps import JoinCgroup, MakeCgroup, RemoveCgroup, WriteKernelFile, undo
from swarm.errors import KernelRefused
from tests.kernel.machine import wait_for

pytestmark = pytest.mark.kernel

MIB = 1024 * 1024
LAYOUT = hierarchies.host_layout()
THOROUGH = hierarchies.host_layout(thorough=True)


class Group:
    """One container's groups, and processes that run in them."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._made = Resources()
        self._layout = LAYOUT
        self._processes: list[subprocess.Popen[str]] = []

    def make(self, resources: Resources, layout: object = LAYOUT) -> None:
        self._made, self._layout = resources, layout  # type: ignore[assignment]
        for step in groups.make(self._layout, self.path, resources):
            try:
                host.apply(step)
            except OSError as err:
                raise host.refusal(step, err) from err

    def start(self, script: str) -> subprocess.Popen[str]:
        """A shell in the groups that runs `script`."""
        joined = groups.join(self._layout, self.path, self._made)
        enter = "; ".join(f"echo $$ > {step.path}/cgroup.procs" for step in joined)
        process = subprocess.Popen(
            ["sh", "-c", f"{enter}; {script}"], stdout=subprocess.PIPE, text=True,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._processes.append(process)
        return process

    def output(self, script: str) -> str:
        return self.start(script).communicate(timeout=20)[0]

    def text(self, v1: str, v2: str = "") -> str:
        """What a file says: `v1` where its controller is, else `v2`."""
        root = LAYOUT.v1.get(v1.partition(".")[0])
        path = f"{root}/{self.path}/{v1}" if root else f"{LAYOUT.unified}/{self.path}/{v2 or v1}"
        return Path(path).read_text().strip()

    def close(self) -> None:
        host.apply(freezer.thaw(LAYOUT, self.path))
        for pid in usage.pids(LAYOUT, self.path):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in self._processes:
            process.kill()
            process.communicate()
        host.revert(undo(groups.make(self._layout, self.path, self._made)))


@pytest.fixture
def group() -> Iterator[Group]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    parent = f"swarmtest{os.getpid()}"
    made = Group(f"{parent}/t1")
    try:
        yield made
    finally:
        with contextlib.suppress(OSError):
            made.close()
    wait_for(
        "groups are gone", lambda: not any(Path(r, parent).exists() for r in LAYOUT.hierarchies)
    )


def test_what_was_asked_is_what_the_kernel_says(group: Group) -> None:
    group.make(
        Resources(
            cpu=Cpu(shares=512, quota=20_000, period=40_000),
            memory=Memory(limit=64 * MIB, swap=64 * MIB),
            pids=Pids(limit=9),
        )
    )

    assert group.text("cpu.shares", "cpu.weight") in ("512", "59")
    assert group.text("memory.limit_in_bytes", "memory.max") == str(64 * MIB)
    assert group.text("pids.max") == "9"
    if "cpu" in LAYOUT.v1:
        assert group.text("cpu.cfs_quota_us") == "20000"
    else:
        assert group.text("cpu.max") == "20000 40000"


def test_a_process_is_held_to_its_quota(group: Group) -> None:
    """Within five per cent of half a CPU; less only if others kept it from that."""
    group.make(Resources(cpu=Cpu(quota=10_000, period=20_000)))
    group.start("while :; do :; done")
    wait_for(
        "it runs into its quota",
        lambda: usage.read_stats(LAYOUT, group.path).cpu.throttled_ns,
        within_s=60,
    )

    began = time.monotonic_ns()  # whoever is kept from reading takes longer, and not more
    first = usage.read_stats(LAYOUT, group.path).cpu

    def has_been_held() -> bool:
        now = usage.read_stats(LAYOUT, group.path).cpu
        is_held = now.throttled_periods > first.throttled_periods
        return is_held and now.periods >= first.periods + 75

    wait_for("75 periods", has_been_held, within_s=60)
    last = usage.read_stats(LAYOUT, group.path).cpu
    ended = time.monotonic_ns()

    assert (last.usage_ns - first.usage_ns) / (ended - began) <= 0.5 * 1.05
    assert last.throttled_periods > first.throttled_periods


def test_usage_is_counted(group: Group) -> None:
    group.make(Resources(memory=Memory(limit=256 * MIB), pids=Pids(limit=50)))
    script = "head -c 40000000 /dev/zero | tail -c 39000000 | sleep 60"
    group.start(f"{script} & wait")

    def is_filled() -> bool:
        found = usage.read_stats(LAYOUT, group.path)
        return found.memory.rss_bytes > 30_000_000 and found.pids.current == 3

    wait_for("tail has read it all, and head has ended", is_filled)
    found = usage.read_stats(LAYOUT, group.path)
    assert found.memory.usage_bytes >= found.memory.working_set_bytes > 30_000_000
    assert found.memory.limit_bytes == 256 * MIB
    assert found.memory.max_usage_bytes >= 30_000_000
    assert found.cpu.usage_ns > 0
    assert found.pids.limit == 50
    assert found.pids.current == len(usage.pids(LAYOUT, group.path)) >= 3
    brief = usage.read_stats(LAYOUT, group.path, details=False)
    assert brief.pids.current == found.pids.current
    assert brief.memory.limit_bytes == found.memory.limit_bytes


def test_a_frozen_container_stands_still_and_can_be_killed(group: Group) -> None:
    group.make(Resources())
    process = group.start("while :; do :; done")
    wait_for("it runs", lambda: usage.read_stats(LAYOUT, group.path).cpu.usage_ns > 20_000_000)

    def is_frozen() -> bool:
        host.apply(freezer.freeze(LAYOUT, group.path))
        return freezer.is_frozen(cgroups.read(freezer.events_file(LAYOUT, group.path)))

    def used() -> int:
        return usage.read_stats(LAYOUT, group.path).cpu.usage_ns

    wait_for("it is frozen", is_frozen)
    wait_for("it is off its CPU", lambda: used() == used())  # a moment after it is said to be
    before = used()
    busy_until = time.monotonic() + 0.05
    while time.monotonic() < busy_until:
        pass
    assert used() == before
    assert freezer.is_wished(cgroups.read(freezer.wish_file(LAYOUT, group.path)))
    kill_file = groups.kill_file(LAYOUT, group.path)
    if not kill_file:
        pytest.skip("cgroup v1 alone cannot kill what is frozen")
    cgroups.kill(kill_file)
    assert process.wait(10) == -signal.SIGKILL


def test_limits_can_be_raised_and_lowered(group: Group) -> None:
    group.make(Resources(memory=Memory(limit=64 * MIB, swap=64 * MIB), cpu=Cpu(quota=50_000)))

    for size, quota, period in ((128, 80_000, 100_000), (32, 5_000, 10_000), (64, 90_000, 200_000)):
        memory = Memory(limit=size * MIB, swap=2 * size * MIB)
        limits.update(
            LAYOUT, group.path, Resources(memory=memory, cpu=Cpu(quota=quota, period=period))
        )
        assert group.text("memory.limit_in_bytes", "memory.max") == str(size * MIB)
        if "cpu" in LAYOUT.v1:
            assert group.text("cpu.cfs_quota_us") == str(quota)
            assert group.text("cpu.cfs_period_us") == str(period)
        else:
            assert group.text("cpu.max") == f"{quota} {period}"


def test_an_update_that_the_kernel_refuses_changes_nothing(group: Group) -> None:
    group.make(Resources(memory=Memory(limit=64 * MIB, swap=64 * MIB), pids=Pids(limit=9)))
    asked = Resources(
        memory=Memory(limit=128 * MIB, swap=128 * MIB),
        cpu=Cpu(quota=50_000),
        pids=Pids(limit=1 << 40),
    )

    with pytest.raises(KernelRefused, match=r"pids\.max"):
        limits.update(LAYOUT, group.path, asked)

    assert group.text("memory.limit_in_bytes", "memory.max") == str(64 * MIB)
    assert group.text("cpu.cfs_quota_us", "cpu.max").startswith(("-1", "max"))
    assert group.text("pids.max") == "9"


def test_a_limit_below_what_is_in_use_can_be_refused(group: Group) -> None:
    group.make(Resources(memory=Memory(limit=256 * MIB, swap=256 * MIB)))
    group.start("head -c 40000000 /dev/zero | tail -c 39000000 | sleep 60 & wait")
    wait_for(
        "tail has read it all",
        lambda: usage.read_stats(LAYOUT, group.path).memory.rss_bytes > 30_000_000,
    )
    asked = Memory(limit=8 * MIB, swap=8 * MIB, check_before_update=True)

    with pytest.raises(KernelRefused, match=r"in use"):
        limits.update(LAYOUT, group.path, Resources(memory=asked))

    assert group.text("memory.limit_in_bytes", "memory.max") == str(256 * MIB)


def test_devices_are_those_that_were_asked_for(group: Group) -> None:
    kmsg = DeviceRule(allow=True, type="c", major=1, minor=11, access="r")
    read = "head -c 1 {} > /dev/null && echo read {}"
    group.make(Resources(devices=(kmsg,)))

    assert "read /dev/kmsg" in group.output("true < /dev/kmsg && echo read /dev/kmsg")
    assert "read /dev/zero" in group.output(read.format("/dev/zero", "/dev/zero"))
    assert "read" not in group.output("true < /dev/loop-control && echo read; true")

    limits.update(LAYOUT, group.path, Resources(devices=(DeviceRule(allow=False),)))

    assert "read" not in group.output("true < /dev/kmsg && echo read")
    assert "read /dev/zero" in group.output(read.format("/dev/zero", "/dev/zero"))


def test_a_privileged_container_may_use_every_device(group: Group) -> None:
    group.make(Resources(devices=(DeviceRule(allow=True),)))

    assert "read" in group.output("true < /dev/kmsg && echo read")

    limits.update(LAYOUT, group.path, Resources(devices=(DeviceRule(allow=False),)))

    assert "read" not in group.output("true < /dev/kmsg && echo read")


def test_pinning_holds_also_where_somebody_half_made_the_parent(group: Group) -> None:
    """A v1 cpuset group that has no CPUs yet takes no process."""
    parent = group.path.rpartition("/")[0]
    if "cpuset" in LAYOUT.v1:
        host.apply(MakeCgroup(f"{LAYOUT.v1['cpuset']}/{parent}"))
    group.make(Resources(cpu=Cpu(cpus="0")))

    output = group.output("grep Cpus_allowed_list /proc/self/status")

    assert output.split()[-1] == "0"


def test_a_thorough_group_can_be_pinned_later(group: Group) -> None:
    group.make(Resources(), THOROUGH)
    process = group.start("echo ready; exec sleep 60")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"

    limits.update(THOROUGH, group.path, Resources(cpu=Cpu(cpus="0")))

    status = Path(f"/proc/{process.pid}/status").read_text()
    assert "Cpus_allowed_list:\t0\n" in status


def test_what_this_host_cannot_limit_is_refused_by_name(group: Group) -> None:
    asked = Resources(
        network=Network(class_id=1),
        hugepage_limits=(HugepageLimit(page_size="2MB", limit=0),),
        unified={"nonesuch.max": "1"},
    )
    named = groups.missing(LAYOUT, asked)
    if not named:
        pytest.skip("this host can limit everything")

    with pytest.raises(KernelRefused) as failure:
        group.make(asked)

    assert failure.value.message == named[0]
    assert not Path(LAYOUT.hierarchies[0], group.path).exists()


def test_a_limit_of_the_unified_hierarchy_serves_a_hybrid_host(group: Group) -> None:
    asked = Resources(hugepage_limits=(HugepageLimit(page_size="2MB", limit=2 * MIB),))
    if groups.missing(LAYOUT, asked):
        pytest.skip("this host does not limit huge pages")

    group.make(asked)

    assert group.text("hugetlb.2MB.limit_in_bytes", "hugetlb.2MB.max") == str(2 * MIB)
    found = usage.read_stats(LAYOUT, group.path).hugepages
    assert "2MB" in [each.page_size for each in found]


def test_files_of_v2_can_be_set_by_name(group: Group) -> None:
    if LAYOUT.v1:
        pytest.skip("the controllers of this host are v1's")

    group.make(Resources(unified={"memory.high": str(32 * MIB), "cgroup.max.depth": "3"}))

    assert group.text("memory.high") == str(32 * MIB)
    assert group.text("cgroup.max.depth") == "3"


def test_a_group_in_use_is_not_taken_over(group: Group) -> None:
    group.make(Resources())
    process = group.start("echo ready; exec sleep 60")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"

    with pytest.raises(KernelRefused, match="in use"):
        group.make(Resources())

    assert process.poll() is None


def test_groups_that_a_container_made_in_its_own_go_with_it(group: Group) -> None:
    """As systemd or a container engine does in a container."""
    group.make(Resources())
    for path in groups.paths(LAYOUT, group.path, Resources()):
        host.apply(MakeCgroup(f"{path}/system.slice", shared=True))
        host.apply(MakeCgroup(f"{path}/system.slice/cron.service", shared=True))
    process = group.start(
        f"echo $$ > {Path(groups.procs_file(LAYOUT, group.path)).parent}"
        "/system.slice/cron.service/cgroup.procs; echo ready; exec sleep 60"
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    assert process.pid in usage.pids(LAYOUT, group.path)

    process.kill()
    process.wait()
    group.close()

    assert not any(Path(p).exists() for p in groups.paths(LAYOUT, group.path, Resources()))


def test_a_threaded_parent_takes_no_container_and_is_named() -> None:
    if os.geteuid() != 0 or not LAYOUT.unified:
        pytest.skip("needs root and cgroup v2, which alone has threaded groups")
    parent = f"{LAYOUT.unified}/swarmtest{os.getpid()}-threaded"
    inner = JoinCgroup(f"{parent}/t1")
    try:
        host.apply(MakeCgroup(parent))
        host.apply(WriteKernelFile(f"{parent}/cgroup.type", ("threaded",)))
        host.apply(MakeCgroup(inner.path))

        with pytest.raises(OSError) as failure:
            cgroups.write_values(f"{inner.path}/cgroup.procs", ("0",))

        assert "threaded" in host.refusal(inner, failure.value).message
    finally:
        host.revert([RemoveCgroup(parent, shared=False)])
    assert not Path(parent).exists()
