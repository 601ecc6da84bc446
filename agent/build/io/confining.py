"""Leave the host behind: what a worker sees of it, and what it may still do.

It gets a mount namespace of its own, whose root holds the layers, which it can only read, and the
directory of its build, both where they are on the host. Whatever it mounts ends with it.
"""

import ctypes
import os
import resource
import signal
from pathlib import Path

from runtime import constants as k
from runtime.io import kernel

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_MNT_DETACH = 2
_CAP_CHOWN, _CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH, _CAP_FOWNER, _CAP_FSETID = 0, 1, 2, 3, 4
_CAP_SYS_ADMIN, _CAP_MKNOD, _CAP_SETFCAP = 21, 27, 31
_KEPT = (
    _CAP_CHOWN, _CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH, _CAP_FOWNER, _CAP_FSETID,
    _CAP_SYS_ADMIN, _CAP_MKNOD, _CAP_SETFCAP,
)  # fmt: skip


def die_with_parent(parent: int) -> None:
    """End when the agent does; at once if it has ended."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def confine(own: Path, readable: Path) -> None:
    """See nothing but `own` and `readable` from here on, with few of root's rights."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    kernel.unshare(k.CLONE_NEWNS | k.CLONE_NEWIPC)
    kernel.mount("", "/", "", k.MS_REC | k.MS_PRIVATE)
    root = own / "root"
    root.mkdir()
    kernel.mount("tmpfs", str(root), "tmpfs", k.MS_NOSUID | k.MS_NODEV, "mode=700,size=4m")
    for path, is_read_only in ((own, False), (readable, True)):
        place = root / str(path)[1:]
        place.mkdir(parents=True)
        kernel.mount(str(path), str(place), "", k.MS_BIND)
        if is_read_only:
            flags = k.MS_BIND | k.MS_REMOUNT | k.MS_RDONLY | k.MS_NOSUID | k.MS_NODEV
            kernel.mount("", str(place), "", flags)
    (root / "old").mkdir()
    (root / "names").mkdir()
    os.chdir(root)
    kernel.pivot_root(".", "old")
    os.chdir("/")
    kernel.unmount("/old", _MNT_DETACH)
    Path("/old").rmdir()
    mask = sum(1 << each for each in _KEPT)
    kernel.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    kernel.capset(mask, mask, 0)
    os.umask(0)
