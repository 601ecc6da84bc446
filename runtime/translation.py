"""Say what the agent's spec asks for in the terms of an OCI config.

The defaults that make a container are here: what is mounted, which devices it has, what a
limit of 0 means. A mount over /a comes before one over /a/b, in whatever order they were asked
for. What an OCI config has no words for goes into `Extras`. Limits are `runtime.allotting`'s.
"""

import functools
from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import Struct

from runtime.allotting import to_resources
from runtime.cgroups.devices import parse as parse_device_rule
from runtime.cgroups.layout import Layout
from runtime.defaults import NETWORK_SYSCTLS, PING_GROUPS
from runtime.joining import ExecSpec
from runtime.oci.config import (
    VERSION,
    Capabilities,
    Config,
    ConsoleSize,
    Device,
    DeviceRule,
    Linux,
    Mount,
    Namespace,
    Process,
    Root,
    Seccomp,
    User,
)
from runtime.oci.config import Rlimit as OciRlimit
from runtime.oci.names import CAPABILITIES as CAPABILITY_NUMBERS
from runtime.plan import Extras, Place, Plan, host_steps, make_plan, plan_exec
from runtime.planning.place import Borrowed, CopyingUp, Part
from runtime.spec import HOST, ContainerSpec, MountKind
from runtime.spec import Mount as SpecMount
from runtime.steps import HostStep

_UNLIMITED: Final = (1 << 64) - 1
_UNCONFINED: Final = "unconfined"
_EVERY: Final = tuple(CAPABILITY_NUMBERS)
_EVERYTHING: Final = Capabilities(bounding=_EVERY, effective=_EVERY, permitted=_EVERY)
_FENCED: Final = ("nosuid", "noexec", "nodev")
_SHM: Final = "/dev/shm"


class Known(Struct, frozen=True, kw_only=True):
    """What the host knows and a spec does not say.

    `filter` is a compiled seccomp filter, in place of `seccomp`. `devices` come with their path
    on the host and what may be done with them. `joined` are the paths of namespaces of other
    containers, by their kind in OCI; the mount namespace at `shm_owner` is where /dev/shm comes
    from.
    """

    seccomp: Seccomp | None = None
    seccomp_cache: str = ""
    filter: bytes = b""
    devices: tuple[tuple[str, str, Device], ...] = ()
    joined: dict[str, str] = {}
    shm_owner: str = ""


NOTHING: Final = Known()


def to_plan(
    spec: ContainerSpec,
    *,
    layout: Layout,
    directory: str,
    last_capability: int,
    known: Known = NOTHING,
) -> Plan:
    """Plan the container of `spec`; `directory` is its own below the run root."""
    place = _place(spec, layout, directory, last_capability, known)
    return make_plan(to_config(spec, known), place, to_extras(spec, known))


def to_exec_plan(
    spec: ContainerSpec,
    program: ExecSpec,
    *,
    layout: Layout,
    directory: str,
    last_capability: int,
    known: Known = NOTHING,
    pid: int = 1,
) -> Plan:
    """Plan `program` in the container of `spec`, for a process in its pid namespace.

    There `pid` is the container's first process.
    """
    place = _place(spec, layout, directory, last_capability, known)
    # What is mounted is of no interest any more, and health checks are many.
    config = Config(oci_version=VERSION, linux=_linux(spec, known))
    process = _joining(_process(spec), program)
    extras = Extras(
        user=program.user or spec.user,
        additional_groups=spec.additional_groups,
        state=_state(spec),
        filter=known.filter,
    )
    return plan_exec(config, process, place, extras, pid=pid, fork=False)


def _joining(process: Process, program: ExecSpec) -> Process:
    """What the container's own program has, but for what is asked."""
    return msgspec.structs.replace(
        process,
        args=program.args,
        env=(*process.env, *program.env),
        cwd=program.workdir or process.cwd,
        terminal=program.tty,
        console_size=ConsoleSize(height=program.rows, width=program.columns),
        capabilities=_EVERYTHING if program.privileged else process.capabilities,
    )


def container_steps(spec: ContainerSpec, *, layout: Layout, directory: str) -> tuple[HostStep, ...]:
    """What is made on the host; undone, it is what cleans up after the container."""
    place = _place(spec, layout, directory, 0, NOTHING)
    return host_steps(to_config(spec), place, to_extras(spec))


