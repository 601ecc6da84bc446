"""Turn flags into service specs.

A flag that was not given is `None`, which differs from every value: an update changes only
what its flags name. Contradictions that only flags can have are refused here and in the modules
of each subject; the finished spec is checked whole by `swarm.checks`.
"""

from collections.abc import Mapping

from msgspec import convert
from msgspec.structs import replace

from swarm.errors import Invalid
from swarm.specs import (
    ContainerSpec,
    EndpointMode,
    EndpointSpec,
    LogDriver,
    Mount,
    Port,
    Protocol,
    Resources,
    ServiceSpec,
    Strategy,
    TaskSpec,
    Ulimit,
)
from swarmctl.attachments import changed, parse_attachment
from swarmctl.edits import edited, keyed, pairs, read, read_all, with_given, without, words
from swarmctl.environment import merge
from swarmctl.flags import CreateFlags, ServiceFlags, UpdateFlags
from swarmctl.health import HealthFlags, with_health
from swarmctl.modes import new_mode, scaled, with_numbers
from swarmctl.mounts import parse_mount
from swarmctl.placing import new_dependencies, new_generic, new_placement, placed
from swarmctl.policies import chosen, with_restarts, with_rollouts, with_schedule
from swarmctl.ports import parse_ports, parse_removed
from swarmctl.security import parse_device, with_capabilities, with_options


def created(shared: ServiceFlags, own: CreateFlags, *, environ: Mapping[str, str]) -> ServiceSpec:
    """The spec of a new service."""
    container = ContainerSpec(
        image=own.image,
        args=own.arguments,
        configs=own.configs,
        devices=read_all("--device", parse_device, own.device),
        dns_servers=own.dns,
        dns_search=own.dns_search,
        dns_options=own.dns_option,
        env=merge("--env", own.env, environ=environ),
        groups=own.group,
        labels=pairs("--container-label", own.container_label),
        mounts=read_all("--mount", parse_mount, own.mount),
        secrets=own.secrets,
        sysctls=pairs("--sysctl", own.sysctl, needs_value=True),
        ulimits=read_all("--ulimit", parse_ulimit, own.ulimit),
        hosts=own.host,
    )
    spec = ServiceSpec(
        name=own.name,
        labels=pairs("--label", own.label),
        mode=new_mode(own.mode, shared),
        task=TaskSpec(
            container=container,
            depends_on=new_dependencies(own),
            networks=read_all("--network", parse_attachment, own.network),
            placement=new_placement(own),
            reservations=Resources(generic=new_generic(own)),
        ),
        endpoint=EndpointSpec(ports=_ports("--publish", own.publish)),
    )
    return _shared(spec, shared, is_new=True)


def updated(
    spec: ServiceSpec,
    shared: ServiceFlags,
    own: UpdateFlags,
    *,
    environ: Mapping[str, str],
    network_ids: Mapping[str, str],
) -> ServiceSpec:
    """The next spec of a service that has `spec`; `network_ids` are those of names."""
    task = placed(spec.task, own)
    networks = changed(
        task.networks,
        read_all("--network-rm", parse_attachment, own.network_rm),
        read_all("--network-add", parse_attachment, own.network_add),
        ids=network_ids,
    )
    if own.no_schedule and shared.schedule is not None:
        raise Invalid("--schedule and --no-schedule exclude each other", hint="leave one out")
    if own.no_autoscale and shared.autoscale is not None:
        raise Invalid("--autoscale and --no-autoscale exclude each other", hint="leave one out")
    edited_spec = replace(
        spec,
        autoscale=None if own.no_autoscale else spec.autoscale,
        endpoint=replace(spec.endpoint, ports=_published(spec.endpoint.ports, own)),
        labels=without(spec.labels, own.label_rm) | pairs("--label-add", own.label_add),
        schedule=None if own.no_schedule else spec.schedule,
        task=replace(
            task,
            container=_updated_container(task.container, own, environ),
            networks=networks,
            force_update=task.force_update + own.force,
        ),
    )
    return _shared(edited_spec, shared, is_new=False)


def parse_ulimit(text: str) -> Ulimit:
    """`nofile=1024:2048`, or `nofile=1024` for both; -1 is unlimited."""
    name, _, numbers = text.partition("=")
    soft, colon, hard = numbers.partition(":")
    try:
        return Ulimit(name=name, soft=int(soft), hard=int(hard if colon else soft))
    except ValueError as err:
        raise Invalid(f"{text!r} is not NAME=SOFT[:HARD]", hint="like nofile=1024:2048") from err


