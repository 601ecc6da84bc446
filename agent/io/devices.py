"""Look at devices and fences of the host."""

import os
import stat
from pathlib import Path

from agent.rights import Fences
from agent.standalone.numbering import numbers
from runtime.spec import UserNamespace
from swarm.errors import Refused


def why_not_a_device(path: str) -> str:
    """Empty when `path` is a device or a directory of devices, else what it is instead."""
    try:
        mode = Path(path).stat().st_mode
    except OSError as err:
        return f"cannot be used on this node: {err.strerror}"
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) or stat.S_ISDIR(mode):
        return ""
    return "is no device on this node"


def block_numbers(path: str) -> tuple[int, int]:
    """Which block device `path` is; `Refused` when it is none."""
    try:
        found = Path(path).stat()
    except OSError as err:
        raise Refused(f"error gathering device information: {path}: {err.strerror}") from err
    if not stat.S_ISBLK(found.st_mode):
        raise Refused(f"error gathering device information: {path}: is no block device")
    return os.major(found.st_rdev), os.minor(found.st_rdev)


def processors() -> frozenset[int]:
    """The numbers of the CPUs that are online."""
    return _listed(Path("/sys/devices/system/cpu/online"))


def memory_nodes() -> frozenset[int]:
    """The numbers of the memory nodes that have memory."""
    return _listed(Path("/sys/devices/system/node/has_memory")) or frozenset((0,))


def _listed(path: Path) -> frozenset[int]:
    try:
        return numbers(path.read_text().strip())
    except OSError:
        return frozenset()


def fences(user_namespace: UserNamespace | None) -> Fences:
    """What this host can fence containers in with."""
    return Fences(user_namespace=user_namespace, has_apparmor=_has_apparmor())


def has_seccomp() -> bool:
    """Whether the kernel filters system calls."""
    return Path("/proc/sys/kernel/seccomp/actions_avail").exists()


def _has_apparmor() -> bool:
    try:
        return Path("/sys/module/apparmor/parameters/enabled").read_text().startswith("Y")
    except OSError:
        return False
