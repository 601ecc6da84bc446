"""Describe objects in full, in the shape that Docker's users know from `inspect`.

The keys are Docker's, so that scripts and templates carry over: durations in nanoseconds, cpu
in billionths, times in RFC 3339. What is unset is left out, as there. Fields that Docker does
not have keep our own names in the same style.
"""

from collections.abc import Iterable, Mapping, Sequence

from msgspec import json

from swarm.api.v1 import control_pb2, images_pb2, objects_pb2
from swarm.codec import from_message
from swarm.objects import (
    Ledger,
    NodeDescription,
    Observation,
    Rollout,
    Run,
    Service,
    ServiceEndpoint,
)
from swarm.specs import GenericResource, NodeSpec, Resources, TaskSpec
from swarmctl import rows
from swarmctl.networks import attached, with_prefix
from swarmctl.pipes import Value
from swarmctl.spec_details import (
    Object,
    endpoint,
    generic,
    nanoseconds,
    nonzero,
    ordered,
    present,
    printed_ports,
    spec_detail,
    task_template,
    word,
)
from swarmctl.times import rfc3339

# What templates may ask for although it is left out where there is none of it: scripts ask
# `{{if .UpdateStatus}}` of services that were never updated.
SERVICE_OPTIONAL = (
    "PreviousSpec", "UpdateStatus", "JobStatus", "Runs", "NextRunAt", "Autoscaling",
)  # fmt: skip
NODE_OPTIONAL = ("ManagerStatus",)
TASK_OPTIONAL = ("Run", "Attempt", "AssignedGenericResources", "Eviction", "NetworksAttachments")


def service_detail(view: control_pb2.ServiceView) -> Object:
    """A service as `service inspect` prints it."""
    service = from_message(Service, view.service)
    ledger = from_message(Ledger, view.ledger)
    is_job = service.spec.is_job
    status: Object = {"RunningTasks": view.running, "DesiredTasks": view.wanted}
    return present(
        ID=service.id,
        Version={"Index": view.version},
        CreatedAt=rfc3339(service.created_at),
        UpdatedAt=rfc3339(service.updated_at),
        Spec=spec_detail(service.spec),
        PreviousSpec=None if service.previous_spec is None else spec_detail(service.previous_spec),
        SpecVersion=service.spec_version,
        Revision=service.revision,
        Endpoint=_endpoint(service, view),
        UpdateStatus=_update_status(ledger.rollout) if ledger.rollout else None,
        ServiceStatus=status | ({"CompletedTasks": view.completed} if is_job else {}),
        JobStatus={
            "JobIteration": {"Index": service.spec_version},
            "LastExecution": rfc3339(service.version_at),
        }
        if is_job
        else None,
        Runs=[_run(each) for each in ledger.runs] or None,
        NextRunAt=rfc3339(view.next_firing_at) if view.next_firing_at else None,
        Autoscaling=present(
            Replicas=ledger.replicas,
            ChangedAt=rfc3339(ledger.scaled_at),
            Message=ledger.scale_message or None,
        )
        if ledger.replicas
        else None,
    )


def _endpoint(service: Service, view: control_pb2.ServiceView) -> Object:
    """How the service is reached, as it was decided; before that, as it is wanted."""
    decided = from_message(ServiceEndpoint, view.endpoint)
    networks = {each.id: each for each in view.networks}
    return {"Spec": endpoint(service.spec.endpoint)} | nonzero(
        Ports=printed_ports(decided.ports or service.spec.endpoint.ports),
        VirtualIPs=[
            {"NetworkID": each.network_id, "Addr": with_prefix(address, networks[each.network_id])}
            for each in decided.virtual_addresses
            for address in each.addresses
            if each.network_id in networks
        ],
    )


def _update_status(rollout: Rollout) -> Object:
    return present(
        State=rollout.state.word,
        StartedAt=rfc3339(rollout.started_at),
        CompletedAt=rfc3339(rollout.completed_at) if rollout.completed_at else None,
        Message=rollout.message,
        Failed=list(rollout.failed) or None,
    )


def _run(run: Run) -> Object:
    return present(
        Number=run.number,
        State=run.state.word,
        DueAt=rfc3339(run.due_at),
        StartedAt=rfc3339(run.started_at) if run.started_at else None,
        EndedAt=rfc3339(run.ended_at) if run.ended_at else None,
        SpecVersion=run.spec_version,
    )


