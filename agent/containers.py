"""Turn a task, its image and this node into one container.

As with Docker: `command` replaces the image's entrypoint and drops its command, `args`
replace the command; the image's environment is overridden name by name; a volume that the
image declares is mounted unless the spec mounts something there. What a template yields is
judged here, once it is filled in. With the host's network, the host's name, hosts and
resolver are the container's too.
"""

import re
from collections.abc import Iterable
from posixpath import normpath

from msgspec import Struct
from msgspec.structs import replace

from agent import contents, hosts
from agent.assignments import Wanted
from agent.claims import granted
from agent.probing import health
from agent.resolver import embedded, resolver
from agent.rights import Fences, rights, unfit
from agent.templates import Host, expand, names, task_name
from agent.volumes import Place, Placed, place
from runtime.spec import ContainerSpec, File, Log, Mount, Overlay, Resources, Rlimit
from swarm import log_drivers, specs
from swarm.checks import signal_number
from swarm.errors import Invalid
from swarm.images.config import ImageConfig
from swarm.objects import Attachment, Task

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SHORT_ID = 12
LOG_NAME = "output.log"
DEFAULT_STOP_SIGNAL = "SIGTERM"

_HOSTNAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,62}[A-Za-z0-9])?")


class Node(Struct, frozen=True, kw_only=True):
    """What this node contributes. `hosts` and `resolv` are the host's own files.

    `contents` is where secrets and configs are in memory.
    """

    host: Host
    containers: str
    volumes: str
    cgroup_parent: str
    contents: str = ""
    hosts: str = ""
    resolv: str = ""
    fences: Fences = Fences()


class Container(Struct, frozen=True, kw_only=True):
    """What to run, what has to be there first, and how it is asked to stop."""

    spec: ContainerSpec
    mounts: tuple[Placed, ...]
    stop_signal: int


def own_directory(containers: str, task_id: str) -> str:
    """Where a task keeps what goes with it: its layer, its logs, its anonymous volumes."""
    return f"{containers}/{task_id}"


def log_path(containers: str, task_id: str) -> str:
    """Where a task's output is written."""
    return f"{own_directory(containers, task_id)}/{LOG_NAME}"


def stop_signal(asked: specs.ContainerSpec, image: ImageConfig) -> int:
    """The signal that asks for an end: the spec's, else the image's, else SIGTERM."""
    return signal_number(asked.stop_signal or image.stop_signal or DEFAULT_STOP_SIGNAL)


def container(
    wanted: Wanted,
    image: ImageConfig,
    layers: tuple[str, ...],
    node: Node,
    attachments: tuple[Attachment, ...] = (),
) -> Container:
    """Describe the container of `wanted`; `Invalid` names the field that cannot be met.

    With `attachments` it waits until its interfaces are there.
    """
    asked = _expanded(wanted, node)
    for problem in unfit(wanted.spec, node.fences):
        raise Invalid(problem)
    own = own_directory(node.containers, wanted.task.id)
    on_host = wanted.spec.is_on_host
    hostname = asked.hostname or (node.host.hostname if on_host else wanted.task.id[:SHORT_ID])
    mounts = place(asked.mounts, image.volumes, Place(volumes=node.volumes, own=own))
    given = contents.mounts(asked, contents.home(node.contents, wanted.task.id))
    written = files(
        asked,
        hostname,
        node,
        on_host=on_host,
        addresses=tuple(address for each in attachments for address in each.addresses),
    )
    spec = replace(
        alike(asked, image, node, container_id=wanted.task.id, own=own, layers=layers),
        args=_args(asked, image),
        log=log(wanted.spec.log_driver, log_path(node.containers, wanted.task.id)),
        env=environment(asked.env, image.env, hostname),
        hostname=hostname,
        mounts=(*(each.mount for each in mounts), *given),
        files=uncovered(written, (*(each.mount for each in mounts), *given)),
        host_network=on_host,
        awaits_network=bool(attachments),
        resources=resources(wanted.spec.limits),
        annotations=_annotations(asked.labels, wanted.task),
    )
    return Container(spec=spec, mounts=mounts, stop_signal=stop_signal(asked, image))


def alike(
    asked: specs.ContainerSpec,
    image: ImageConfig,
    node: Node,
    *,
    container_id: str,
    own: str,
    layers: tuple[str, ...],
) -> ContainerSpec:
    """What containers are made of in the same way, whoever asked for them; the rest is not set."""
    allowed = rights(asked, node.fences)
    return ContainerSpec(
        id=container_id,
        args=(),
        rootfs=Overlay(lower_dirs=layers, upper_dir=f"{own}/upper", work_dir=f"{own}/work"),
        log=Log(path=f"{own}/{LOG_NAME}"),
        workdir=_absolute(asked.workdir or image.workdir or "/"),
        user=asked.user or image.user,
        additional_groups=asked.groups,
        read_only_rootfs=asked.read_only,
        cgroup_parent=node.cgroup_parent,
        rlimits=tuple(Rlimit(name=u.name, soft=u.soft, hard=u.hard) for u in asked.ulimits),
        sysctls=asked.sysctls,
        oom_score_adj=asked.oom_score_adj,
        init=asked.init,
        capabilities=allowed.capabilities,
        privileged=allowed.privileged,
        no_new_privs=allowed.no_new_privs,
        seccomp=allowed.seccomp,
        apparmor=allowed.apparmor,
        devices=allowed.devices,
        user_namespace=allowed.user_namespace,
        tty=asked.tty,
        open_stdin=asked.open_stdin,
        health=health(asked.health, image),
    )


