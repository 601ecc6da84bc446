"""Turn flags into service specs.

A flag that was not given is `None`, which differs from every value: an update changes only
what its flags name. Of a pair such as `--env-rm` and `--env-add` the removal comes first, and
what is added replaces what has the same key, in its place. Contradictions that only flags can
have are refused here; the finished spec is checked whole by `swarm.checks`.
"""

import shlex
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import TypeVar

from msgspec import Struct, convert
from msgspec.structs import replace

from swarm.errors import Invalid
from swarm.specs import (
    ContainerSpec,
    Device,
    Global,
    Mount,
    Placement,
    Replicated,
    RestartCondition,
    ServiceSpec,
    TaskSpec,
    Ulimit,
)
from swarmctl.environment import merge
from swarmctl.health import HealthFlags, with_health
from swarmctl.mounts import parse_mount
from swarmctl.security import parse_device, with_capabilities, with_options

S = TypeVar("S", bound=Struct)
V = TypeVar("V")


class ServiceFlags(Struct, frozen=True, kw_only=True):
    """What both create and update know."""

    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    entrypoint: str | None = None
    health_cmd: str | None = None
    health_interval: float | None = None
    health_retries: int | None = None
    health_start_interval: float | None = None
    health_start_period: float | None = None
    health_timeout: float | None = None
    hostname: str | None = None
    init: bool | None = None
    interactive: bool | None = None
    limit_cpu: int | None = None
    limit_memory: int | None = None
    limit_pids: int | None = None
    memory_swap: int | None = None
    no_healthcheck: bool = False
    oom_score_adj: int | None = None
    privileged: bool | None = None
    read_only: bool | None = None
    replicas: int | None = None
    replicas_max_per_node: int | None = None
    reserve_cpu: int | None = None
    reserve_memory: int | None = None
    restart_condition: str | None = None
    restart_delay: float | None = None
    restart_max_attempts: int | None = None
    restart_window: float | None = None
    security_opt: tuple[str, ...] = ()
    stop_grace_period: float | None = None
    stop_signal: str | None = None
    tty: bool | None = None
    update_delay: float | None = None
    update_parallelism: int | None = None
    user: str | None = None
    userns: str | None = None
    workdir: str | None = None


class CreateFlags(Struct, frozen=True, kw_only=True):
    """What only create knows. `env` has the files' entries first."""

    image: str
    arguments: tuple[str, ...] = ()
    name: str = ""
    mode: str = "replicated"
    constraint: tuple[str, ...] = ()
    container_label: tuple[str, ...] = ()
    device: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    group: tuple[str, ...] = ()
    host: tuple[str, ...] = ()
    label: tuple[str, ...] = ()
    mount: tuple[str, ...] = ()
    network: tuple[str, ...] = ()
    sysctl: tuple[str, ...] = ()
    ulimit: tuple[str, ...] = ()


class UpdateFlags(Struct, frozen=True, kw_only=True):
    """What only update knows."""

    args: str | None = None
    force: bool = False
    image: str | None = None
    constraint_add: tuple[str, ...] = ()
    constraint_rm: tuple[str, ...] = ()
    container_label_add: tuple[str, ...] = ()
    container_label_rm: tuple[str, ...] = ()
    device_add: tuple[str, ...] = ()
    device_rm: tuple[str, ...] = ()
    env_add: tuple[str, ...] = ()
    env_rm: tuple[str, ...] = ()
    group_add: tuple[str, ...] = ()
    group_rm: tuple[str, ...] = ()
    host_add: tuple[str, ...] = ()
    host_rm: tuple[str, ...] = ()
    label_add: tuple[str, ...] = ()
    label_rm: tuple[str, ...] = ()
    mount_add: tuple[str, ...] = ()
    mount_rm: tuple[str, ...] = ()
    network_add: tuple[str, ...] = ()
    network_rm: tuple[str, ...] = ()
    sysctl_add: tuple[str, ...] = ()
    sysctl_rm: tuple[str, ...] = ()
    ulimit_add: tuple[str, ...] = ()
    ulimit_rm: tuple[str, ...] = ()


