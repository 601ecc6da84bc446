"""What the launcher does to the host before the first container, and what stays of it."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from runtime.cgroups import groups
from runtime.cgroups.layout import Layout
from runtime.io import cgroups, hierarchies, host, preparing, usage
from runtime.oci.config import BlockIo, Pids, Resources, ThrottleDevice
from runtime.steps import MakeCgroup, RemoveCgroup, undo
from tests.kernel.machine import wait_for

pytestmark = pytest.mark.kernel

LAYOUT = hierarchies.host_layout()
THROTTLED = Resources(
    block_io=BlockIo(throttle_read_bps_device=(ThrottleDevice(major=8, minor=0, rate=1),))
)
needs_unified = pytest.mark.skipif(not LAYOUT.unified, reason="needs a cgroup2 mount")


@pytest.fixture
def view() -> Iterator[Path]:
    """A group that has processes of its own, as a container's has for whoever runs in it."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    path = Path(LAYOUT.unified, f"swarmtest{os.getpid()}")
    if not LAYOUT.v1:
        host.apply(groups.make(LAYOUT, f"{path.name}/probe", Resources())[0])  # hands down
    host.apply(MakeCgroup(str(path)))
    yield path
    for each in (*path.glob("*/*/"), *path.glob("*/"), path):
        for pid in cgroups.read(f"{each}/cgroup.procs").split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        host.revert([RemoveCgroup(str(each), shared=False)])
    assert not path.exists()


def sleeper(group: Path) -> subprocess.Popen[bytes]:
    script = f"echo $$ > {group}/cgroup.procs && exec sleep 100"
    process = subprocess.Popen(["sh", "-c", script])
    pid = str(process.pid)
    wait_for("it is in the group", lambda: pid in (group / "cgroup.procs").read_text().split())
    return process


@needs_unified
def test_processes_at_the_root_of_a_view_make_room(view: Path) -> None:
    process = sleeper(view)
    layout = Layout(
        v1={},
        unified=str(view),
        controllers=tuple((view / "cgroup.controllers").read_text().split()),
    )
    try:
        preparing.make_room(layout)
        preparing.make_room(layout)

        assert (view / "cgroup.procs").read_text() == ""
        assert (view / preparing.OWN_GROUP / "cgroup.procs").read_text() == f"{process.pid}\n"
        if "pids" in layout.controllers:
            steps = groups.make(layout, "p/c1", Resources(pids=Pids(limit=5)))
            for step in steps:
                host.apply(step)
            assert (view / "p/c1/pids.max").read_text() == "5\n"
            host.revert(undo(steps))
    finally:
        process.kill()
        process.wait()


@needs_unified
def test_groups_that_cannot_be_limited_say_what_to_do(view: Path) -> None:
    process = sleeper(view)
    layout = Layout(
        v1={},
        unified=str(view),
        controllers=tuple((view / "cgroup.controllers").read_text().split()),
    )
    if "pids" not in layout.controllers:
        process.kill()
        process.wait()
        pytest.skip("the unified hierarchy of this host controls nothing")
    step = groups.make(layout, "p/c1", Resources())[0]
    try:
        with pytest.raises(OSError) as failure:
            host.apply(step)
    finally:
        process.kill()
        process.wait()

    refused = host.refusal(step, failure.value)
    assert f"cgroup {view} has processes of its own" in refused.message
    assert refused.hint == f"move them into a group below, such as {view}/init"


def test_the_hosts_own_root_is_left_alone() -> None:
    before = {root: cgroups.read(f"{root}/cgroup.procs") != "" for root in LAYOUT.hierarchies}

    preparing.make_room(LAYOUT)

    assert not Path(LAYOUT.hierarchies[0], preparing.OWN_GROUP).exists()
    assert {
        root: cgroups.read(f"{root}/cgroup.procs") != "" for root in LAYOUT.hierarchies
    } == before


def test_groups_become_quick_to_join_without_a_trace_that_confuses() -> None:
    """containerd looks for a mount of every hierarchy that /proc/<pid>/cgroup names."""
    if os.geteuid() != 0 or not LAYOUT.v1 or not LAYOUT.unified:
        pytest.skip("needs root, and cgroup v2 beside v1")
    mountinfo, lines = Path("/proc/self/mountinfo"), Path("/proc/self/cgroup").read_text()
    before = preparing.mount_options(mountinfo.read_text(), LAYOUT.unified)

    try:
        preparing.quicken(LAYOUT)
    except OSError as err:
        pytest.skip(f"this kernel has no favordynmods: {err}")

    mine = [line for line in mountinfo.read_text().splitlines() if " - cgroup2 " in line]
    assert all(line.endswith("favordynmods") or "favordynmods," in line for line in mine)
    assert preparing.mount_options(mountinfo.read_text(), LAYOUT.unified) == before
    assert Path("/proc/self/cgroup").read_text() == lines


def test_the_options_of_a_mount_are_read() -> None:
    mountinfo = (
        "30 23 0:26 / /sys/fs rw - tmpfs tmpfs ro,mode=755\n"
        "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 "
        "rw,nsdelegate,favordynmods,memory_recursiveprot\n"
    )

    found = preparing.mount_options(mountinfo, "/sys/fs/cgroup/unified")

    assert found == ("nsdelegate", "memory_recursiveprot")
    assert preparing.mount_options(mountinfo, "/nowhere") == ()


def test_what_containers_write_is_counted(tmp_path: Path) -> None:
    """Since Linux 6.10, v1 counts only on disks that once had a limit; it never counts what the
    kernel writes out later."""
    if os.geteuid() != 0 or groups.missing(LAYOUT, THROTTLED):
        pytest.skip("needs root and a host that counts block devices")
    preparing.count_io(LAYOUT)
    path = f"swarmtest{os.getpid()}/c1"
    steps = groups.make(LAYOUT, path, Resources())
    for step in steps:
        host.apply(step)
    try:
        enter = "; ".join(
            f"echo $$ > {x.path}/cgroup.procs" for x in groups.join(LAYOUT, path, Resources())
        )
        script = f"{enter}; exec dd if=/dev/zero of={tmp_path}/file bs=1M count=8 oflag=direct"
        done = subprocess.run(["sh", "-c", script], capture_output=True, check=False)
        if done.returncode != 0:
            pytest.skip("this file system knows no direct output, so it is on no disk")
        assert usage.read_stats(LAYOUT, path).io.write_bytes == 8 << 20
        assert usage.read_stats(LAYOUT, path, details=False).io.write_bytes == 8 << 20
    finally:
        host.revert(undo(steps))
    groups_left = partial(Path("/sys/fs/cgroup").glob, f"*/{preparing.COUNTING_GROUP}")
    wait_for("it is gone, and another launcher's, too", lambda: not list(groups_left()))
