"""Make of what a client asks for the container that the agent is asked for.

What is one thing here and two there (swap, ports, security options) is brought into our form, and
what cannot be had is refused by name. What depends on the image, the node or other
containers is the agent's to judge.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import TypedDict

from engine.containers import paths, ports, resources
from engine.containers.security import read_security
from engine.services.containers import read_health
from engine.services.mounts import read_mounts
from engine.versions import Version
from engine.wire.containers import (
    CreateJson,
    EndpointJson,
    HostConfigJson,
    RestartPolicyJson,
    Words,
)
from swarm.capabilities import parse_capability
from swarm.errors import Invalid
from swarm.log_drivers import is_unknown
from swarm.specs import BRIDGE, NONE, ContainerSpec, Device, LogDriver, Ulimit
from swarm.standalone import ContainerNetwork, ContainerRestart, Restarting, StandaloneSpec

# Names under which runtimes are asked for that are all ours.
RUNTIMES = ("", "runc", "io.containerd.runc.v2", "swarm-runtime")
_MANY_NETWORKS = Version(1, 44)
_POLICIES = {each.word: each for each in Restarting} | {"": Restarting.NO}
_DEFAULT = ContainerSpec()


def read_spec(asked: CreateJson, *, name: str, version: Version) -> StandaloneSpec:
    """The container that a client wants; `Invalid` when it cannot be had."""
    host = asked.host_config
    if asked == CreateJson():
        raise Invalid("config cannot be empty in order to create a container")
    _refuse(asked, host)
    security = read_security(host.security_opt)
    mode = _network_mode(asked, host)
    published, spans = ports.read_bindings(host.port_bindings)
    return StandaloneSpec(
        name=name,
        container=_container(asked, host),
        limits=resources.read_limits(host),
        shares=resources.read_shares(host),
        device_rates=tuple(resources.read_rates(host)),
        restart=read_restart(host.restart_policy),
        log_driver=LogDriver(name=host.log_config.type, options=host.log_config.config),
        network_mode=mode,
        networks=_networks(asked.networking_config.endpoints_config, mode, version),
        ports=published,
        port_spans=spans,
        exposed=ports.read_exposed((*asked.exposed_ports, *host.port_bindings)),
        publish_all=host.publish_all_ports,
        links=host.links,
        binds=host.binds,
        volumes_from=host.volumes_from,
        volumes=tuple(asked.volumes),
        tmpfs=host.tmpfs,
        volume_driver=host.volume_driver,
        auto_remove=host.auto_remove,
        attach_stdin=asked.attach_stdin,
        attach_stdout=asked.attach_stdout,
        attach_stderr=asked.attach_stderr,
        stdin_once=asked.stdin_once,
        domainname=asked.domainname,
        mac_address=asked.mac_address,
        pid_mode=host.pid_mode,
        ipc_mode=host.ipc_mode,
        uts_mode=host.uts_mode,
        cgroupns_mode=host.cgroupns_mode,
        cgroup_parent=host.cgroup_parent,
        shm_bytes=_not_negative("ShmSize", host.shm_size),
        device_cgroup_rules=host.device_cgroup_rules,
        **_paths(host, shown=security.has_system_paths),
        security_options=host.security_opt,
        annotations=host.annotations,
        storage_options=host.storage_opt,
        console_rows=host.console_size[0] if len(host.console_size) == 2 else 0,
        console_columns=host.console_size[1] if len(host.console_size) == 2 else 0,
        runtime=host.runtime,
        isolation=host.isolation,
    )


def read_restart(asked: RestartPolicyJson) -> ContainerRestart:
    """What follows when the program ends."""
    condition = _POLICIES.get(asked.name)
    if condition is None:
        raise Invalid(
            f"invalid restart policy: unknown policy '{asked.name}'; use one of 'no', 'always', "
            "'on-failure', or 'unless-stopped'"
        )
    if asked.maximum_retry_count and condition is not Restarting.ON_FAILURE:
        raise Invalid(
            "invalid restart policy: maximum retry count can only be used with 'on-failure'"
        )
    if asked.maximum_retry_count < 0:
        raise Invalid("invalid restart policy: maximum retry count cannot be negative")
    return ContainerRestart(condition=condition, max_retries=asked.maximum_retry_count)


def words(asked: Words) -> tuple[str, ...]:
    """A command's pieces."""
    return (asked,) if isinstance(asked, str) else asked or ()


