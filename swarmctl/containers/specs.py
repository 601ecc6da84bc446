"""Turn the flags of `run` and `create` into what the agent is asked for.

As in Docker's command line: paths are this shell's, `--memory-swap` counts memory too, and what
concerns one network (`--ip`, `--network-alias`) is for the first that is named.
"""

import re
from collections.abc import Mapping
from posixpath import normpath

from msgspec import convert
from msgspec.structs import replace

from swarm.errors import Invalid
from swarm.quantities import parse_bytes
from swarm.specs import (
    BRIDGE,
    ContainerSpec,
    Limits,
    LogDriver,
    Mount,
    MountKind,
    PublishMode,
)
from swarm.standalone import (
    ContainerNetwork,
    ContainerRestart,
    Restarting,
    Shares,
    StandaloneSpec,
)
from swarmctl.containers.flags import ContainerFlags
from swarmctl.edits import pairs, read, read_all, with_given
from swarmctl.environment import merge
from swarmctl.health import HealthFlags, with_health
from swarmctl.mounts import parse_mount
from swarmctl.ports import parse_ports
from swarmctl.security import parse_device, with_capabilities, with_options
from swarmctl.specs import parse_ulimit

_SHARED = re.compile(r"container:.+|host|none|default")
_EXPOSED = re.compile(r"([0-9]+)(?:-([0-9]+))?(?:/(tcp|udp|sctp))?")
_POLICIES = {each.word: each for each in Restarting}


def container_spec(
    flags: ContainerFlags, *, environ: Mapping[str, str], directory: str
) -> StandaloneSpec:
    """What to ask the agent for; relative sources of mounts are below `directory`."""
    mode, networks = _networks(flags)
    binds, volumes = _volumes(flags.volume, directory)
    spec = StandaloneSpec(
        name=flags.name or "",
        container=_container(flags, environ, directory),
        limits=_limits(flags),
        shares=with_given(
            Shares(oom_kill_disable=flags.oom_kill_disable),
            cpu_shares=flags.cpu_shares,
            cpu_period_us=flags.cpu_period,
            cpu_quota_us=flags.cpu_quota,
            cpuset_cpus=flags.cpuset_cpus,
            cpuset_mems=flags.cpuset_mems,
            memory_reservation_bytes=flags.memory_reservation,
            blkio_weight=flags.blkio_weight,
        ),
        restart=read("--restart", parse_restart, flags.restart or "no"),
        log_driver=LogDriver(
            name=flags.log_driver or "",
            options=pairs("--log-opt", flags.log_opt, needs_value=True),
        ),
        network_mode=mode,
        networks=networks,
        ports=tuple(
            replace(port, mode=PublishMode.HOST)
            for ports in read_all("--publish", parse_ports, flags.publish)
            for port in ports
        ),
        exposed=tuple(
            port for ports in read_all("--expose", parse_exposed, flags.expose) for port in ports
        ),
        publish_all=flags.publish_all,
        links=flags.link,
        binds=binds,
        volumes_from=flags.volumes_from,
        volumes=volumes,
        auto_remove=flags.rm,
        device_cgroup_rules=flags.device_cgroup_rule,
        annotations=pairs("--annotation", flags.annotation),
    )
    if flags.rm and spec.restart.condition is not Restarting.NO:
        raise Invalid("--restart and --rm exclude each other", hint="leave one of them out")
    return with_given(
        spec,
        domainname=flags.domainname,
        mac_address=flags.mac_address,
        pid_mode=flags.pid,
        ipc_mode=flags.ipc,
        uts_mode=flags.uts,
        cgroupns_mode=flags.cgroupns,
        shm_bytes=flags.shm_size,
    )