def created(shared: ServiceFlags, own: CreateFlags, *, environ: Mapping[str, str]) -> ServiceSpec:
    """The spec of a new service."""
    mode = _mode(own.mode)
    if isinstance(mode, Global) and shared.replicas is not None:
        raise Invalid(
            "--replicas contradicts --mode global, which has one task per node",
            hint="leave one of them out",
        )
    container = ContainerSpec(
        image=own.image,
        args=own.arguments,
        devices=tuple(_flagged("--device", parse_device, each) for each in own.device),
        env=merge(own.env, environ=environ),
        groups=own.group,
        labels=_pairs("--container-label", own.container_label),
        mounts=tuple(_flagged("--mount", parse_mount, each) for each in own.mount),
        sysctls=_pairs("--sysctl", own.sysctl, needs_value=True),
        ulimits=tuple(_flagged("--ulimit", parse_ulimit, each) for each in own.ulimit),
        hosts=own.host,
    )
    spec = ServiceSpec(
        name=own.name,
        labels=_pairs("--label", own.label),
        mode=mode,
        task=TaskSpec(
            container=container,
            placement=Placement(constraints=own.constraint),
            networks=tuple(map(network_name, own.network)),
        ),
    )
    return _shared(spec, shared)


def updated(
    spec: ServiceSpec, shared: ServiceFlags, own: UpdateFlags, *, environ: Mapping[str, str]
) -> ServiceSpec:
    """The next spec of a service that has `spec`."""
    task = spec.task
    container = replace(
        _set(task.container, image=own.image, args=None if own.args is None else _words(own.args)),
        devices=_devices(task.container.devices, own),
        env=_environment(task.container.env, own, environ),
        groups=_edited(task.container.groups, own.group_rm, own.group_add, key=str),
        hosts=_edited(_kept_hosts(task.container.hosts, own), (), own.host_add, key=_host_name),
        labels=_labels("container-label", task.container.labels, own),
        mounts=_mounts(task.container.mounts, own),
        sysctls=_without(task.container.sysctls, own.sysctl_rm)
        | _pairs("--sysctl-add", own.sysctl_add, needs_value=True),
        ulimits=_ulimits(task.container.ulimits, own),
    )
    constraints = _edited(
        task.placement.constraints, own.constraint_rm, own.constraint_add, key=_squeezed
    )
    networks = _edited(task.networks, map(network_name, own.network_rm), (), key=str)
    changed = replace(
        spec,
        labels=_labels("label", spec.labels, own),
        task=replace(
            task,
            container=container,
            placement=replace(task.placement, constraints=constraints),
            networks=_edited(networks, (), map(network_name, own.network_add), key=str),
            force_update=task.force_update + own.force,
        ),
    )
    return _shared(changed, shared)


def scaled(spec: ServiceSpec, replicas: int) -> ServiceSpec:
    """`spec` with another number of replicas; `Invalid` for a global service."""
    if isinstance(spec.mode, Global):
        raise Invalid(
            f"service {spec.name} is global and has one task per node",
            hint="--replicas and scale are for replicated services",
        )
    return replace(spec, mode=Replicated(replicas=replicas))


def parse_ulimit(text: str) -> Ulimit:
    """`nofile=1024:2048`, or `nofile=1024` for both; -1 is unlimited."""
    name, _, numbers = text.partition("=")
    soft, colon, hard = numbers.partition(":")
    try:
        return Ulimit(name=name, soft=int(soft), hard=int(hard if colon else soft))
    except ValueError as err:
        raise Invalid(f"{text!r} is not NAME=SOFT[:HARD]", hint="like nofile=1024:2048") from err


def network_name(text: str) -> str:
    """The network in `host` or in the long form `name=host`."""
    name, _, rest = text.removeprefix("name=").partition(",")
    if rest:
        raise Invalid(f"--network: option {rest!r} is not supported yet", hint="give the name only")
    return name


def _shared(spec: ServiceSpec, flags: ServiceFlags) -> ServiceSpec:
    if flags.replicas is not None:
        spec = scaled(spec, flags.replicas)
    if flags.replicas_max_per_node and isinstance(spec.mode, Global):
        raise Invalid("--replicas-max-per-node is for replicated services", hint="leave it out")
    task = spec.task
    condition = flags.restart_condition
    return replace(
        spec,
        update=_set(spec.update, parallelism=flags.update_parallelism, delay_s=flags.update_delay),
        task=replace(
            task,
            container=_container(task.container, flags),
            limits=_set(
                task.limits,
                cpu_millis=flags.limit_cpu,
                memory_bytes=flags.limit_memory,
                pids=flags.limit_pids,
                swap_bytes=flags.memory_swap,
            ),
            reservations=_set(
                task.reservations,
                cpu_millis=flags.reserve_cpu,
                memory_bytes=flags.reserve_memory,
            ),
            restart=_set(
                task.restart,
                condition=None if condition is None else parse_condition(condition),
                delay_s=flags.restart_delay,
                max_attempts=flags.restart_max_attempts,
                window_s=flags.restart_window,
            ),
            placement=_set(task.placement, max_replicas_per_node=flags.replicas_max_per_node),
        ),
    )