def _place(
    spec: ContainerSpec, layout: Layout, directory: str, last_capability: int, known: Known
) -> Place:
    return Place(
        directory=directory,
        cgroup=group_path(spec),
        layout=layout,
        last_capability=last_capability,
        seccomp_cache=known.seccomp_cache,
    )


def to_extras(spec: ContainerSpec, known: Known = NOTHING) -> Extras:
    """What the config does not say."""
    return Extras(
        overlay=spec.rootfs,
        copy_ups=tuple(
            CopyingUp(mount.source, mount.target, mount.mapped and spec.user_namespace is not None)
            for mount in spec.mounts
            if mount.copy_up
        ),
        parts=tuple(
            Part(mount.source, mount.target, mount.subpath)
            for mount in spec.mounts
            if mount.subpath
        ),
        borrowed=_borrowed(known),
        files=spec.files,
        user=spec.user,
        additional_groups=spec.additional_groups,
        init=spec.init,
        filter=known.filter,
        state=_state(spec),
        awaits_network=spec.awaits_network,
    )


def _borrowed(known: Known) -> tuple[Borrowed, ...]:
    """What another container has at /dev/shm."""
    return (Borrowed(_SHM, known.shm_owner),) if known.shm_owner else ()


def _state(spec: ContainerSpec) -> str:
    """What is known of a container for hooks and listeners."""
    return msgspec.json.encode(
        {"ociVersion": VERSION, "id": spec.id, "bundle": "", "annotations": spec.annotations}
    ).decode()


def to_config(spec: ContainerSpec, known: Known = NOTHING) -> Config:
    """What OCI has words for."""
    return Config(
        oci_version=VERSION,
        root=Root(path="rootfs", readonly=spec.read_only_rootfs),
        process=_process(spec),
        # In the host's UTS namespace these would be the host's.
        hostname="" if spec.uts_namespace else spec.hostname,
        domainname="" if spec.uts_namespace else spec.domainname,
        mounts=(
            *_filesystems(
                privileged=spec.privileged,
                shm_bytes=spec.shm_bytes,
                shares_shm=bool(spec.ipc_namespace),
            ),
            *_mounts(spec),
            *_bound_devices(spec, known),
        ),
        annotations=spec.annotations,
        linux=_linux(spec, known),
    )


def _process(spec: ContainerSpec) -> Process:
    kept = spec.capabilities
    return Process(
        args=spec.args,
        cwd=spec.workdir,
        env=spec.env,
        terminal=spec.tty,
        console_size=ConsoleSize(height=spec.rows, width=spec.columns) if spec.tty else None,
        user=User(umask=spec.umask),
        capabilities=_EVERYTHING
        if spec.privileged
        else Capabilities(bounding=kept, effective=kept, permitted=kept),
        rlimits=tuple(
            OciRlimit(
                type=f"RLIMIT_{limit.name.upper()}",
                soft=_UNLIMITED if limit.soft == -1 else limit.soft,
                hard=_UNLIMITED if limit.hard == -1 else limit.hard,
            )
            for limit in spec.rlimits
        ),
        no_new_privileges=spec.no_new_privs,
        apparmor_profile="" if spec.apparmor == _UNCONFINED else spec.apparmor,
        oom_score_adj=spec.oom_score_adj,
    )


def _linux(spec: ContainerSpec, known: Known) -> Linux:
    mapped = spec.user_namespace
    return Linux(
        namespaces=_namespaces(spec, known),
        uid_mappings=mapped.uids if mapped else (),
        gid_mappings=mapped.gids if mapped else (),
        devices=() if mapped else tuple(device for _, _, device in known.devices),
        cgroups_path=group_path(spec),
        resources=msgspec.structs.replace(
            to_resources(spec.resources), devices=tuple(_device_rules(spec, known))
        ),
        seccomp=known.seccomp,
        sysctl=_sysctls(spec),
        masked_paths=() if spec.privileged else spec.masked_paths,
        readonly_paths=() if spec.privileged else spec.readonly_paths,
    )


def _sysctls(spec: ContainerSpec) -> dict[str, str]:
    """Groups that a new network namespace's user namespace has not got cannot be named there.

    A network that is joined has what the one who made it wanted.
    """
    if spec.host_network or spec.network_namespace:
        return spec.sysctls
    defaults = NETWORK_SYSCTLS
    if spec.user_namespace is not None:
        last = max((each.container_id + each.size for each in spec.user_namespace.gids), default=1)
        defaults = defaults | {PING_GROUPS: f"0 {last - 1}"}
    return defaults | spec.sysctls