def parse_restart(text: str) -> ContainerRestart:
    """`on-failure:3`, `always` and so on."""
    word, colon, times = text.partition(":")
    condition = _POLICIES.get(word)
    if condition is None:
        raise Invalid(f"there is no policy {word!r}", hint=f"use {', '.join(_POLICIES)}")
    if not colon:
        return ContainerRestart(condition=condition)
    if condition is not Restarting.ON_FAILURE:
        raise Invalid(f"{text!r}: only on-failure counts", hint="write on-failure:3")
    if not times.isascii() or not times.isdigit():
        raise Invalid(f"{times!r} in {text!r} is not a count", hint="write on-failure:3")
    return ContainerRestart(condition=condition, max_retries=int(times))


def parse_exposed(text: str) -> tuple[str, ...]:
    """`80`, `80/udp` or `80-82/tcp`: each port with its protocol."""
    found = _EXPOSED.fullmatch(text)
    if found is None:
        raise Invalid(f"{text!r} is not PORT[/PROTOCOL]", hint="write it like 80 or 53/udp")
    first, last = int(found[1]), int(found[2] or found[1])
    if not 0 < first <= last < 1 << 16:
        raise Invalid(f"{text!r}: no such ports", hint="there are 1 to 65535")
    return tuple(f"{port}/{found[3] or 'tcp'}" for port in range(first, last + 1))


def parse_network(text: str) -> ContainerNetwork:
    """`back`, or `name=back,alias=db,ip=10.0.0.9`."""
    if "=" not in text:
        if not text.strip():
            raise Invalid("names no network", hint="write --network back")
        return ContainerNetwork(network=text)
    found, aliases = ContainerNetwork(), list[str]()
    for piece in text.split(","):
        key, _, value = piece.partition("=")
        match key.strip().lower():
            case "name" if value:
                found = replace(found, network=value)
            case "alias" if value:
                aliases.append(value)
            case "ip":
                found = replace(found, ipv4_address=value)
            case "ip6":
                found = replace(found, ipv6_address=value)
            case "mac-address":
                found = replace(found, mac_address=value)
            case _:
                raise Invalid(
                    f"{piece!r} in {text!r} cannot be read",
                    hint="write it like name=back,alias=db,ip=10.0.0.9",
                )
    if not found.network:
        raise Invalid(f"{text!r} has no name", hint="write it like name=back,alias=db")
    return replace(found, aliases=tuple(aliases))


def parse_tmpfs(text: str) -> Mount:
    """`/run:size=64m,mode=1777`."""
    target, _, options = text.partition(":")
    mount = Mount(kind=MountKind.TMPFS, target=target)
    for option in filter(None, options.split(",")):
        key, _, value = option.partition("=")
        if key == "size":
            mount = replace(mount, tmpfs_size_bytes=parse_bytes(value))
        elif key == "mode":
            try:
                mount = replace(mount, tmpfs_mode=int(value, 8))
            except ValueError as err:
                raise Invalid(f"mode={value} is not octal", hint="write mode=1777") from err
        elif key == "ro":
            mount = replace(mount, read_only=True)
        elif key not in ("rw", "noexec", "nosuid", "nodev"):
            raise Invalid(f"{option!r} in {text!r} cannot be had", hint="use size=, mode= and ro")
    return mount


