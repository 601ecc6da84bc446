"""Make this host's control groups quick to join, and let them be divided and counted.

Done once, by the launcher, before the first container. Whatever the kernel refuses is left as
it is: containers start without it, only slower, or with a refusal that says why.
"""

# Plain strings: pathlib would cost every shim memory.
# ruff: noqa: PTH102, PTH106, PTH208

import contextlib
import os
from typing import Final

from runtime import constants as k
from runtime.cgroups.layout import Layout
from runtime.io import kernel
from runtime.io.cgroups import read, write_values

OWN_GROUP: Final = "swarmd.init"
COUNTING_GROUP: Final = "swarmd.counting"
_QUICK: Final = "favordynmods"
_DISKS: Final = "/sys/block"
_TRIES: Final = 10


def prepare(layout: Layout) -> None:
    """Prepare the host, as far as it lets us."""
    for part in (make_room, count_io, quicken):
        with contextlib.suppress(OSError):
            part(layout)


def quicken(layout: Layout) -> None:
    """Have processes change groups without waiting for a grace period of RCU.

    The first process that changes its group after a pause waits for one, some 5 ms; starting
    a container is that. The kernel's remedy is the option `favordynmods` of any hierarchy, which
    holds for all of them; the price is a slightly slower fork. Where v2 is there beside v1, we
    give it to v2, and repeat the options that it has, which would else be lost. On a host of v2
    alone that is the operator's to do.
    """
    if not layout.v1 or not layout.unified:
        return
    options = mount_options(read("/proc/self/mountinfo"), layout.unified)
    context = kernel.fspick(layout.unified)
    try:
        for option in (*options, _QUICK):
            kernel.fsconfig(context, k.FSCONFIG_SET_FLAG, option)
        kernel.fsconfig(context, k.FSCONFIG_CMD_RECONFIGURE)
    finally:
        os.close(context)


def mount_options(mountinfo: str, point: str) -> tuple[str, ...]:
    """The options of the file system mounted at `point`, but whether it is read-only."""
    for line in mountinfo.splitlines():
        mount, _, filesystem = line.partition(" - ")
        if mount.split(" ")[4] == point:
            asked = filesystem.split(" ")[-1].split(",")
            return tuple(each for each in asked if each not in ("rw", "ro", _QUICK))
    return ()


def count_io(layout: Layout) -> None:
    """Have v1 count what containers read and write: since 6.10 it begins with the first limit.

    A limit of 0 is none. It is written to a group that goes at once; the counting stays until
    the next boot, so all but the first launcher find nothing to do.
    """
    root = layout.v1.get("blkio")
    if root is None:
        return
    group = f"{root}/{COUNTING_GROUP}"
    if disks := _uncounted(root):
        with contextlib.suppress(FileExistsError):  # another launcher's
            os.mkdir(group, 0o755)
        for disk in disks:
            with contextlib.suppress(OSError):
                write_values(f"{group}/blkio.throttle.read_bps_device", (f"{disk} 0",))
    with contextlib.suppress(OSError):  # one that was killed may have left it, too
        os.rmdir(group)


def _uncounted(root: str) -> list[str]:
    """The numbers of disks that nothing is known of yet."""
    counted = read(f"{root}/blkio.throttle.io_service_bytes").split()
    sized = [disk for disk in os.listdir(_DISKS) if read(f"{_DISKS}/{disk}/size").strip() != "0"]
    numbers = (read(f"{_DISKS}/{disk}/dev").strip() for disk in sized)
    return [each for each in numbers if each and each not in counted]


def make_room(layout: Layout) -> None:
    """Move the processes at the root of our view of cgroup v2 into a group of their own.

    Groups below one that has processes cannot be limited. Only the host's very root is exempt;
    whoever runs in a container (or a service that was delegated to) sits in such a group.
    """
    if layout.v1 or not read(f"{layout.unified}/cgroup.type"):
        return  # the very root has no type
    group = f"{layout.unified}/{OWN_GROUP}"
    for _ in range(_TRIES):
        pids = read(f"{layout.unified}/cgroup.procs").split()
        if not pids:
            return
        with contextlib.suppress(FileExistsError):
            os.mkdir(group, 0o755)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                write_values(f"{group}/cgroup.procs", (pid,))
