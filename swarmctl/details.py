"""Describe objects in full, in the shape that Docker's users know from `inspect`.

The keys are Docker's, so that scripts and templates carry over: durations in nanoseconds, cpu
in billionths, times in RFC 3339. What is unset is left out, as there. Fields that Docker does
not have keep our own names in the same style.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence

from msgspec import json

from swarm.api.v1 import control_pb2, images_pb2
from swarm.codec import from_message
from swarm.objects import NodeDescription, Observation, Service
from swarm.seccomp import UNCONFINED
from swarm.specs import (
    ContainerSpec,
    Healthcheck,
    Mount,
    MountKind,
    NodeSpec,
    Replicated,
    RestartCondition,
    ServiceSpec,
    TaskSpec,
)
from swarmctl import rows
from swarmctl.pipes import Value
from swarmctl.times import rfc3339

Object = dict[str, Value]


def service_detail(view: control_pb2.ServiceView) -> Object:
    """A service as `service inspect` prints it."""
    service = from_message(Service, view.service)
    return _present(
        ID=service.id,
        Version={"Index": view.version},
        CreatedAt=rfc3339(service.created_at),
        UpdatedAt=rfc3339(service.updated_at),
        Spec=spec_detail(service.spec),
        PreviousSpec=None if service.previous_spec is None else spec_detail(service.previous_spec),
        SpecVersion=service.spec_version,
        ServiceStatus={"RunningTasks": view.running, "DesiredTasks": view.wanted},
    )


def spec_detail(spec: ServiceSpec) -> Object:
    """The spec part of a service."""
    match spec.mode:
        case Replicated(replicas=replicas):
            mode: Object = {"Replicated": {"Replicas": replicas}}
        case _:
            mode = {"Global": {}}
    return {
        "Name": spec.name,
        "Labels": dict(spec.labels),
        "TaskTemplate": _task_template(spec.task),
        "Mode": mode,
        "UpdateConfig": {
            "Parallelism": spec.update.parallelism,
            "Delay": _nanoseconds(spec.update.delay_s),
        },
    }


def node_detail(view: control_pb2.NodeView) -> Object:
    """A node as `node inspect` prints it."""
    node = view.node
    spec = from_message(NodeSpec, node.spec)
    description = from_message(NodeDescription, node.description)
    return _present(
        ID=node.id,
        Version={"Index": view.version},
        CreatedAt=rfc3339(node.created_at),
        UpdatedAt=rfc3339(node.updated_at),
        Spec={
            "Labels": dict(spec.labels),
            "Role": spec.role.word,
            "Availability": spec.availability.word,
        },
        Description={
            "Hostname": description.hostname,
            "Platform": {"Architecture": description.arch, "OS": description.os},
            "Resources": {
                "NanoCPUs": description.resources.cpu_millis * 1_000_000,
                "MemoryBytes": description.resources.memory_bytes,
            },
            "Engine": {
                "EngineVersion": description.engine_version,
                "Labels": dict(description.engine_labels),
            },
            "SecurityOptions": list(description.security_options),
        },
        Status=_present(
            State=rows.node_row(view, self_id="")["Status"].lower(),
            Message=view.message,
            Addr=description.addr,
        ),
        ManagerStatus=_present(
            Leader=view.is_leader,
            Reachability=rows.manager_status(view).lower().replace("leader", "reachable"),
            Addr=view.manager_addr,
        )
        if spec.role.word == "manager"
        else None,
    )


def inspected_task(answer: control_pb2.InspectTaskResponse) -> Object:
    """A task with the log of its health checks, the newest last."""
    log: list[Value] = [
        {
            "Start": rfc3339(each.started_at),
            "End": rfc3339(each.finished_at),
            "ExitCode": each.exit_code,
            "Output": each.output,
        }
        for each in answer.health_log
    ]
    return task_detail(answer.task, log)


def task_detail(view: control_pb2.TaskView, health_log: Sequence[Value] = ()) -> Object:
    """A task, for templates and JSON."""
    task, seen = view.task, from_message(Observation, view.observation)
    return _present(
        ID=task.id,
        Version={"Index": view.version},
        CreatedAt=rfc3339(task.created_at),
        UpdatedAt=rfc3339(task.updated_at),
        Spec=_task_template(from_message(TaskSpec, view.spec)),
        ServiceID=task.service_id,
        Slot=task.slot,
        NodeID=task.node_id,
        Status=_present(
            Timestamp=rfc3339(seen.at),
            State=rows.task_state(view),
            Message=seen.message or task.message,
            Err=rows.task_error(view),
            ContainerStatus=_present(PID=seen.pid, ExitCode=seen.exit_code),
            Health={
                "Status": seen.health.word,
                "FailingStreak": seen.failing_streak,
                "Log": list(health_log),
            }
            if seen.health
            else None,
        ),
        DesiredState=rows.task_desired(view),
    )


def image_detail(answer: images_pb2.InspectImageResponse) -> Object:
    """An image as `image inspect` prints it."""
    image = answer.image
    config: Value = json.decode(answer.config_json or b"{}")
    assert isinstance(config, Mapping), "the agent has checked the configuration"
    names = [rows.image_name(each, rows.Detail()) for each in image.references]
    return _present(
        Id=image.id,
        RepoTags=names,
        RepoDigests=[f"{each.rpartition(':')[0]}@{image.digest}" for each in names],
        Created=rfc3339(image.created_at),
        Architecture=config.get("architecture"),
        Os=config.get("os"),
        Size=image.size_bytes,
        Local=image.local,
        Config=config.get("config"),
        RootFS=config.get("rootfs"),
        Manifest=json.decode(answer.manifest_json or b"null"),
    )


def _task_template(task: TaskSpec) -> Object:
    return _present(
        ContainerSpec=_container(task.container),
        Resources={
            "Limits": _nonzero(
                NanoCPUs=task.limits.cpu_millis * 1_000_000,
                MemoryBytes=task.limits.memory_bytes,
                Pids=task.limits.pids,
                SwapBytes=task.limits.swap_bytes,
            ),
            "Reservations": _nonzero(
                NanoCPUs=task.reservations.cpu_millis * 1_000_000,
                MemoryBytes=task.reservations.memory_bytes,
            ),
        },
        RestartPolicy=_present(
            Condition=_CONDITIONS[task.restart.condition],
            Delay=_nanoseconds(task.restart.delay_s),
            MaxAttempts=task.restart.max_attempts,
            Window=_nanoseconds(task.restart.window_s) or None,
        ),
        Placement=_nonzero(
            Constraints=list(task.placement.constraints),
            MaxReplicas=task.placement.max_replicas_per_node,
        ),
        Networks=[{"Target": name} for name in task.networks] or None,
        ForceUpdate=task.force_update,
    )


_CONDITIONS = {
    RestartCondition.ANY: "any",
    RestartCondition.NONE: "none",
    RestartCondition.ON_FAILURE: "on-failure",
}


def _container(container: ContainerSpec) -> Object:
    return _nonzero(
        Image=container.image,
        Labels=dict(container.labels),
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
        Sysctls=dict(container.sysctls),
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
    ) | {"StopGracePeriod": _nanoseconds(container.stop_grace_s)}


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
    return _nonzero(
        Seccomp=seccomp,
        AppArmor={"Mode": container.apparmor} if container.apparmor else None,
        AllowNewPrivileges=container.allow_new_privileges,
    )


def _healthcheck(health: Healthcheck) -> Object:
    return _nonzero(
        Test=list(health.test),
        Interval=_nanoseconds(health.interval_s),
        Timeout=_nanoseconds(health.timeout_s),
        StartPeriod=_nanoseconds(health.start_period_s),
        StartInterval=_nanoseconds(health.start_interval_s),
        Retries=health.retries,
    )


def _mount(mount: Mount) -> Object:
    match mount.kind:
        case MountKind.BIND:
            options = ("BindOptions", _nonzero(Propagation=mount.propagation))
        case MountKind.VOLUME:
            options = (
                "VolumeOptions",
                _nonzero(NoCopy=mount.nocopy, Labels=dict(mount.labels)),
            )
        case MountKind.TMPFS:
            options = (
                "TmpfsOptions",
                _nonzero(SizeBytes=mount.tmpfs_size_bytes, Mode=mount.tmpfs_mode),
            )
    return _nonzero(
        Type=mount.kind.name.lower(),
        Source=mount.source,
        Target=mount.target,
        ReadOnly=mount.read_only,
    ) | ({options[0]: options[1]} if options[1] else {})


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1_000_000_000)


def _present(**fields: Value) -> Object:
    return {name: value for name, value in fields.items() if value is not None}


def _nonzero(**fields: Value) -> Object:
    return {name: value for name, value in fields.items() if value}