def read_network(network: str, asked: EndpointJson) -> ContainerNetwork:
    """How a container is to be in `network`."""
    return ContainerNetwork(
        network=network,
        aliases=tuple(dict.fromkeys(asked.aliases)),
        links=asked.links,
        ipv4_address=asked.ipam_config.ipv4_address,
        ipv6_address=asked.ipam_config.ipv6_address,
        link_local_addresses=asked.ipam_config.link_local_ips,
        mac_address=asked.mac_address,
        driver_options=asked.driver_opts,
    )


def _container(asked: CreateJson, host: HostConfigJson) -> ContainerSpec:
    security = read_security(host.security_opt)
    return ContainerSpec(
        image=asked.image,
        command=_entrypoint(asked.entrypoint),
        args=words(asked.cmd),
        env=_env(asked.env),
        workdir=asked.working_dir,
        user=asked.user,
        groups=host.group_add,
        hostname=asked.hostname,
        labels=asked.labels,
        mounts=read_mounts("HostConfig.Mounts", host.mounts, ()),
        stop_signal=asked.stop_signal,
        stop_grace_s=_DEFAULT.stop_grace_s
        if asked.stop_timeout is None
        else float(asked.stop_timeout),
        read_only=host.readonly_rootfs,
        init=bool(host.init),
        sysctls=host.sysctls,
        ulimits=tuple(_ulimits(host)),
        hosts=tuple(_hosts(host.extra_hosts)),
        oom_score_adj=host.oom_score_adj,
        cap_add=_capabilities("CapAdd", words(host.cap_add)),
        cap_drop=_capabilities("CapDrop", words(host.cap_drop)),
        privileged=host.privileged,
        devices=tuple(
            Device(
                source=each.path_on_host,
                target=each.path_in_container or each.path_on_host,
                access=each.cgroup_permissions or "rwm",
            )
            for each in host.devices
        ),
        seccomp=security.seccomp,
        apparmor=security.apparmor,
        allow_new_privileges=security.allow_new_privileges,
        host_user_namespace=host.userns_mode == "host",
        tty=asked.tty,
        open_stdin=asked.open_stdin,
        health=read_health(asked.healthcheck),
        dns_servers=host.dns,
        dns_search=host.dns_search,
        dns_options=host.dns_options,
    )


def _refuse(asked: CreateJson, host: HostConfigJson) -> None:
    for problem in _problems(asked, host):
        raise Invalid(problem)


def _problems(asked: CreateJson, host: HostConfigJson) -> Iterator[str]:
    if not asked.image:
        yield "Image: a container is made from an image: name one"
    if is_unknown(LogDriver(name=host.log_config.type)):
        yield f"logger: no log driver named '{host.log_config.type}' is registered"
    if host.auto_remove and host.restart_policy.name not in ("", "no"):
        yield "can't create 'AutoRemove' container with restart policy"
    if host.runtime not in RUNTIMES:
        yield f"unknown or invalid runtime name: {host.runtime}"
    if host.isolation not in ("", "default"):
        yield f"invalid isolation '{host.isolation}' on linux"
    yield from _namespace_problems(host)
    if not -1000 <= host.oom_score_adj <= 1000:
        yield f"Invalid value {host.oom_score_adj}, range for oom score adj is [-1000, 1000]"
    if "" in host.annotations:
        yield "invalid Annotations: the empty string is not permitted as an annotation key"
    if asked.working_dir and not asked.working_dir.startswith("/"):
        yield (
            f"the working directory '{asked.working_dir}' is invalid, it needs to be an "
            "absolute path"
        )


