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
_DISKS: Final = "/sys/block"
_TRIES: Final = 10


def prepare(layout: Layout) -> int:
    """Prepare the host. The descriptor is to be kept open; -1 if there is nothing to keep."""
    with contextlib.suppress(OSError):
        make_room(layout)
    with contextlib.suppress(OSError):
        count_io(layout)
    return quicken(layout)


def quicken(layout: Layout) -> int:
    """Have processes change groups without waiting for a grace period of RCU.

    The first process that changes its group after a pause waits for one, some 5 ms; starting
    a container is that. The kernel's remedy is the option `favordynmods` of any hierarchy, which
    holds for all of them as long as that one exists. We make an empty one of our own that
    nobody else sees mounted, and it goes with us. The price is a slightly slower fork, and a line
    `name=swarmd` in /proc/<pid>/cgroup; so it is not done on hosts of v2 alone, where readers
    may expect one line.
    """
    if not layout.v1:
        return -1
    try:
        context = kernel.fsopen("cgroup")
    except OSError:
        return -1
    try:
        kernel.fsconfig(context, k.FSCONFIG_SET_FLAG, "none")
        kernel.fsconfig(context, k.FSCONFIG_SET_STRING, "name", "swarmd")
        kernel.fsconfig(context, k.FSCONFIG_SET_FLAG, "favordynmods")
        kernel.fsconfig(context, k.FSCONFIG_CMD_CREATE)
        return kernel.fsmount(context, 0)
    except OSError:  # Linux before 6.0, or a container whose host has to do it
        return -1
    finally:
        os.close(context)


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
