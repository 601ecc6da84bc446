"""Judge the container of a task: its program, its rights, what it is given."""

import re
import signal
from collections.abc import Iterator
from ipaddress import ip_address

from swarm.checking.basics import Problem, duration, is_hostname, labels, readable
from swarm.checking.mounts import mounts
from swarm.checking.references import references
from swarm.errors import Invalid
from swarm.images.reference import parse_reference
from swarm.rights import check_rights
from swarm.specs import LONGEST_HOSTNAME, ContainerSpec, Ulimit

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
_USER = re.compile(r"[^\s:]+(?::[^\s:]+)?")
_LAST_ID = 2**32 - 2
"""The number after it stands for none."""
_ID_DIGITS = 20
"""Python refuses to read thousands of them, and leading zeros are nobody's habit."""
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


def signal_number(text: str) -> int:
    """The number of `SIGTERM`, `term` or `15`; `Invalid` when there is no such signal."""
    name = text.upper()
    number = int(name) if name.isascii() and name.isdigit() and len(name) < 3 else 0
    found = SIGNALS.get(name if name.startswith("SIG") else f"SIG{name}", number)
    if not 0 < found <= signal.SIGRTMAX:
        raise Invalid(f"there is no signal {text!r}", hint="use a name such as SIGTERM or a number")
    return found


def container(container: ContainerSpec) -> Iterator[Problem]:
    """All of the container."""
    if not container.image:
        yield "task.container.image", "must not be empty"
    else:
        yield from readable("task.container.image", parse_reference, container.image)
    yield from _texts(container)
    yield from labels("task.container.labels", container.labels)
    yield from mounts(container.mounts)
    yield from duration("task.container.stop_grace_s", container.stop_grace_s)
    if container.stop_signal:
        yield from readable("task.container.stop_signal", signal_number, container.stop_signal)
    if not -1000 <= container.oom_score_adj <= 1000:
        yield "task.container.oom_score_adj", f"{container.oom_score_adj} is not in -1000..1000"
    for name in sorted(container.sysctls):
        if name not in _IPC_SYSCTLS and not name.startswith(("fs.mqueue.", "net.")):
            yield (
                f"task.container.sysctls[{name}]",
                f"{name} is not a setting of the container's own; those are net.*, fs.mqueue.*, "
                "kernel.msg*, kernel.sem and kernel.shm*",
            )
    yield from _ulimits(container.ulimits)
    for index, text in enumerate(container.hosts):
        yield from _host(f"task.container.hosts[{index}]", text)
    yield from _resolver(container)
    yield from references(container)
    yield from check_rights("task.container", container)


def _resolver(container: ContainerSpec) -> Iterator[Problem]:
    for index, text in enumerate(container.dns_servers):
        try:
            ip_address(text)
        except ValueError:
            yield f"task.container.dns_servers[{index}]", f"{text!r} is not an address"
    for index, text in enumerate(container.dns_search):
        # A single dot means that nothing is searched.
        if text != "." and not is_hostname(text.removesuffix(".")):
            yield f"task.container.dns_search[{index}]", f"{text!r} is not a domain"
    for index, text in enumerate(container.dns_options):
        if not text or any(map(str.isspace, text)):
            yield f"task.container.dns_options[{index}]", f"{text!r} is not an option"


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
    elif any(map(_is_too_large, container.user.split(":"))):
        yield "task.container.user", f"{container.user!r}: ids go up to {_LAST_ID}"
    for index, group in enumerate(container.groups):
        if not group or ":" in group or any(map(str.isspace, group)):
            yield f"task.container.groups[{index}]", f"{group!r} is not a group's name or number"
        elif _is_too_large(group):
            yield f"task.container.groups[{index}]", f"{group!r}: ids go up to {_LAST_ID}"
    if container.hostname and not is_hostname(container.hostname):
        yield "task.container.hostname", f"{container.hostname!r} is not a host name"
    elif "{{" not in container.hostname and len(container.hostname) > LONGEST_HOSTNAME:
        yield "task.container.hostname", f"is longer than {LONGEST_HOSTNAME} characters"


def _is_too_large(name: str) -> bool:
    """Whether it is a number that no user or group can have."""
    return name.isdecimal() and (len(name) > _ID_DIGITS or int(name) > _LAST_ID)


def _env(env: tuple[str, ...]) -> Iterator[Problem]:
    names: dict[str, int] = {}
    for index, text in enumerate(env):
        name, _, _ = text.partition("=")
        path = f"task.container.env[{index}]"
        if not name or any(map(str.isspace, name)):
            yield path, f"{text!r} is not NAME=VALUE; a name has no spaces"
        elif "\0" in text:
            yield path, f"the value of {name} must not hold a NUL character"
        elif name in names:
            yield path, f"{name} is already set by env[{names[name]}]"
        names.setdefault(name, index)


def _ulimits(ulimits: tuple[Ulimit, ...]) -> Iterator[Problem]:
    names = [each.name for each in ulimits]
    for index, limit in enumerate(ulimits):
        path = f"task.container.ulimits[{index}]"
        if limit.name not in ULIMITS:
            yield (
                f"{path}.name",
                f"there is no ulimit {limit.name!r}; use one of {', '.join(sorted(ULIMITS))}",
            )
        elif limit.name in names[:index]:
            yield f"{path}.name", f"{limit.name} is given twice"
        if limit.soft < -1 or limit.hard < -1:
            yield path, f"{limit.name} must not be negative, except -1 for unlimited"
        elif limit.hard != -1 and (limit.soft == -1 or limit.soft > limit.hard):
            yield (
                f"{path}.soft",
                f"{limit.name}={limit.soft} is above the hard limit of {limit.hard}",
            )


def _host(path: str, text: str) -> Iterator[Problem]:
    name, _, address = text.partition(":")
    try:
        ip_address(address)
    except ValueError:
        yield path, f"{text!r} is not NAME:IP"
        return
    if not is_hostname(name):
        yield path, f"{name!r} is not a host name"
