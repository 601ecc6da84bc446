"""Find everything wrong with a container spec before the kernel is asked for anything.

All problems are reported at once, each with its path in the spec. Whether a path of the host
exists is not asked here: only the kernel's own answer at the moment of mounting counts.
"""

import re
from collections.abc import Iterator

from runtime import health
from runtime.cgroups.devices import parse as parse_device_rule
from runtime.defaults import CAPABILITY_NAMES, RLIMIT_NAMES
from runtime.spec import (
    CONTAINER,
    HOST,
    ContainerSpec,
    File,
    Mount,
    MountKind,
    Overlay,
    Resources,
    Rlimit,
)
from swarm.errors import Invalid
from swarm.specs import LEAST_CPU_MILLIS, LEAST_MEMORY_BYTES, LONGEST_HOSTNAME

_MOST_CHARACTERS = 0xFFFF
_MOST = (1 << 63) - 1
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_CPU_LIST = re.compile(r"\d+(-\d+)?(,\d+(-\d+)?)*")
_IPC_SYSCTLS = ("kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem")


def check(spec: ContainerSpec) -> None:
    """Raise `Invalid` with all problems of `spec`, if it has any."""
    problems = tuple(_problems(spec))
    if problems:
        raise Invalid(
            f"container {spec.id!r}: {problems[0]}",
            hint="" if len(problems) == 1 else f"and {len(problems) - 1} more",
            problems=problems,
        )


def _problems(spec: ContainerSpec) -> Iterator[str]:
    if not _ID.fullmatch(spec.id):
        yield "id: must be letters, digits, `_`, `.` and `-`, and begin with a letter or digit"
    if not spec.args or not spec.args[0]:
        yield "args: must name a command: set one, or use an image that has one"
    yield from _strings(spec)
    yield from _rootfs(spec.rootfs)
    yield from _absolute("workdir", spec.workdir)
    yield from _absolute("log.path", spec.log.path)
    if spec.log.max_files < 0:
        yield "log.max_files: must not be negative (0 keeps nothing)"
    if spec.log.max_bytes < 0:
        yield "log.max_bytes: must not be negative (0 never rotates)"
    if not _ID.fullmatch(spec.cgroup_parent):
        yield f"cgroup_parent: must be a plain name, is {spec.cgroup_parent!r}"
    if len(spec.hostname) > LONGEST_HOSTNAME:
        yield f"hostname: must not be longer than {LONGEST_HOSTNAME} characters"
    if not -1000 <= spec.oom_score_adj <= 1000:
        yield f"oom_score_adj: must be between -1000 and 1000, is {spec.oom_score_adj}"
    if spec.host_network and spec.network_namespace:
        yield "network_namespace: must be empty with host_network"
    yield from _namespaces(spec)
    if spec.awaits_network and (spec.host_network or spec.network_namespace):
        yield "awaits_network: needs a network namespace of the container's own"
    for number, mount in enumerate(spec.mounts):
        yield from _mount(f"mounts[{number}]", mount)
    for number, file in enumerate(spec.files):
        yield from _file(f"files[{number}]", file)
    yield from _while_running(spec)
    yield from _resources(spec.resources)
    yield from _rights(spec)
    for name in spec.sysctls:
        yield from _sysctl(name, spec)


def _namespaces(spec: ContainerSpec) -> Iterator[str]:
    if len(spec.domainname) > LONGEST_HOSTNAME:
        yield f"domainname: must not be longer than {LONGEST_HOSTNAME} characters"
    if spec.shm_bytes < 0:
        yield "shm_bytes: must not be negative (0 is none)"
    for name, asked in (
        ("pid_namespace", spec.pid_namespace),
        ("ipc_namespace", spec.ipc_namespace),
        ("network_namespace", spec.network_namespace),
    ):
        if asked.startswith(CONTAINER):
            if not _ID.fullmatch(asked.removeprefix(CONTAINER)):
                yield f"{name}: must name a container by its id, is {asked!r}"
        elif asked == HOST and name == "network_namespace":
            yield "network_namespace: the host's is asked for by host_network"
        elif asked and asked != HOST:
            yield from _absolute(name, asked)
    if spec.ipc_namespace.startswith("/"):
        yield "ipc_namespace: must name a container, for what it has at /dev/shm belongs to it"
    for name, asked in (
        ("uts_namespace", spec.uts_namespace),
        ("cgroup_namespace", spec.cgroup_namespace),
    ):
        if asked not in ("", HOST):
            yield f"{name}: must be empty or `host`, is {asked!r}"


def _while_running(spec: ContainerSpec) -> Iterator[str]:
    if spec.health is not None:
        yield from health.problems(spec.health)
    for name, count in (("rows", spec.rows), ("columns", spec.columns)):
        if not 0 <= count <= _MOST_CHARACTERS:
            yield f"{name}: must be between 0 and {_MOST_CHARACTERS}, is {count}"


def _strings(spec: ContainerSpec) -> Iterator[str]:
    for number, arg in enumerate(spec.args):
        if "\0" in arg:
            yield f"args[{number}]: must not contain a null character"
    for number, variable in enumerate(spec.env):
        if "=" not in variable[1:] or "\0" in variable:
            yield f"env[{number}]: must be NAME=VALUE without null characters"


def _absolute(path: str, value: str) -> Iterator[str]:
    if not value.startswith("/") or "\0" in value:
        yield f"{path}: must be absolute, is {value!r}"
    elif ".." in value.split("/"):
        yield f"{path}: must not contain `..`, is {value!r}"