def _annotations(labels: dict[str, str], task: Task) -> dict[str, str]:
    """The container's labels, and whose it is; of these the service has no say."""
    return labels | {
        "swarm.service.id": task.service_id,
        "swarm.service.name": task.service_name,
        "swarm.task.id": task.id,
        "swarm.task.name": task_name(task),
        "swarm.node.id": task.node_id,
    }


def environment(asked: tuple[str, ...], image: tuple[str, ...], hostname: str) -> tuple[str, ...]:
    """Merge the environments; each name once, where it was first set, with its last value.

    A bare name takes away what was said before.
    """
    merged: dict[str, str] = {}
    for each in (PATH, f"HOSTNAME={hostname}", *image, *asked):
        name, equals, _ = each.partition("=")
        if equals:
            merged[name] = each
        else:
            merged.pop(name, None)
    return tuple(merged.values())


def _expanded(wanted: Wanted, node: Node) -> specs.ContainerSpec:
    """The container spec with every template filled in."""
    asked, values = wanted.spec.container, names(wanted.task, wanted.labels, node.host)
    hostname = expand(asked.hostname, values, path="container.hostname")
    if hostname and not _HOSTNAME.fullmatch(hostname):
        raise Invalid(f"container.hostname: {hostname!r} is not a host name")
    mounts = (_mount(index, each, values) for index, each in enumerate(asked.mounts))
    env = (
        expand(each, values, path=f"container.env[{index}]") for index, each in enumerate(asked.env)
    )
    filled = replace(asked, hostname=hostname, env=tuple(env), mounts=tuple(mounts))
    return granted(filled, wanted.spec.reservations, wanted.task)


def _mount(index: int, mount: specs.Mount, values: dict[str, str]) -> specs.Mount:
    path = f"container.mounts[{index}]"
    target = expand(mount.target, values, path=f"{path}.target")
    if not target.startswith("/") or normpath(target).lstrip("/") == "":
        raise Invalid(f"{path}.target: {target!r} must be absolute and not the root")
    return replace(mount, source=expand(mount.source, values, path=f"{path}.source"), target=target)


def _args(asked: specs.ContainerSpec, image: ImageConfig) -> tuple[str, ...]:
    entrypoint = asked.command or image.entrypoint
    args = asked.args or (() if asked.command else image.cmd)
    if not entrypoint + args:
        raise Invalid(
            "container.command: neither the service nor its image names a command",
            hint="give one after the image",
        )
    return entrypoint + args


def _absolute(workdir: str) -> str:
    return workdir if workdir.startswith("/") else f"/{workdir}"


def files(
    asked: specs.ContainerSpec,
    hostname: str,
    node: Node,
    *,
    on_host: bool,
    addresses: tuple[str, ...],
    asks_us: bool = True,
    domain: str = "",
) -> tuple[File, ...]:
    """The files that say what hosts are called, the container itself first.

    It is also called by its `domain`, but for the file of its name. One that has addresses asks
    our name service, unless it is to ask others by itself.
    """
    whole = f"{hostname}.{domain}" if domain else hostname
    known = node.hosts if on_host else hosts.own(whole, addresses)
    written = {
        "/etc/hostname": f"{hostname}\n",
        "/etc/hosts": hosts.with_extra(known, asked.hosts),
        "/etc/resolv.conf": embedded(asked, node.resolv)
        if addresses and asks_us
        else resolver(asked, node.resolv if on_host or addresses else ""),
    }
    return tuple(File(path=path, content=content) for path, content in written.items())


def uncovered(written: tuple[File, ...], mounts: Iterable[Mount]) -> tuple[File, ...]:
    """Those of our files that nobody mounts something else over."""
    taken = {normpath(each.target) for each in mounts}
    return tuple(each for each in written if each.path not in taken)


def log(driver: specs.LogDriver, path: str) -> Log:
    """Output that is dropped still has a place, so that looking for it finds nothing."""
    kept = log_drivers.rotation(driver)
    if kept is None:
        return Log(path=path, max_files=0)
    return Log(path=path, max_bytes=kept.max_bytes, max_files=kept.max_files)


def resources(limits: specs.Limits) -> Resources:
    """What the kernel lets it use at most."""
    swap = limits.swap_bytes  # the kernel counts both together
    return Resources(
        cpu_millis=limits.cpu_millis,
        memory_bytes=limits.memory_bytes,
        memory_swap_bytes=limits.memory_bytes + swap if swap > 0 else swap,
        memory_swappiness=limits.swappiness,
        pids_limit=limits.pids,
    )
