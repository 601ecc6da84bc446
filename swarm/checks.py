"""Check a service spec whole: every problem at once, each with its path.

The command line checks before it sends and the manager checks again before it commits, with
the same function, so no other client can store what an agent would choke on. Only what the
spec itself can tell is checked here: whether an image exists, or a node is large enough, is
asked of those who know. A template (`{{.Task.Slot}}`) is judged once it has been filled in.
"""

import math
import re
import signal
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from posixpath import normpath

from swarm.constraints import parse as parse_constraint
from swarm.errors import Invalid
from swarm.images.reference import parse_reference
from swarm.quantities import format_cpus, format_memory
from swarm.rights import check_rights
from swarm.specs import (
    LEAST_CPU_MILLIS,
    LEAST_MEMORY_BYTES,
    LONGEST_HOSTNAME,
    ContainerSpec,
    Global,
    Mount,
    MountKind,
    Replicated,
    ServiceSpec,
    TaskSpec,
    Ulimit,
)

Problem = tuple[str, str]  # path, what is wrong with what is there

SIGNALS = {each.name: int(each) for each in signal.Signals} | {
    f"SIGRTMIN+{n}": signal.SIGRTMIN + n for n in range(1, 16)
}
ULIMITS = frozenset(
    [
        "core",
        "cpu",
        "data",
        "fsize",
        "locks",
        "memlock",
        "msgqueue",
        "nice",
        "nofile",
        "nproc",
        "rss",
        "rtprio",
        "rttime",
        "sigpending",
        "stack",
    ]
)
MAX_COUNT = 2**31 - 1

_NAME = re.compile(r"[A-Za-z0-9](?:[-_]*[A-Za-z0-9]+)*")
_VOLUME_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_HOST_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?")
_USER = re.compile(r"[^\s:]+(?::[^\s:]+)?")
_IPC_SYSCTLS = frozenset(
    f"kernel.{name}"
    for name in [
        "msgmax",
        "msgmnb",
        "msgmni",
        "sem",
        "shmall",
        "shmmax",
        "shmmni",
        "shm_rmid_forced",
    ]
)
_PROPAGATIONS = frozenset(("", "private", "rprivate", "shared", "rshared", "slave", "rslave"))


def check_service(spec: ServiceSpec) -> tuple[str, ...]:
    """Every problem of `spec` as `path: what is wrong`; none when it may be stored."""
    return tuple(f"{path}: {text}" for path, text in _service(spec))


def signal_number(text: str) -> int:
    """The number of `SIGTERM`, `term` or `15`; `Invalid` when there is no such signal."""
    name = text.upper()
    number = int(name) if name.isascii() and name.isdigit() and len(name) < 3 else 0
    found = SIGNALS.get(name if name.startswith("SIG") else f"SIG{name}", number)
    if not 0 < found <= signal.SIGRTMAX:
        raise Invalid(f"there is no signal {text!r}", hint="use a name such as SIGTERM or a number")
    return found


def _service(spec: ServiceSpec) -> Iterator[Problem]:
    if not spec.name:
        yield "name", "must not be empty"
    elif len(spec.name) > 63 or not _NAME.fullmatch(spec.name):
        yield (
            "name",
            f"{spec.name!r} must be letters, digits, - and _, start and end with a letter or "
            "digit, and have at most 63 characters",
        )
    yield from _labels("labels", spec.labels)
    match spec.mode:
        case Replicated(replicas=replicas):
            yield from _count("replicated.replicas", replicas)
        case Global():
            if spec.task.placement.max_replicas_per_node:
                yield "task.placement.max_replicas_per_node", "has no meaning in global mode"
    yield from _task(spec.task)
    yield from _count("update.parallelism", spec.update.parallelism)
    yield from _duration("update.delay_s", spec.update.delay_s)


def _task(task: TaskSpec) -> Iterator[Problem]:
    yield from _container(task.container)
    yield from _resources(task)
    yield from _duration("task.restart.delay_s", task.restart.delay_s)
    yield from _duration("task.restart.window_s", task.restart.window_s)
    yield from _count("task.restart.max_attempts", task.restart.max_attempts)
    yield from _count("task.placement.max_replicas_per_node", task.placement.max_replicas_per_node)
    for index, text in enumerate(task.placement.constraints):
        yield from _invalid(f"task.placement.constraints[{index}]", parse_constraint, text)
    yield from _networks(task)


def _networks(task: TaskSpec) -> Iterator[Problem]:
    for index, name in enumerate(task.networks):
        if name not in ("host", "none"):
            yield f"task.networks[{index}]", f"there is no network {name!r}; use host or none"
    if len(task.networks) > 1:
        yield "task.networks", f"{' and '.join(task.networks)} exclude each other; give one"
    if "host" in task.networks:
        for name in sorted(task.container.sysctls):
            if name.startswith("net."):
                yield f"task.container.sysctls[{name}]", "would change the host with network host"