def _device_rules(spec: ContainerSpec, known: Known) -> Iterator[DeviceRule]:
    if spec.privileged:
        yield DeviceRule(allow=True, access="rwm")
        return
    for _, access, device in known.devices:
        yield DeviceRule(
            allow=True, type=device.type, major=device.major, minor=device.minor, access=access
        )
    for text in spec.device_rules:
        rule = parse_device_rule(text)
        if rule is not None:
            yield rule


def _bound_devices(spec: ContainerSpec, known: Known) -> Iterator[Mount]:
    """No root but the host's can make devices, so others get the host's own."""
    if spec.user_namespace is not None:
        for source, _, device in known.devices:
            yield Mount(destination=device.path, type="bind", source=source, options=("bind",))


def _namespaces(spec: ContainerSpec, known: Known) -> tuple[Namespace, ...]:
    asked = {
        "pid": spec.pid_namespace,
        "mount": "",
        "uts": spec.uts_namespace,
        "ipc": spec.ipc_namespace,
        "cgroup": spec.cgroup_namespace,
        "network": HOST if spec.host_network else spec.network_namespace,
    }
    made = [
        Namespace(type=kind, path=known.joined.get(kind, path))
        for kind, path in asked.items()
        if path != HOST
    ]
    return (*made, Namespace(type="user")) if spec.user_namespace else tuple(made)


@functools.cache
def _filesystems(*, privileged: bool, shm_bytes: int, shares_shm: bool) -> tuple[Mount, ...]:
    shown = _FENCED if privileged else (*_FENCED, "ro")
    shm: tuple[Mount, ...]
    if shares_shm:
        shm = (Mount(destination=_SHM, type="bind", source=_SHM, options=("rbind",)),)
    else:
        size = f"size={shm_bytes // 1024}k" if shm_bytes % 1024 == 0 else f"size={shm_bytes}"
        own = Mount(
            destination=_SHM, type="tmpfs", source="shm", options=(*_FENCED, "mode=1777", size)
        )
        shm = (own,) if shm_bytes else ()
    return (
        Mount(destination="/proc", type="proc", source="proc", options=_FENCED),
        Mount(
            destination="/dev",
            type="tmpfs",
            source="tmpfs",
            options=("nosuid", "strictatime", "mode=755", "size=65536k"),
        ),
        Mount(
            destination="/dev/pts",
            type="devpts",
            source="devpts",
            options=("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
        ),
        *shm,
        Mount(destination="/dev/mqueue", type="mqueue", source="mqueue", options=_FENCED),
        Mount(destination="/sys", type="sysfs", source="sysfs", options=shown),
        Mount(destination="/sys/fs/cgroup", type="cgroup", source="cgroup", options=shown),
    )


def _mounts(spec: ContainerSpec) -> list[Mount]:
    remaps = spec.user_namespace is not None
    mounts = [
        _tmpfs(m) if m.kind is MountKind.TMPFS else _bind(m, remaps=remaps) for m in spec.mounts
    ]
    return sorted(mounts, key=lambda mount: mount.destination.rstrip("/").split("/"))


def _tmpfs(mount: SpecMount) -> Mount:
    size = (f"size={mount.size_bytes}",) if mount.size_bytes else ()
    read_only = ("ro",) if mount.read_only else ()
    return Mount(
        destination=mount.target,
        type="tmpfs",
        source="tmpfs",
        options=(*_FENCED, f"mode={mount.mode:o}", *size, *read_only, *mount.options),
    )


def _bind(mount: SpecMount, *, remaps: bool) -> Mount:
    """Read-only means everything below, too."""
    read_only = ("rro" if mount.recursive else "ro",) if mount.read_only else ()
    mapped = ("idmap",) if mount.mapped and remaps else ()
    return Mount(
        destination=mount.target,
        type="bind",
        source=mount.source,
        options=(
            "rbind" if mount.recursive else "bind",
            mount.propagation.value,
            *read_only,
            *mapped,
        ),
    )


def group_path(spec: ContainerSpec) -> str:
    """Where the container's control groups are, below the root of every hierarchy."""
    return f"{spec.cgroup_parent}/{spec.id}"
