"""Turn a container that somebody runs, its image and this node into what the runtime is told.

As with Docker: one empty word as command is no entrypoint, a variable without a value is
taken away, and a terminal has a type. What is as in a task's container is `agent.containers`';
what may not be asked for on this node is refused there, too.
"""

from collections.abc import Iterable
from posixpath import normpath

from msgspec import Struct
from msgspec.structs import replace

from agent import containers
from agent.containers import SHORT_ID, Node
from agent.probing import health
from agent.rights import unfit
from agent.standalone.lending import HOST_GATEWAY, Lent
from agent.standalone.mounts import memory
from agent.standalone.record import Record
from agent.volumes import Place, Placed, place
from runtime import spec as runtime
from swarm.checks import signal_number
from swarm.errors import Invalid, Refused
from swarm.images.config import ImageConfig
from swarm.specs import (
    HOST,
    NONE,
    ContainerSpec,
    Limits,
    MountKind,
    NetworkAttachment,
    TaskSpec,
)
from swarm.standalone import Shares, StandaloneSpec

NO_ENTRYPOINT = ("",)
_TERM = "TERM=xterm"


class Joins(Struct, frozen=True, kw_only=True):
    """Which namespaces it has instead of its own: `host`, or `container:` and an id."""

    pid: str = ""
    ipc: str = ""


NOTHING = Joins()


def made(
    record: Record,
    layers: tuple[str, ...],
    node: Node,
    *,
    own: str,
    mounts: Iterable[Placed],
    lent: Lent,
    hostname: str,
    joins: Joins = NOTHING,
    rates: tuple[runtime.DeviceRate, ...] = (),
) -> runtime.ContainerSpec:
    """Describe the container of `record`; `Invalid` names what cannot be met."""
    asked = record.spec.container
    for problem in unfit(_as_task(record.spec, lent), node.fences):
        raise Refused(problem)
    spec = containers.alike(
        asked, record.image, node, container_id=record.id, own=own, layers=layers
    )
    own_mounts = (
        *(each.mount for each in mounts),
        *(memory(*each) for each in sorted(record.spec.tmpfs.items())),
    )
    all_mounts = (*own_mounts, *_shared(lent, own_mounts))
    addresses = tuple(address for each in lent.attachments for address in each.addresses)
    written = containers.files(
        replace(asked, hosts=(*lent.hosts, *_hosts(asked.hosts, lent))),
        hostname,
        node,
        on_host=lent.on_host,
        addresses=addresses,
        asks_us=lent.asks_us,
        domain=record.spec.domainname,
    )
    return replace(
        spec,
        args=argv(asked, record.image),
        rootfs=replace(spec.rootfs, lasting=True, volatile=record.spec.auto_remove),
        log=containers.log(record.spec.log_driver, spec.log.path),
        env=environment(asked, record.image, hostname, lent.env),
        hostname="" if record.spec.uts_mode == HOST else hostname,
        domainname="" if record.spec.uts_mode == HOST else record.spec.domainname,
        mounts=all_mounts,
        files=containers.uncovered(written, all_mounts),
        host_network=lent.on_host,
        network_namespace=lent.joins,
        awaits_network=bool(lent.attachments),
        pid_namespace=joins.pid,
        ipc_namespace=joins.ipc,
        uts_namespace=HOST if record.spec.uts_mode == HOST else "",
        cgroup_namespace=HOST if record.spec.cgroupns_mode == HOST else "",
        shm_bytes=_shm_bytes(record.spec, spec),
        resources=resources(record.spec.limits, record.spec.shares, rates),
        device_rules=record.spec.device_cgroup_rules,
        masked_paths=record.spec.masked_paths if record.spec.has_paths else spec.masked_paths,
        readonly_paths=(
            record.spec.readonly_paths if record.spec.has_paths else spec.readonly_paths
        ),
        rows=record.spec.console_rows or spec.rows,
        columns=record.spec.console_columns or spec.columns,
        annotations=record.labels | record.spec.annotations | {"swarm.container.name": record.name},
    )


def resources(
    limits: Limits, shares: Shares, rates: tuple[runtime.DeviceRate, ...] = ()
) -> runtime.Resources:
    """What the kernel lets it use."""
    return replace(
        containers.resources(limits),
        device_rates=rates,
        **{name: getattr(shares, name) for name in shares.__struct_fields__},
    )


def placed(record: Record, node: Node, *, own: str) -> tuple[Placed, ...]:
    """Where the mounts of a container have their content."""
    return place(record.mounts, (), Place(volumes=node.volumes, own=own))


