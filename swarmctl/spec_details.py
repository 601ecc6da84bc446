"""Describe specs in full, in the shape that Docker's users know from `inspect`.

The keys are Docker's: durations in nanoseconds, cpu in billionths. What is unset is left out,
as there. Fields that Docker does not have keep our own names in the same style.
"""

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum

from swarm.seccomp import UNCONFINED
from swarm.specs import (
    Autoscale,
    ContainerSpec,
    EndpointSpec,
    FileReference,
    Global,
    GlobalJob,
    Healthcheck,
    Mode,
    Mount,
    MountKind,
    Placement,
    Port,
    Replicated,
    ReplicatedJob,
    Resources,
    Schedule,
    ServiceSpec,
    TaskSpec,
    UpdatePolicy,
)
from swarmctl.pipes import Value

Object = dict[str, Value]


def spec_detail(spec: ServiceSpec) -> Object:
    """The spec part of a service."""
    policies: Object = (
        {}
        if spec.is_job
        else {"UpdateConfig": _policy(spec.update), "RollbackConfig": _policy(spec.rollback)}
    )
    return {
        "Name": spec.name,
        "Labels": ordered(spec.labels),
        "TaskTemplate": task_template(spec.task),
        "Mode": _mode(spec.mode),
        **policies,
        "EndpointSpec": endpoint(spec.endpoint),
        **nonzero(
            Schedule=_schedule(spec.schedule) if spec.schedule else None,
            Autoscale=_autoscale(spec.autoscale) if spec.autoscale else None,
            MaxUnavailable=spec.max_unavailable,
        ),
    }


def task_template(task: TaskSpec) -> Object:
    """What tasks are made from."""
    limits = task.limits
    return present(
        ContainerSpec=_container(task.container),
        Resources={
            "Limits": nonzero(
                NanoCPUs=limits.cpu_millis * 1_000_000,
                MemoryBytes=limits.memory_bytes,
                Pids=limits.pids,
            ),
            "Reservations": nonzero(
                NanoCPUs=task.reservations.cpu_millis * 1_000_000,
                MemoryBytes=task.reservations.memory_bytes,
                GenericResources=generic(task.reservations),
            ),
            **nonzero(SwapBytes=limits.swap_bytes),
            **present(MemorySwappiness=limits.swappiness if limits.swappiness >= 0 else None),
        },
        RestartPolicy=present(
            Condition=word(task.restart.condition),
            Delay=nanoseconds(task.restart.delay_s),
            MaxAttempts=task.restart.max_attempts,
            Window=nanoseconds(task.restart.window_s) or None,
            MaxDelay=nanoseconds(task.restart.max_delay_s) or None,
        ),
        Placement=_placement(task.placement),
        Networks=[
            {"Target": each.target} | nonzero(Aliases=list(each.aliases)) for each in task.networks
        ]
        or None,
        ForceUpdate=task.force_update,
        LogDriver=nonzero(Name=task.log_driver.name, Options=ordered(task.log_driver.options))
        or None,
        Priority=task.priority or None,
        DependsOn=[
            {"Service": each.service, "Condition": word(each.condition)} for each in task.depends_on
        ]
        or None,
    )


def endpoint(spec: EndpointSpec) -> Object:
    """How a service is reached."""
    return present(
        Mode=word(spec.mode),
        Ports=printed_ports(spec.ports) or None,
    )


def printed_ports(ports: Iterable[Port]) -> list[Value]:
    """Ports, as they are published."""
    return [
        nonzero(
            Protocol=port.protocol.word,
            TargetPort=port.target,
            PublishedPort=port.published,
            PublishMode=word(port.mode),
            HostIP=port.ip,
        )
        for port in ports
    ]


def generic(resources: Resources) -> list[Value]:
    """Counted and named resources, as one list."""
    found: list[Value] = []
    for each in resources.generic:
        found += [
            {"NamedResourceSpec": {"Kind": each.kind, "Value": name}} for name in each.names
        ] or [{"DiscreteResourceSpec": {"Kind": each.kind, "Value": each.count}}]
    return found


def word(member: IntEnum) -> str:
    """A member as users type it, such as `on-failure`."""
    return member.name.lower().replace("_", "-")


def nanoseconds(seconds: float) -> int:
    """As Docker counts time."""
    return round(seconds * 1_000_000_000)


def present(**fields: Value) -> Object:
    """The fields that are not `None`."""
    return {name: value for name, value in fields.items() if value is not None}


def ordered(entries: Mapping[str, str]) -> Object:
    """`entries` by key, as Go prints its maps; messages keep theirs in no order."""
    return {key: entries[key] for key in sorted(entries)}


def nonzero(**fields: Value) -> Object:
    """The fields that are set."""
    return {name: value for name, value in fields.items() if value}


def _mode(mode: Mode) -> Object:
    match mode:
        case Replicated(replicas=replicas):
            return {"Replicated": {"Replicas": replicas}}
        case Global():
            return {"Global": {}}
        case ReplicatedJob(max_concurrent=at_once, total=total):
            return {"ReplicatedJob": {"MaxConcurrent": at_once, "TotalCompletions": total}}
        case GlobalJob():
            return {"GlobalJob": {}}


def _policy(policy: UpdatePolicy) -> Object:
    return {
        "Parallelism": policy.parallelism,
        **nonzero(Delay=nanoseconds(policy.delay_s)),
        "FailureAction": word(policy.failure_action),
        "Monitor": nanoseconds(policy.monitor_s),
        "MaxFailureRatio": policy.max_failure_ratio,
        "Order": word(policy.order),
        **nonzero(Canary=policy.canary),
    }