def _updated_container(
    old: ContainerSpec, own: UpdateFlags, environ: Mapping[str, str]
) -> ContainerSpec:
    added = merge("--env-add", own.env_add, environ=environ)
    sysctls = pairs("--sysctl-add", own.sysctl_add, needs_value=True)
    labels = pairs("--container-label-add", own.container_label_add)
    devices = read_all("--device-add", parse_device, own.device_add)
    ulimits = read_all("--ulimit-add", parse_ulimit, own.ulimit_add)
    return replace(
        with_given(
            old, image=own.image, args=None if own.args is None else read("--args", words, own.args)
        ),
        configs=keyed(old.configs, own.config_rm, own.configs, key=lambda each: each.name),
        devices=keyed(old.devices, own.device_rm, devices, key=lambda each: each.target),
        dns_servers=keyed(old.dns_servers, own.dns_rm, own.dns_add, key=str),
        dns_search=keyed(old.dns_search, own.dns_search_rm, own.dns_search_add, key=str),
        dns_options=keyed(old.dns_options, own.dns_option_rm, own.dns_option_add, key=str),
        env=keyed(old.env, own.env_rm, added, key=_env_name),
        groups=keyed(old.groups, own.group_rm, own.group_add, key=str),
        hosts=edited(_kept_hosts(old.hosts, own), (), own.host_add, key=_host_name),
        labels=without(old.labels, own.container_label_rm) | labels,
        mounts=_mounts(old.mounts, own),
        secrets=keyed(old.secrets, own.secret_rm, own.secrets, key=lambda each: each.name),
        sysctls=without(old.sysctls, own.sysctl_rm) | sysctls,
        ulimits=keyed(old.ulimits, own.ulimit_rm, ulimits, key=lambda each: each.name),
    )


def _shared(spec: ServiceSpec, flags: ServiceFlags, *, is_new: bool) -> ServiceSpec:
    _refuse_foreign(flags)
    if flags.replicas is not None and spec.autoscale is not None:
        scaled(spec, flags.replicas)  # refuses, with the reason
    spec = with_numbers(spec, flags, is_new=is_new)
    if flags.autoscale is not None:
        from swarmctl.autoscaling import parse_autoscale

        wish = read("--autoscale", parse_autoscale, flags.autoscale)
        spec = replace(spec, autoscale=wish)
    update, rollback = with_rollouts(spec, flags)
    endpoint_mode = chosen("--endpoint-mode", EndpointMode, flags.endpoint_mode)
    return with_given(
        replace(
            spec,
            update=update,
            rollback=rollback,
            schedule=with_schedule(spec, flags),
            endpoint=with_given(spec.endpoint, mode=endpoint_mode),
            task=_task(spec, flags, is_new=is_new),
        ),
        max_unavailable=flags.max_unavailable,
    )


def _task(spec: ServiceSpec, flags: ServiceFlags, *, is_new: bool) -> TaskSpec:
    task = spec.task
    return replace(
        with_given(task, priority=flags.priority),
        container=_container(task.container, flags),
        limits=with_given(
            task.limits,
            cpu_millis=flags.limit_cpu,
            memory_bytes=flags.limit_memory,
            pids=flags.limit_pids,
            swap_bytes=flags.memory_swap,
            swappiness=flags.memory_swappiness,
        ),
        reservations=with_given(
            task.reservations, cpu_millis=flags.reserve_cpu, memory_bytes=flags.reserve_memory
        ),
        restart=with_restarts(spec, flags, is_new=is_new),
        placement=with_given(
            task.placement,
            max_replicas_per_node=flags.replicas_max_per_node,
            strategy=chosen("--strategy", Strategy, flags.strategy),
        ),
        log_driver=_log_driver(task.log_driver, flags),
    )


def _container(container: ContainerSpec, flags: ServiceFlags) -> ContainerSpec:
    container = with_given(
        container,
        command=None if flags.entrypoint is None else read("--entrypoint", words, flags.entrypoint),
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


def _log_driver(old: LogDriver, flags: ServiceFlags) -> LogDriver:
    """Another driver begins without options; options alone are added to what there is."""
    options = pairs("--log-opt", flags.log_opt, needs_value=True)
    if flags.log_driver is not None:
        return LogDriver(name=flags.log_driver, options=options)
    return replace(old, options=old.options | options) if options else old


def _refuse_foreign(flags: ServiceFlags) -> None:
    for name, value in (
        ("--credential-spec", flags.credential_spec),
        ("--isolation", flags.isolation),
    ):
        if value is not None:
            raise Invalid(
                f"{name} is for Windows containers, and this swarm runs Linux ones",
                hint="leave it out",
            )


def _ports(flag: str, texts: tuple[str, ...]) -> tuple[Port, ...]:
    return tuple(port for ports in read_all(flag, parse_ports, texts) for port in ports)


def _published(old: tuple[Port, ...], own: UpdateFlags) -> tuple[Port, ...]:
    gone = [
        each for found in read_all("--publish-rm", parse_removed, own.publish_rm) for each in found
    ]
    kept = [port for port in old if not any(each.means(port) for each in gone)]
    added = _ports("--publish-add", own.publish_add)
    return edited(kept, (), added, key=_publication)


def _publication(port: Port) -> tuple[str, int, int, Protocol]:
    """What is published once; of ports that are to be chosen there may be any number."""
    return port.ip, port.published, 0 if port.published else port.target, port.protocol


def _mounts(old: tuple[Mount, ...], own: UpdateFlags) -> tuple[Mount, ...]:
    new = read_all("--mount-add", parse_mount, own.mount_add)
    gone = [each.rstrip("/") for each in own.mount_rm]
    return keyed(old, gone, new, key=lambda each: each.target.rstrip("/"))


def _kept_hosts(old: tuple[str, ...], own: UpdateFlags) -> list[str]:
    return [each for each in old if not {each, _host_name(each)} & set(own.host_rm)]


def _env_name(entry: str) -> str:
    return entry.partition("=")[0]


def _host_name(entry: str) -> str:
    return entry.partition(":")[0]