def _namespace_problems(host: HostConfigJson) -> Iterator[str]:
    if host.cgroup:
        yield f"HostConfig.Cgroup: {host.cgroup!r} cannot be joined"
    if host.cgroupns_mode not in ("", "private", "host"):
        yield f"invalid cgroup namespace mode: {host.cgroupns_mode}"
    if host.userns_mode not in ("", "host"):
        yield f"invalid user namespace mode: {host.userns_mode}"
    if host.uts_mode not in ("", "host"):
        yield f"invalid UTS mode: {host.uts_mode}"
    if not _is_mode(host.pid_mode, ("", "host")):
        yield f"invalid PID mode: {host.pid_mode}"
    if not _is_mode(host.ipc_mode, ("", "none", "private", "shareable", "host")):
        yield f"invalid IPC mode: {host.ipc_mode}"


def _is_mode(text: str, known: tuple[str, ...]) -> bool:
    return text in known or (text.startswith("container:") and len(text) > len("container:"))


def _capabilities(name: str, asked: tuple[str, ...]) -> tuple[str, ...]:
    """As they were written: who compares what he wants with what there is looks for that."""
    try:
        for each in asked:
            parse_capability(each)
    except Invalid as err:
        raise Invalid(f"invalid {name}: {err.message}", hint=err.hint) from err
    return tuple(dict.fromkeys(asked))


def _entrypoint(asked: Words) -> tuple[str, ...]:
    """None is the image's; an empty list is none at all, which we write as one empty string."""
    return () if asked is None else words(asked) or ("",)


def _env(asked: Iterable[str]) -> tuple[str, ...]:
    """Each name once, with its last value."""
    found: dict[str, str] = {}
    for text in asked:
        name, _, _ = text.partition("=")
        if not name:
            raise Invalid(f"invalid environment variable: {text}", hint="write NAME=VALUE")
        found[name] = text
    return tuple(found.values())


def _hosts(asked: Iterable[str]) -> Iterator[str]:
    """NAME:ADDRESS, of which clients write NAME=ADDRESS, too."""
    for text in asked:
        cut = min((at for at in (text.find("="), text.find(":")) if at >= 0), default=0)
        if not 0 < cut < len(text) - 1:
            raise Invalid(f'bad format for add-host: "{text}"', hint="write it as NAME:ADDRESS")
        yield f"{text[:cut]}:{text[cut + 1 :].removeprefix('[').removesuffix(']')}"


def _ulimits(host: HostConfigJson) -> Iterator[Ulimit]:
    for each in host.ulimits:
        soft = each.soft if each.soft is not None else each.hard or 0
        hard = each.hard if each.hard is not None else soft
        yield Ulimit(name=each.name, soft=soft, hard=hard)


def _network_mode(asked: CreateJson, host: HostConfigJson) -> str:
    if asked.network_disabled:
        return NONE
    mode, endpoints = host.network_mode, asked.networking_config.endpoints_config
    if mode not in ("", "default"):
        return mode
    # Whoever names a network and no mode means that network.
    if not endpoints or "default" in endpoints or BRIDGE in endpoints:
        return BRIDGE
    return next(iter(endpoints))


def _networks(
    asked: Mapping[str, EndpointJson], mode: str, version: Version
) -> tuple[ContainerNetwork, ...]:
    if version < _MANY_NETWORKS and len(asked) > 1:
        raise Invalid(
            f"Container cannot be connected to network endpoints: {', '.join(sorted(asked))}",
            hint=f"version {_MANY_NETWORKS} of the API can, or connect them afterwards",
        )
    return tuple(
        read_network(mode if network == "default" else network, endpoint)
        for network, endpoint in asked.items()
    )


class _Paths(TypedDict):
    masked_paths: tuple[str, ...]
    readonly_paths: tuple[str, ...]
    has_paths: bool


def _paths(host: HostConfigJson, *, shown: bool) -> _Paths:
    """Which paths of the kernel's are hidden; none where all are to be `shown`."""
    if shown:
        return _Paths(masked_paths=(), readonly_paths=(), has_paths=True)
    masked, readonly = host.masked_paths, host.readonly_paths
    if masked is None and readonly is None:
        return _Paths(masked_paths=(), readonly_paths=(), has_paths=False)
    return _Paths(
        masked_paths=paths.MASKED if masked is None else masked,
        readonly_paths=paths.READONLY if readonly is None else readonly,
        has_paths=True,
    )


def _not_negative(name: str, value: int) -> int:
    if value < 0:
        raise Invalid(f"{name}: {value} is negative")
    return value