def node_detail(view: control_pb2.NodeView) -> Object:
    """A node as `node inspect` prints it."""
    node = view.node
    spec = from_message(NodeSpec, node.spec)
    description = from_message(NodeDescription, node.description)
    return present(
        ID=node.id,
        Version={"Index": view.version},
        CreatedAt=rfc3339(node.created_at),
        UpdatedAt=rfc3339(node.updated_at),
        Spec={
            "Labels": ordered(spec.labels),
            "Role": spec.role.word,
            "Availability": spec.availability.word,
            **nonzero(
                Taints=[
                    {"Key": each.key, "Value": each.value, "Effect": word(each.effect)}
                    for each in spec.taints
                ],
                DrainTimeout=nanoseconds(spec.drain_timeout_s),
            ),
        },
        Description={
            "Hostname": description.hostname,
            "Platform": {"Architecture": description.arch, "OS": description.os},
            "Resources": {
                "NanoCPUs": description.resources.cpu_millis * 1_000_000,
                "MemoryBytes": description.resources.memory_bytes,
                **nonzero(GenericResources=generic(description.resources)),
            },
            "Engine": {
                "EngineVersion": description.engine_version,
                "Labels": ordered(description.engine_labels),
            },
            "SecurityOptions": list(description.security_options),
            **nonzero(Volumes=list(description.volumes)),
        },
        Status=present(
            State=rows.node_state(view),
            Message=view.message,
            Addr=description.addr,
        ),
        ManagerStatus=present(
            Leader=view.is_leader,
            Reachability=rows.manager_status(view).lower().replace("leader", "reachable"),
            Addr=view.manager_addr,
        )
        if spec.role.word == "manager"
        else None,
    )


def inspected_task(answer: control_pb2.InspectTaskResponse) -> Object:
    """A task with the log of its health checks, the newest last, and its networks."""
    log: list[Value] = [
        {
            "Start": rfc3339(each.started_at),
            "End": rfc3339(each.finished_at),
            "ExitCode": each.exit_code,
            "Output": each.output,
        }
        for each in answer.health_log
    ]
    return task_detail(answer.task, log, answer.networks)


def task_detail(
    view: control_pb2.TaskView,
    health_log: Sequence[Value] = (),
    networks: Iterable[objects_pb2.Network] = (),
) -> Object:
    """A task, for templates and JSON. Its `networks` are those of its attachments."""
    known = {each.id: each for each in networks}
    task, seen = view.task, from_message(Observation, view.observation)
    claims = tuple(from_message(GenericResource, each) for each in task.claims)
    return present(
        ID=task.id,
        Version={"Index": view.version},
        CreatedAt=rfc3339(task.created_at),
        UpdatedAt=rfc3339(task.updated_at),
        Spec=task_template(from_message(TaskSpec, view.spec)),
        ServiceID=task.service_id,
        Slot=task.slot,
        Run=task.run or None,
        Attempt=task.attempt or None,
        NodeID=task.node_id,
        AssignedGenericResources=generic(Resources(generic=claims)) or None,
        Eviction=task.eviction or None,
        Status=present(
            Timestamp=rfc3339(seen.at),
            State=rows.task_state(view),
            Message=seen.message or task.message,
            Err=rows.task_error(view),
            ContainerStatus=present(PID=seen.pid, ExitCode=seen.exit_code),
            Health={
                "Status": seen.health.word,
                "FailingStreak": seen.failing_streak,
                "Log": list(health_log),
            }
            if seen.health
            else None,
            PortStatus={"Ports": printed_ports(seen.ports)} if seen.ports else None,
        ),
        NetworksAttachments=[
            attached(known[each.network_id], each.addresses)
            for each in task.attachments
            if each.network_id in known
        ]
        or None,
        DesiredState=rows.task_desired(view),
    )


def image_detail(answer: images_pb2.InspectImageResponse) -> Object:
    """An image as `image inspect` prints it."""
    image = answer.image
    config: Value = json.decode(answer.config_json or b"{}")
    assert isinstance(config, Mapping), "the agent has checked the configuration"
    names = [rows.image_name(each, rows.Detail()) for each in image.references]
    return present(
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
