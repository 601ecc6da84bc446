"""Show the view to callers: each object with what is known of it now."""

from msgspec import structs

from manager import layout
from manager.control.contents import opened
from manager.control.members import Members
from manager.control.networks import Users
from manager.job_counts import count_job
from manager.progress import Progress, measure
from manager.view import ClusterView
from swarm.api.v1 import control_pb2, objects_pb2, specs_pb2
from swarm.codec import to_message
from swarm.ids import ConfigId, NetworkId, NodeId, SecretId, ServiceId, TaskId
from swarm.objects import Cluster, Observation, Service, ServiceEndpoint
from swarm.sealing import DataKey
from swarm.seccomp import named
from swarm.specs import TaskSpec
from swarm.states import NodeState


def cluster_message(cluster: Cluster) -> objects_pb2.Cluster:
    """The swarm without its secrets, sealed though they are."""
    message: objects_pb2.Cluster = to_message(cluster)
    for name in ("root_key", "worker_token", "manager_token"):
        message.ClearField(name)
    return message


def node_view(view: ClusterView, node_id: NodeId, *, leader_id: str) -> control_pb2.NodeView:
    """A node, and what is believed of it."""
    state = view.node_state(node_id)
    return control_pb2.NodeView(
        node=to_message(view.nodes[node_id]),
        version=view.version(layout.node_key(node_id)),
        state=objects_pb2.NodeState.ValueType(int(state)),
        message=_DOUBTS.get(state, ""),
        is_leader=node_id == leader_id,
        manager_addr=view.managers.get(node_id, ""),
    )


def service_view(view: ClusterView, service_id: ServiceId) -> control_pb2.ServiceView:
    """A service, and how many of its tasks run."""
    progress, service = measure(view, service_id), view.services[service_id]
    ledger, endpoint = view.ledgers.get(service_id), view.endpoints.get(service_id)
    counts = count_job(view, service) if service.spec.is_job else None
    if counts is not None:  # with a schedule nothing is awaited, and yet there is a run to tell of
        progress = structs.replace(
            progress,
            wanted=counts.total or progress.wanted,
            serving=counts.completed + counts.active,
        )
    return control_pb2.ServiceView(
        service=to_message(service),
        version=view.version(layout.service_key(service_id)),
        wanted=progress.wanted,
        running=progress.serving,
        ledger=None if ledger is None else to_message(ledger),
        completed=counts.completed if counts is not None else 0,
        total=counts.total if counts is not None else 0,
        next_firing_at=counts.next_firing_at if counts is not None else 0.0,
        endpoint=None if endpoint is None else to_message(endpoint),
        networks=_networks_of_service(view, service, endpoint),
    )


def network_view(view: ClusterView, network_id: NetworkId, used: Users) -> control_pb2.NetworkView:
    """A network, and what uses it."""
    return control_pb2.NetworkView(
        network=to_message(view.networks[network_id]),
        version=view.version(layout.network_key(network_id)),
        services=used.services,
        tasks=len(used.tasks),
        guests=len(used.guests),
    )


def members_message(view: ClusterView, members: Members) -> control_pb2.InspectNetworkResponse:
    """Who is in a network."""
    guests = map(to_message, members.guests)
    answer = control_pb2.InspectNetworkResponse(capacity=members.capacity, guests=guests)
    for service in members.services:
        message = answer.services.add(
            service_id=service.service_id,
            name=service.name,
            mode=specs_pb2.EndpointMode.ValueType(int(service.mode)),
            virtual_addresses=service.addresses,
            ports=map(to_message, service.ports),
            aliases=service.aliases,
        )
        for member in service.tasks:
            node = view.nodes.get(member.task.node_id)
            message.tasks.add(
                task_id=member.task.id,
                name=member.name,
                node_id=member.task.node_id,
                node_hostname=node.description.hostname if node is not None else "",
                addresses=member.attachment.addresses,
                aliases=member.attachment.aliases,
                is_serving=not member.why_not,
                state=objects_pb2.TaskState.ValueType(int(member.state)),
                why_not=member.why_not,
            )
    for peer in members.peers:
        answer.peers.add(
            node_id=peer.node_id,
            hostname=peer.hostname,
            number=peer.number,
            address=peer.address,
            state=objects_pb2.NodeState.ValueType(int(peer.state)),
            tasks=peer.tasks,
        )
    return answer


def networks_of_task(view: ClusterView, task_id: TaskId) -> list[objects_pb2.Network]:
    """The networks that a task is attached to."""
    task = view.tasks[task_id]
    found = (view.networks.get(each.network_id) for each in task.attachments)
    return [to_message(each) for each in found if each is not None]


def secret_view(view: ClusterView, secret_id: SecretId) -> control_pb2.SecretView:
    """A secret without its data."""
    secret = view.secrets[secret_id]
    return control_pb2.SecretView(
        id=secret.id,
        spec=to_message(secret.spec),
        version=secret.version,
        created_at=secret.created_at,
        updated_at=secret.updated_at,
        revision=view.version(layout.secret_key(secret_id)),
    )


def config_view(view: ClusterView, config_id: ConfigId, key: DataKey) -> control_pb2.ConfigView:
    """A config with its data in clear."""
    config, content = view.configs[config_id], opened(view, key, config_id)
    return control_pb2.ConfigView(
        id=config.id,
        spec=to_message(config.spec),
        version=config.version,
        created_at=config.created_at,
        updated_at=config.updated_at,
        data=content.data if content is not None else b"",
        revision=view.version(layout.config_key(config_id)),
    )


def progress_message(progress: Progress) -> control_pb2.ServiceProgress:
    """How far a service has come."""
    return control_pb2.ServiceProgress(
        wanted=progress.wanted,
        running=progress.running,
        states=progress.states,
        problems=progress.problems,
        removed=progress.removed,
        old=progress.old,
        failure=progress.failure,
        rollout=None if progress.rollout is None else to_message(progress.rollout),
        completed=progress.done,
    )


def task_view(view: ClusterView, task_id: TaskId) -> control_pb2.TaskView:
    """A task, what was seen of it, what it is made from, and where it is."""
    task = view.tasks[task_id]
    node = view.nodes.get(task.node_id)
    seen = view.observation(task) or Observation(task_id=task_id, state=view.state(task))
    return control_pb2.TaskView(
        task=to_message(task),
        version=view.version(layout.task_key(task.service_id, task_id)),
        observation=to_message(seen),
        spec=_task_spec(view.task_spec(task.service_id, task.spec_version) or TaskSpec()),
        node_hostname=node.description.hostname if node is not None else "",
    )


def _networks_of_service(
    view: ClusterView, service: Service, endpoint: ServiceEndpoint | None
) -> list[objects_pb2.Network]:
    """The networks that the service's specs, and its endpoint, refer to by id."""
    specs = [service.spec, *((service.previous_spec,) if service.previous_spec else ())]
    ids = [NetworkId(each.target) for spec in specs for each in spec.task.networks]
    ids += [each.network_id for each in endpoint.virtual_addresses] if endpoint is not None else []
    found = (view.networks.get(each) for each in dict.fromkeys(ids))
    return [to_message(each) for each in found if each is not None]


def _task_spec(spec: TaskSpec) -> specs_pb2.TaskSpec:
    """A profile is as large as thousands of tasks without one: the digest stands for it."""
    message: specs_pb2.TaskSpec = to_message(spec)
    message.container.seccomp = named(spec.container.seccomp)
    return message


_DOUBTS = {
    NodeState.DOWN: "three heartbeats were missed",
    NodeState.UNKNOWN: "not heard of yet since the leader changed",
}