def own_hostname(record: Record, node: Node, lent: Lent) -> str:
    """What it is called, unless it shares another one's network."""
    on_host = lent.on_host or record.spec.uts_mode == HOST
    asked = record.spec.container.hostname
    return asked or (node.host.hostname if on_host else record.id[:SHORT_ID])


def entrypoint(asked: ContainerSpec, image: ImageConfig) -> tuple[str, ...]:
    """The program's first words in force."""
    if asked.command == NO_ENTRYPOINT:
        return ()
    return asked.command or image.entrypoint


def command(asked: ContainerSpec, image: ImageConfig) -> tuple[str, ...]:
    """Its further words in force."""
    return asked.args or (() if asked.command else image.cmd)


def argv(asked: ContainerSpec, image: ImageConfig) -> tuple[str, ...]:
    """What runs; `Invalid` when nobody said so."""
    found = entrypoint(asked, image) + command(asked, image)
    if not found:
        raise Invalid("no command specified")
    return found


def variables(asked: ContainerSpec, image: ImageConfig) -> tuple[str, ...]:
    """The environment that was asked for, and what its image adds."""
    named = {each.partition("=")[0] for each in asked.env}
    kept = (each for each in image.env if each.partition("=")[0] not in named)
    return (*asked.env, *kept)


def environment(
    asked: ContainerSpec, image: ImageConfig, hostname: str, links: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """The environment it runs with."""
    found = dict[str, str]()
    terminal = (_TERM,) if asked.tty else ()
    for each in (
        containers.PATH,
        f"HOSTNAME={hostname}",
        *terminal,
        *links,
        *variables(asked, image),
    ):
        name, equals, _ = each.partition("=")
        if equals:
            found[name] = each
        else:
            found.pop(name, None)
    return tuple(found.values())


def stop_signal(record: Record) -> int:
    """The signal that asks it for an end."""
    return containers.stop_signal(record.spec.container, record.image)


def is_final(record: Record, signal: int) -> bool:
    """Whether whoever sends that signal wants it to end for good."""
    ends = ("SIGKILL", "SIGTERM", "SIGINT", "SIGQUIT")
    return signal in (stop_signal(record), *map(signal_number, ends))


def exposed(spec: StandaloneSpec, image: ImageConfig) -> tuple[str, ...]:
    """The ports that it listens on, by its own word and its image's: `80/tcp`."""
    own = tuple(f"{each.target}/{each.protocol.word}" for each in spec.ports)
    found = (
        each if "/" in each else f"{each}/tcp" for each in (*spec.exposed, *image.exposed_ports)
    )
    return tuple(dict.fromkeys((*found, *own)))


def volumes(spec: StandaloneSpec, image: ImageConfig) -> tuple[str, ...]:
    """The paths that get volumes of their own, by its own word and its image's."""
    return tuple(dict.fromkeys(map(normpath, (*spec.volumes, *image.volumes))))


def volume_names(record: Record) -> frozenset[str]:
    """The volumes that it has mounted."""
    return frozenset(each.source for each in record.mounts if each.kind is MountKind.VOLUME)


def is_checked(record: Record) -> bool:
    """Whether somebody wants to know how healthy it is."""
    return health(record.spec.container.health, record.image) is not None


def _shared(lent: Lent, mounts: Iterable[runtime.Mount]) -> Iterable[runtime.Mount]:
    """The files of the container whose network it shares, but for what it mounts over them."""
    taken = {normpath(each.target) for each in mounts}
    for path, source in lent.shared.items():
        if path not in taken:
            yield runtime.Mount(source=source, target=path)


def _hosts(asked: tuple[str, ...], lent: Lent) -> tuple[str, ...]:
    """NAME:ADDRESS, where an address may be the node's as the container sees it."""
    suffix = f":{HOST_GATEWAY}"
    for each in asked:
        if each.endswith(suffix) and not lent.gateway:
            raise Refused(f"{each}: this container has no way to its node by an address")
    return tuple(
        f"{each.removesuffix(suffix)}:{lent.gateway}" if each.endswith(suffix) else each
        for each in asked
    )


def _shm_bytes(spec: StandaloneSpec, default: runtime.ContainerSpec) -> int:
    if spec.ipc_mode == NONE:
        return 0
    return spec.shm_bytes or default.shm_bytes


def _as_task(spec: StandaloneSpec, lent: Lent) -> TaskSpec:
    networks = (NetworkAttachment(target=HOST),) if lent.on_host else ()
    return TaskSpec(container=spec.container, networks=networks)