def _container(container: ContainerSpec, flags: ServiceFlags) -> ContainerSpec:
    container = _set(
        container,
        command=None if flags.entrypoint is None else _words(flags.entrypoint),
        health=with_health(container.health, convert(flags, HealthFlags, from_attributes=True)),
        host_user_namespace=None if flags.userns is None else flags.userns == "host",
        hostname=flags.hostname,
        init=flags.init,
        oom_score_adj=flags.oom_score_adj,
        open_stdin=flags.interactive,
        privileged=flags.privileged,
        read_only=flags.read_only,
        stop_grace_s=flags.stop_grace_period,
        stop_signal=flags.stop_signal,
        tty=flags.tty,
        user=flags.user,
        workdir=flags.workdir,
    )
    container = with_capabilities(container, add=flags.cap_add, drop=flags.cap_drop)
    return with_options(container, flags.security_opt)


def parse_condition(text: str) -> RestartCondition:
    """`any`, `none` or `on-failure`."""
    try:
        return RestartCondition[text.upper().replace("-", "_")]
    except KeyError as err:
        raise Invalid(
            f"--restart-condition {text!r} is unknown", hint="use any, none or on-failure"
        ) from err


def _mode(text: str) -> Replicated | Global:
    match text:
        case "replicated":
            return Replicated()
        case "global":
            return Global()
        case "replicated-job" | "global-job":
            raise Invalid(f"--mode {text} is not supported yet", hint="use replicated or global")
        case _:
            raise Invalid(f"--mode {text!r} is unknown", hint="use replicated or global")


def _set(value: S, **fields: object) -> S:
    return replace(value, **{name: each for name, each in fields.items() if each is not None})


def _words(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as err:
        raise Invalid(f"{text!r}: {err}", hint="close every quote") from err


def _flagged(flag: str, read: Callable[[str], V], text: str) -> V:
    try:
        return read(text)
    except Invalid as err:
        raise Invalid(f"{flag}: {err.message}", hint=err.hint) from err


def _pairs(flag: str, texts: Iterable[str], *, needs_value: bool = False) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key.strip() or (needs_value and not equals):
            raise Invalid(f"{flag} {text!r} is not KEY=VALUE", hint=f"write {flag} KEY=VALUE")
        found[key] = value
    return found


def _edited(
    old: Iterable[V], gone: Iterable[V], new: Iterable[V], *, key: Callable[[V], Hashable]
) -> tuple[V, ...]:
    removed = {key(each) for each in gone}
    kept = {key(each): each for each in old if key(each) not in removed}
    return tuple((kept | {key(each): each for each in new}).values())


def _without(old: Mapping[str, str], gone: Iterable[str]) -> dict[str, str]:
    removed = set(gone)
    return {key: value for key, value in old.items() if key not in removed}


def _labels(kind: str, old: Mapping[str, str], own: UpdateFlags) -> dict[str, str]:
    gone, new = (
        (own.label_rm, own.label_add)
        if kind == "label"
        else (own.container_label_rm, own.container_label_add)
    )
    return _without(old, gone) | _pairs(f"--{kind}-add", new)


def _environment(
    old: tuple[str, ...], own: UpdateFlags, environ: Mapping[str, str]
) -> tuple[str, ...]:
    return _edited(old, own.env_rm, merge(own.env_add, environ=environ), key=_env_name)


def _mounts(old: tuple[Mount, ...], own: UpdateFlags) -> tuple[Mount, ...]:
    new = [_flagged("--mount-add", parse_mount, each) for each in own.mount_add]
    gone = {each.rstrip("/") for each in own.mount_rm}
    kept = [each for each in old if each.target.rstrip("/") not in gone]
    return _edited(kept, (), new, key=lambda each: each.target.rstrip("/"))


def _devices(old: tuple[Device, ...], own: UpdateFlags) -> tuple[Device, ...]:
    new = [_flagged("--device-add", parse_device, each) for each in own.device_add]
    kept = [each for each in old if each.target not in own.device_rm]
    return _edited(kept, (), new, key=lambda each: each.target)


def _ulimits(old: tuple[Ulimit, ...], own: UpdateFlags) -> tuple[Ulimit, ...]:
    new = [_flagged("--ulimit-add", parse_ulimit, each) for each in own.ulimit_add]
    kept = [each for each in old if each.name not in own.ulimit_rm]
    return _edited(kept, (), new, key=lambda each: each.name)


def _kept_hosts(old: tuple[str, ...], own: UpdateFlags) -> list[str]:
    return [each for each in old if not {each, _host_name(each)} & set(own.host_rm)]


def _env_name(entry: str) -> str:
    return entry.partition("=")[0]


def _host_name(entry: str) -> str:
    return entry.partition(":")[0]


def _squeezed(constraint: str) -> str:
    return "".join(constraint.split())
