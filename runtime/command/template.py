"""Hold the config.json that `spec` writes: a shell in a container, to be edited."""

from typing import Any, Final

from runtime.defaults import MASKED_PATHS, READONLY_PATHS
from runtime.oci.config import VERSION

_CAPABILITIES: Final = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
_NAMESPACES: Final = ("pid", "network", "ipc", "uts", "mount", "cgroup")

_SYS: Final = {
    "destination": "/sys",
    "type": "sysfs",
    "source": "sysfs",
    "options": ["nosuid", "noexec", "nodev", "ro"],
}
_HOST_SYS: Final = {
    "destination": "/sys",
    "type": "none",
    "source": "/sys",
    "options": ["rbind", "nosuid", "noexec", "nodev", "ro"],
}
_CGROUP: Final = {
    "destination": "/sys/fs/cgroup",
    "type": "cgroup",
    "source": "cgroup",
    "options": ["nosuid", "noexec", "nodev", "relatime", "ro"],
}


def config(*, rootless: tuple[int, int] | None = None) -> dict[str, Any]:
    """The file as JSON's values; `rootless` are the caller's own uid and gid, to be root."""
    return {
        "ociVersion": VERSION,
        "process": _process(),
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "swarm-runtime",
        "mounts": _mounts(rootless=rootless is not None),
        "linux": _linux(rootless),
    }


def _process() -> dict[str, Any]:
    return {
        "terminal": True,
        "user": {"uid": 0, "gid": 0},
        "args": ["sh"],
        "env": [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "TERM=xterm",
        ],
        "cwd": "/",
        "capabilities": {each: _CAPABILITIES for each in ("bounding", "effective", "permitted")},
        "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
        "noNewPrivileges": True,
    }


def _mounts(*, rootless: bool) -> list[dict[str, Any]]:
    terminals = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]
    return [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        _mount("/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        _mount("/dev/pts", "devpts", *terminals, *([] if rootless else ["gid=5"])),
        _mount("/dev/shm", "tmpfs", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k"),
        _mount("/dev/mqueue", "mqueue", "nosuid", "noexec", "nodev"),
        _HOST_SYS if rootless else _SYS,
        _CGROUP,
    ]


def _mount(destination: str, kind: str, *options: str) -> dict[str, Any]:
    return {"destination": destination, "type": kind, "source": kind, "options": list(options)}


def _linux(rootless: tuple[int, int] | None) -> dict[str, Any]:
    names = [each for each in _NAMESPACES if rootless is None or each != "network"]
    shared: dict[str, Any] = {
        "namespaces": [{"type": each} for each in names],
        "maskedPaths": list(MASKED_PATHS),
        "readonlyPaths": list(READONLY_PATHS),
    }
    if rootless is None:
        return {"resources": {"devices": [{"allow": False, "access": "rwm"}]}, **shared}
    uid, gid = rootless
    shared["namespaces"].append({"type": "user"})
    return {
        "uidMappings": [{"containerID": 0, "hostID": uid, "size": 1}],
        "gidMappings": [{"containerID": 0, "hostID": gid, "size": 1}],
        **shared,
    }