def _placement(placement: Placement) -> Object:
    return nonzero(
        Constraints=list(placement.constraints),
        Preferences=[
            {"Spread": {"SpreadDescriptor": attribute}} for attribute in placement.preferences
        ],
        MaxReplicas=placement.max_replicas_per_node,
        Platforms=[nonzero(Architecture=p.arch, OS=p.os) for p in placement.platforms],
        Affinities=[
            {
                "Service": each.service,
                "Anti": each.anti,
                "Required": each.required,
                "Topology": each.topology,
            }
            for each in placement.affinities
        ],
        Tolerations=[
            {
                "Key": each.key,
                "Value": each.value,
                "AnyValue": each.any_value,
                "Effects": list(map(word, each.effects)),
            }
            for each in placement.tolerations
        ],
        Strategy=word(placement.strategy) if placement.strategy else "",
    )


def _schedule(schedule: Schedule) -> Object:
    return {
        "Expression": schedule.expression,
        "Timezone": schedule.timezone or "UTC",
        "Catchup": word(schedule.catchup),
        "Concurrency": word(schedule.concurrency),
        "KeepCompleted": schedule.keep_completed,
        "KeepFailed": schedule.keep_failed,
    }


def _autoscale(wish: Autoscale) -> Object:
    return {
        "Min": wish.least,
        "Max": wish.most,
        **nonzero(
            CPUPercent=wish.cpu_percent,
            MemoryPercent=wish.memory_percent,
            Query=wish.query,
            Target=wish.target,
        ),
        "UpWindow": nanoseconds(wish.up_window_s),
        "DownWindow": nanoseconds(wish.down_window_s),
    }


def _container(container: ContainerSpec) -> Object:
    return nonzero(
        Image=container.image,
        Labels=ordered(container.labels),
        Command=list(container.command),
        Args=list(container.args),
        Hostname=container.hostname,
        Env=list(container.env),
        Dir=container.workdir,
        User=container.user,
        Groups=list(container.groups),
        Init=container.init,
        ReadOnly=container.read_only,
        Mounts=[_mount(each) for each in container.mounts],
        StopSignal=container.stop_signal,
        Hosts=list(container.hosts),
        Sysctls=ordered(container.sysctls),
        Ulimits=[{"Name": u.name, "Hard": u.hard, "Soft": u.soft} for u in container.ulimits],
        OomScoreAdj=container.oom_score_adj,
        CapabilityAdd=list(container.cap_add),
        CapabilityDrop=list(container.cap_drop),
        Privileges=_privileges(container),
        Privileged=container.privileged,
        Devices=[
            {
                "PathOnHost": each.source,
                "PathInContainer": each.target,
                "CgroupPermissions": each.access,
            }
            for each in container.devices
        ],
        UsernsMode="host" if container.host_user_namespace else "",
        TTY=container.tty,
        OpenStdin=container.open_stdin,
        Healthcheck=_healthcheck(container.health),
        DNSConfig=nonzero(
            Nameservers=list(container.dns_servers),
            Search=list(container.dns_search),
            Options=list(container.dns_options),
        ),
        Secrets=_references("Secret", container.secrets),
        Configs=_references("Config", container.configs),
    ) | {"StopGracePeriod": nanoseconds(container.stop_grace_s)}


def _references(kind: str, wanted: Sequence[FileReference]) -> list[Value]:
    return [
        {
            "File": {"Name": each.target, "UID": each.uid, "GID": each.gid, "Mode": each.mode},
            f"{kind}ID": each.id,
            f"{kind}Name": each.name,
        }
        for each in wanted
    ]


def _privileges(container: ContainerSpec) -> Object:
    """As in Docker's API, where a profile of one's own is base64 of its text.

    A task only names the profile by its digest; its service has the text.
    """
    seccomp: Object | None = None
    if container.seccomp == UNCONFINED:
        seccomp = {"Mode": "unconfined"}
    elif container.seccomp.startswith("sha256:"):
        seccomp = {"Mode": "custom", "Digest": container.seccomp}
    elif container.seccomp:
        profile = b64encode(container.seccomp.encode()).decode()
        seccomp = {"Mode": "custom", "Profile": profile}
    return nonzero(
        Seccomp=seccomp,
        AppArmor={"Mode": container.apparmor} if container.apparmor else None,
        AllowNewPrivileges=container.allow_new_privileges,
    )


def _healthcheck(health: Healthcheck) -> Object:
    return nonzero(
        Test=list(health.test),
        Interval=nanoseconds(health.interval_s),
        Timeout=nanoseconds(health.timeout_s),
        StartPeriod=nanoseconds(health.start_period_s),
        StartInterval=nanoseconds(health.start_interval_s),
        Retries=health.retries,
    )


def _mount(mount: Mount) -> Object:
    match mount.kind:
        case MountKind.BIND:
            options = (
                "BindOptions",
                nonzero(
                    Propagation=mount.propagation,
                    NonRecursive=mount.nonrecursive,
                    CreateMountpoint=mount.create_source,
                ),
            )
        case MountKind.VOLUME:
            options = (
                "VolumeOptions",
                nonzero(
                    NoCopy=mount.nocopy,
                    Labels=ordered(mount.labels),
                    DriverConfig=nonzero(
                        Name=mount.volume_driver, Options=ordered(mount.volume_options)
                    ),
                    Subpath=mount.volume_subpath,
                    Roams=mount.roams,
                ),
            )
        case MountKind.TMPFS:
            options = (
                "TmpfsOptions",
                nonzero(SizeBytes=mount.tmpfs_size_bytes, Mode=mount.tmpfs_mode),
            )
    return nonzero(
        Type=mount.kind.name.lower(),
        Source=mount.source,
        Target=mount.target,
        ReadOnly=mount.read_only,
    ) | ({options[0]: options[1]} if options[1] else {})
