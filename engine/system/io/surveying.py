"""Look once at the host we run on."""

import os
import platform as machine
from functools import cache
from pathlib import Path

from engine.system.host import Host, read_memory, read_release
from swarm.images.platform import platform_of

_GROUPS = Path("/sys/fs/cgroup")


@cache
def survey() -> Host:
    """What does not change while we run."""
    system, version = read_release(
        _text(Path("/etc/os-release")) or _text(Path("/usr/lib/os-release"))
    )
    has_v2 = (_GROUPS / "cgroup.controllers").exists()
    return Host(
        kernel=machine.release(),
        architecture=platform_of(machine.machine()).architecture,
        system=system,
        system_version=version,
        cpus=os.cpu_count() or 1,
        memory_bytes=read_memory(_text(Path("/proc/meminfo"))),
        machine_id=_text(Path("/etc/machine-id")).strip(),
        has_cgroup_v2=has_v2,
        controls=_controls_v2() if has_v2 else _controls_v1(),
        forwards_ipv4=_is_on("/proc/sys/net/ipv4/ip_forward"),
        filters_bridges=_is_on("/proc/sys/net/bridge/bridge-nf-call-iptables"),
        filters_bridges_v6=_is_on("/proc/sys/net/bridge/bridge-nf-call-ip6tables"),
        has_apparmor=_text(Path("/sys/module/apparmor/parameters/enabled")).startswith("Y"),
        http_proxy=_environment("HTTP_PROXY"),
        https_proxy=_environment("HTTPS_PROXY"),
        no_proxy=_environment("NO_PROXY"),
    )


def _controls_v1() -> frozenset[str]:
    """The files of every hierarchy's root; pids has none there but its name."""
    found: set[str] = set()
    for hierarchy in _GROUPS.iterdir() if _GROUPS.is_dir() else ():
        if hierarchy.is_dir():
            found.add(hierarchy.name)
            found |= {each.name for each in hierarchy.iterdir() if each.is_file()}
    return frozenset(found)


def _controls_v2() -> frozenset[str]:
    """The root has few files, and says which controllers there are."""
    controllers = _text(_GROUPS / "cgroup.controllers").split()
    files = {
        "memory": ("memory.max", "memory.swap.max"),
        "cpu": ("cpu.max", "cpu.weight"),
        "cpuset": ("cpuset.cpus.effective",),
        "pids": ("pids.max",),
    }
    return frozenset(name for each in controllers for name in files.get(each, ()))


def _is_on(path: str) -> bool:
    return _text(Path(path)).strip() == "1"


def _environment(name: str) -> str:
    return os.environ.get(name) or os.environ.get(name.lower(), "")


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