def _container(flags: ContainerFlags, environ: Mapping[str, str], directory: str) -> ContainerSpec:
    mounts = read_all("--mount", parse_mount, flags.mount)
    container = ContainerSpec(
        image=flags.image,
        command=() if flags.entrypoint is None else (flags.entrypoint,),
        args=flags.arguments,
        env=merge("--env", flags.env, environ=environ),
        groups=flags.group_add,
        labels=pairs("--label", flags.label),
        mounts=(
            *(_from_here(each, directory) for each in mounts),
            *read_all("--tmpfs", parse_tmpfs, flags.tmpfs),
        ),
        read_only=flags.read_only,
        init=flags.init,
        sysctls=pairs("--sysctl", flags.sysctl, needs_value=True),
        ulimits=read_all("--ulimit", parse_ulimit, flags.ulimit),
        hosts=flags.add_host,
        privileged=flags.privileged,
        devices=read_all("--device", parse_device, flags.device),
        host_user_namespace=flags.userns == "host",
        tty=flags.tty,
        open_stdin=flags.interactive,
        health=with_health(
            ContainerSpec().health, convert(flags, HealthFlags, from_attributes=True)
        ),
        dns_servers=flags.dns,
        dns_search=flags.dns_search,
        dns_options=flags.dns_option,
        allow_new_privileges=True,
    )
    if flags.userns not in (None, "", "host"):
        raise Invalid(f"--userns {flags.userns!r} is not host", hint="use host, or leave it out")
    container = with_given(
        container,
        hostname=flags.hostname,
        oom_score_adj=flags.oom_score_adj,
        stop_grace_s=None if flags.stop_timeout is None else float(flags.stop_timeout),
        stop_signal=flags.stop_signal,
        user=flags.user,
        workdir=flags.workdir,
    )
    container = with_capabilities(container, add=flags.cap_add, drop=flags.cap_drop)
    return with_options(container, flags.security_opt)


def _from_here(mount: Mount, directory: str) -> Mount:
    """A bind's source is a path of this shell's."""
    is_relative = mount.kind is MountKind.BIND and mount.source.startswith(".")
    return replace(mount, source=_absolute(mount.source, directory)) if is_relative else mount


def _limits(flags: ContainerFlags) -> Limits:
    """Docker's --memory-swap counts memory, too; ours does not."""
    memory, both = flags.memory or 0, flags.memory_swap
    if both is not None and both > 0 and both < memory:
        raise Invalid(
            f"--memory-swap {both} is less than --memory {memory}: it counts both",
            hint="give the same as --memory for no swap",
        )
    if both is not None and both > 0 and not memory:
        raise Invalid("--memory-swap needs --memory", hint="give --memory, too")
    swap = memory if both in (None, 0) else -1 if both < 0 else both - memory
    return with_given(
        Limits(memory_bytes=memory, swap_bytes=swap, pids=max(flags.pids_limit or 0, 0)),
        cpu_millis=flags.cpus,
        swappiness=flags.memory_swappiness,
    )


def _networks(flags: ContainerFlags) -> tuple[str, tuple[ContainerNetwork, ...]]:
    """What the container's network is, and what is said of each that it is in."""
    asked = read_all("--network", parse_network, flags.network)
    first = asked[0] if asked else ContainerNetwork(network=BRIDGE)
    is_shared = _SHARED.fullmatch(first.network)
    said = with_given(
        replace(first, aliases=(*first.aliases, *flags.network_alias)),
        ipv4_address=flags.ip,
        ipv6_address=flags.ip6,
    )
    if is_shared and len(asked) > 1:
        raise Invalid(f"--network {first.network} excludes all others", hint="name networks only")
    if is_shared and said != first:
        raise Invalid(
            f"--network {first.network} gives no addresses and no names",
            hint="leave out --ip, --ip6 and --network-alias",
        )
    if is_shared or (not asked and said == first):
        return first.network, ()
    return first.network, (said, *asked[1:])


def _volumes(texts: tuple[str, ...], directory: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What is mounted, and the paths that get a volume of their own."""
    binds, volumes = list[str](), list[str]()
    for text in texts:
        source, colon, rest = text.partition(":")
        if not colon:
            volumes.append(source)
        elif source.startswith((".", "/")):
            binds.append(f"{_absolute(source, directory)}:{rest}")
        else:
            binds.append(text)
    for path in volumes:
        if not path.startswith("/"):
            raise Invalid(f"--volume {path!r} must be absolute", hint="write NAME:TARGET")
    return tuple(binds), tuple(volumes)


def _absolute(path: str, directory: str) -> str:
    return path if path.startswith("/") else normpath(f"{directory}/{path}")
