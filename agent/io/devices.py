"""Look at devices and fences of the host."""

import stat
from pathlib import Path

from agent.rights import Fences
from runtime.spec import UserNamespace


def why_not_a_device(path: str) -> str:
    """Empty when `path` is a device or a directory of devices, else what it is instead."""
    try:
        mode = Path(path).stat().st_mode
    except OSError as err:
        return f"cannot be used on this node: {err.strerror}"
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) or stat.S_ISDIR(mode):
        return ""
    return "is no device on this node"


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