def _resources(task: TaskSpec) -> Iterator[Problem]:
    limits, reserved = task.limits, task.reservations
    for part, cpu, memory in (
        ("limits", limits.cpu_millis, limits.memory_bytes),
        ("reservations", reserved.cpu_millis, reserved.memory_bytes),
    ):
        yield from _count(f"task.{part}.cpu_millis", cpu, most=2**62)
        yield from _count(f"task.{part}.memory_bytes", memory, most=2**62)
    if 0 < limits.memory_bytes < LEAST_MEMORY_BYTES:
        yield (
            "task.limits.memory_bytes",
            f"{format_memory(limits.memory_bytes)} is less than "
            f"{format_memory(LEAST_MEMORY_BYTES)}, the least that works",
        )
    if 0 < limits.cpu_millis < LEAST_CPU_MILLIS:
        yield (
            "task.limits.cpu_millis",
            f"{format_cpus(limits.cpu_millis)} is less than {format_cpus(LEAST_CPU_MILLIS)}, "
            "the least that works",
        )
    yield from _count("task.limits.pids", limits.pids, most=2**22)
    if limits.swap_bytes != -1:
        yield from _count("task.limits.swap_bytes", limits.swap_bytes, most=2**62)
    if limits.swap_bytes and not limits.memory_bytes:
        yield "task.limits.swap_bytes", "comes on top of a limit of memory, and there is none"
    for name, limit, reservation, text in (
        ("cpu_millis", limits.cpu_millis, reserved.cpu_millis, format_cpus),
        ("memory_bytes", limits.memory_bytes, reserved.memory_bytes, format_memory),
    ):
        if 0 < limit < reservation:
            yield (
                f"task.limits.{name}",
                f"{text(limit)} is below the reservation of {text(reservation)}",
            )


def _container(container: ContainerSpec) -> Iterator[Problem]:
    if not container.image:
        yield "task.container.image", "must not be empty"
    else:
        yield from _invalid("task.container.image", parse_reference, container.image)
    yield from _texts(container)
    yield from _labels("task.container.labels", container.labels)
    yield from _mounts(container.mounts)
    yield from _duration("task.container.stop_grace_s", container.stop_grace_s)
    if container.stop_signal:
        yield from _invalid("task.container.stop_signal", signal_number, container.stop_signal)
    if not -1000 <= container.oom_score_adj <= 1000:
        yield "task.container.oom_score_adj", f"{container.oom_score_adj} is not in -1000..1000"
    for name in sorted(container.sysctls):
        if name not in _IPC_SYSCTLS and not name.startswith(("fs.mqueue.", "net.")):
            yield f"task.container.sysctls[{name}]", "is not a setting of the container's own"
    yield from _ulimits(container.ulimits)
    for index, text in enumerate(container.hosts):
        yield from _host(f"task.container.hosts[{index}]", text)
    yield from check_rights("task.container", container)


def _texts(container: ContainerSpec) -> Iterator[Problem]:
    for kind, values in (("command", container.command), ("args", container.args)):
        for index, text in enumerate(values):
            if "\0" in text:
                yield f"task.container.{kind}[{index}]", "must not hold a NUL character"
    yield from _env(container.env)
    if container.workdir and not container.workdir.startswith("/"):
        yield "task.container.workdir", f"{container.workdir!r} must be an absolute path"
    elif ".." in container.workdir.split("/"):
        yield "task.container.workdir", f"{container.workdir!r} must not contain `..`"
    if container.user and not _USER.fullmatch(container.user):
        yield "task.container.user", f"{container.user!r} is not <name|uid>[:<group|gid>]"
    for index, group in enumerate(container.groups):
        if not group or ":" in group or any(map(str.isspace, group)):
            yield f"task.container.groups[{index}]", f"{group!r} is not a group's name or number"
    if container.hostname and not _is_hostname(container.hostname):
        yield "task.container.hostname", f"{container.hostname!r} is not a host name"
    elif "{{" not in container.hostname and len(container.hostname) > LONGEST_HOSTNAME:
        yield "task.container.hostname", f"is longer than {LONGEST_HOSTNAME} characters"


def _env(env: tuple[str, ...]) -> Iterator[Problem]:
    names: dict[str, int] = {}
    for index, text in enumerate(env):
        name, equals, _ = text.partition("=")
        path = f"task.container.env[{index}]"
        if not name or not equals or any(map(str.isspace, name)):
            yield path, f"{text!r} is not NAME=VALUE"
        elif "\0" in text:
            yield path, f"the value of {name} must not hold a NUL character"
        elif name in names:
            yield path, f"{name} is already set by env[{names[name]}]"
        names.setdefault(name, index)