def _rootfs(rootfs: Overlay) -> Iterator[str]:
    if not rootfs.lower_dirs:
        yield "rootfs.lower_dirs: must name at least one layer"
    for number, lower in enumerate(rootfs.lower_dirs):
        yield from _absolute(f"rootfs.lower_dirs[{number}]", lower)
    yield from _absolute("rootfs.upper_dir", rootfs.upper_dir)
    yield from _absolute("rootfs.work_dir", rootfs.work_dir)


def _mount(path: str, mount: Mount) -> Iterator[str]:
    yield from _absolute(f"{path}.target", mount.target)
    if mount.target.strip("/") == "":
        yield f"{path}.target: must not be the root directory"
    if mount.kind is MountKind.BIND:
        yield from _absolute(f"{path}.source", mount.source)
    elif mount.source or mount.copy_up:
        yield f"{path}: a tmpfs has neither source nor copy_up"
    if mount.options and mount.kind is not MountKind.TMPFS:
        yield f"{path}.options: are of memory only"
    if mount.size_bytes < 0:
        yield f"{path}.size_bytes: must not be negative"
    if not 0 <= mount.mode <= 0o7777:
        yield f"{path}.mode: must be between 0 and 07777"


def _file(path: str, file: File) -> Iterator[str]:
    yield from _absolute(f"{path}.path", file.path)
    if file.path.endswith("/"):
        yield f"{path}.path: must name a file"


def _resources(resources: Resources) -> Iterator[str]:
    if resources.cpu_millis < 0 or 0 < resources.cpu_millis < LEAST_CPU_MILLIS:
        yield f"resources.cpu_millis: must be at least {LEAST_CPU_MILLIS}, or 0 for no limit"
    if resources.memory_bytes < 0 or 0 < resources.memory_bytes < LEAST_MEMORY_BYTES:
        yield f"resources.memory_bytes: must be at least {LEAST_MEMORY_BYTES}, or 0 for no limit"
    swap = resources.memory_swap_bytes
    if swap and not resources.memory_bytes:
        yield "resources.memory_swap_bytes: needs memory_bytes too"
    elif swap != -1 and swap and swap < resources.memory_bytes:
        yield "resources.memory_swap_bytes: counts memory too, so must not be below memory_bytes"
    if not -1 <= resources.memory_swappiness <= 100:
        yield "resources.memory_swappiness: must be between 0 and 100, or -1 for the host's own"
    if resources.pids_limit < 0:
        yield "resources.pids_limit: must not be negative (0 is no limit)"
    yield from _shares(resources)
    for name in ("cpuset_cpus", "cpuset_mems"):
        value: str = getattr(resources, name)
        if value and not _CPU_LIST.fullmatch(value):
            yield f"resources.{name}: must be a list such as 0-1,3, is {value!r}"


def _shares(resources: Resources) -> Iterator[str]:
    """Ranges are the kernel's; what it makes of a value within them is its answer."""
    if resources.cpu_millis and (resources.cpu_quota_us or resources.cpu_period_us):
        yield "resources.cpu_quota_us: stands for cpu_millis, so only one of them can be given"
    for name, least, most in (
        ("cpu_shares", 1, _MOST),
        ("cpu_period_us", 1000, 1_000_000),
        ("cpu_quota_us", 1000, _MOST),
        ("memory_reservation_bytes", 1, _MOST),
        ("blkio_weight", 10, 1000),
    ):
        value: int = getattr(resources, name)
        if value and not least <= value <= most:
            yield f"resources.{name}: must be between {least} and {most}, is {value}"
    reservation = resources.memory_reservation_bytes
    if 0 < resources.memory_bytes < reservation:
        yield "resources.memory_reservation_bytes: must not be above memory_bytes"


def _rights(spec: ContainerSpec) -> Iterator[str]:
    for number, name in enumerate(spec.capabilities):
        if name not in CAPABILITY_NAMES:
            yield f"capabilities[{number}]: no capability is called {name!r}"
    for number, limit in enumerate(spec.rlimits):
        yield from _rlimit(f"rlimits[{number}]", limit)
    for number, rule in enumerate(spec.device_rules):
        if parse_device_rule(rule) is None:
            yield f"device_rules[{number}]: must be such as `c 1:3 rwm`, is {rule!r}"
    for name in ("masked_paths", "readonly_paths"):
        for number, path in enumerate(getattr(spec, name)):
            yield from _absolute(f"{name}[{number}]", path)


def _rlimit(path: str, limit: Rlimit) -> Iterator[str]:
    if limit.name not in RLIMIT_NAMES:
        yield f"{path}.name: no limit is called {limit.name!r}"
    if limit.soft < -1 or limit.hard < -1:
        yield f"{path}: must not be below -1 (unlimited)"
    elif limit.hard != -1 and (limit.soft == -1 or limit.soft > limit.hard):
        yield f"{path}: soft limit {limit.soft} is above the hard limit {limit.hard}"


def _sysctl(name: str, spec: ContainerSpec) -> Iterator[str]:
    if "/" in name or ".." in name:
        yield f"sysctls[{name}]: must be written with dots"
    elif name.startswith("net."):
        if spec.host_network:
            yield f"sysctls[{name}]: would change the host, since the container has its network"
    elif not name.startswith(("kernel.shm", "fs.mqueue.")) and name not in _IPC_SYSCTLS:
        yield f"sysctls[{name}]: is not separate for each container; set it on the host"
    elif spec.ipc_namespace == HOST:
        yield f"sysctls[{name}]: would change the host, since the container has its IPC"