def _mounts(mounts: tuple[Mount, ...]) -> Iterator[Problem]:
    targets: dict[str, int] = {}
    for index, mount in enumerate(mounts):
        path = f"task.container.mounts[{index}]"
        yield from _mount(path, mount)
        target = normpath(mount.target) if mount.target else ""
        if target in targets:
            yield (
                f"{path}.target",
                f"{mount.target} is already the target of mounts[{targets[target]}]",
            )
        elif target:
            targets[target] = index


def _mount(path: str, mount: Mount) -> Iterator[Problem]:
    templated = "{{" in mount.target
    if not mount.target:
        yield f"{path}.target", "must not be empty"
    elif not mount.target.startswith("/") and not templated:
        yield f"{path}.target", f"{mount.target!r} must be absolute"
    elif normpath(mount.target) in ("/", "//"):
        yield f"{path}.target", "must not be the root of the container"
    elif ".." in mount.target.split("/"):
        yield f"{path}.target", f"{mount.target!r} must not contain `..`"
    yield from _mount_source(path, mount)
    yield from _mount_options(path, mount)


def _mount_source(path: str, mount: Mount) -> Iterator[Problem]:
    source = mount.source
    match mount.kind:
        case MountKind.BIND:
            if not source:
                yield f"{path}.source", "must not be empty for a bind mount"
            elif not source.startswith("/"):
                yield f"{path}.source", f"{source!r} must be absolute for a bind mount"
            elif ".." in source.split("/"):
                yield f"{path}.source", f"{source!r} must not contain `..`"
        case MountKind.VOLUME:
            if source and "{{" not in source and not _VOLUME_NAME.fullmatch(source):
                yield f"{path}.source", f"{source!r} is not the name of a volume"
        case MountKind.TMPFS:
            if source:
                yield f"{path}.source", "must be empty for a tmpfs mount"


def _mount_options(path: str, mount: Mount) -> Iterator[Problem]:
    for name, is_set, kind in (
        ("propagation", bool(mount.propagation), MountKind.BIND),
        ("nocopy", mount.nocopy, MountKind.VOLUME),
        ("labels", bool(mount.labels), MountKind.VOLUME),
        ("tmpfs_size_bytes", mount.tmpfs_size_bytes != 0, MountKind.TMPFS),
        ("tmpfs_mode", mount.tmpfs_mode != 0, MountKind.TMPFS),
    ):
        if is_set and mount.kind is not kind:
            yield f"{path}.{name}", f"belongs to {kind.name.lower()} mounts only"
    if mount.propagation not in _PROPAGATIONS:
        yield f"{path}.propagation", f"there is no propagation {mount.propagation!r}"
    if mount.tmpfs_size_bytes < 0:
        yield f"{path}.tmpfs_size_bytes", "must not be negative"
    if not 0 <= mount.tmpfs_mode <= 0o7777:
        yield f"{path}.tmpfs_mode", f"{mount.tmpfs_mode:o} is not a file mode"


def _ulimits(ulimits: tuple[Ulimit, ...]) -> Iterator[Problem]:
    names = [each.name for each in ulimits]
    for index, limit in enumerate(ulimits):
        path = f"task.container.ulimits[{index}]"
        if limit.name not in ULIMITS:
            yield f"{path}.name", f"there is no ulimit {limit.name!r}"
        elif limit.name in names[:index]:
            yield f"{path}.name", f"{limit.name} is given twice"
        if limit.soft < -1 or limit.hard < -1:
            yield path, "must not be negative, except -1 for unlimited"
        elif limit.hard != -1 and (limit.soft == -1 or limit.soft > limit.hard):
            yield f"{path}.soft", f"{limit.soft} is above the hard limit of {limit.hard}"


def _host(path: str, text: str) -> Iterator[Problem]:
    name, _, address = text.partition(":")
    try:
        ip_address(address)
    except ValueError:
        yield path, f"{text!r} is not NAME:IP"
        return
    if not _is_hostname(name):
        yield path, f"{name!r} is not a host name"


def _labels(path: str, labels: dict[str, str]) -> Iterator[Problem]:
    for key in sorted(labels):
        if not key or any(map(str.isspace, key)) or "=" in key:
            yield f"{path}[{key}]", "a label's name is not empty and has neither space nor ="


def _count(path: str, number: int, *, most: int = MAX_COUNT) -> Iterator[Problem]:
    if number < 0:
        yield path, f"{number} must not be negative"
    elif number > most:
        yield path, f"{number} is more than {most}"


def _duration(path: str, seconds: float) -> Iterator[Problem]:
    if not math.isfinite(seconds) or seconds < 0:
        yield path, f"{seconds:g} s must not be negative"


def _invalid(path: str, read: Callable[[str], object], text: str) -> Iterator[Problem]:
    try:
        read(text)
    except Invalid as err:
        yield path, f"{err.message}; {err.hint}" if err.hint else err.message


def _is_hostname(text: str) -> bool:
    if "{{" in text:
        return text.count("{{") == text.count("}}")
    return len(text) <= 253 and all(map(_HOST_LABEL.fullmatch, text.split(".")))
