"""Tell who is in a network: its services, their tasks, and the nodes that those are on.

A task answers for its service there while it runs, is well, and is to go on. One that was
connected by hand stands beside the tasks of its service, although the service itself is elsewhere.
"""

from collections.abc import Iterable, Sequence
from ipaddress import ip_network

from msgspec import Struct

from manager.control.targets import full_name
from manager.networks.attaching import networks_of_version
from manager.view import ClusterView
from swarm.ids import NetworkId, NodeId, ServiceId
from swarm.objects import Attachment, Guest, Network, Service, SpecVersion, Task
from swarm.specs import EndpointMode, Port, Subnet
from swarm.states import HealthState, NodeState, TaskState
from swarm.subnets import room_in

_COUNTED_BITS = 32


class TaskMember(Struct, frozen=True, kw_only=True):
    """A task's place in the network; `why_not` says why it does not answer, if it does not."""

    task: Task
    name: str
    attachment: Attachment
    state: TaskState
    why_not: str = ""


class ServiceMember(Struct, frozen=True, kw_only=True):
    """A service in the network; one that was removed has tasks only."""

    service_id: ServiceId
    name: str
    mode: EndpointMode = EndpointMode.VIP
    addresses: tuple[str, ...] = ()
    ports: tuple[Port, ...] = ()
    aliases: tuple[str, ...] = ()
    tasks: tuple[TaskMember, ...] = ()


class PeerMember(Struct, frozen=True, kw_only=True):
    """A node that has tasks in the network, and what others reach it by."""

    node_id: NodeId
    hostname: str = ""
    number: int = 0
    address: str = ""
    state: NodeState = NodeState.UNKNOWN
    tasks: int = 0


class Members(Struct, frozen=True, kw_only=True):
    """All that is in a network; `capacity` says how much room its subnets have."""

    services: tuple[ServiceMember, ...] = ()
    guests: tuple[Guest, ...] = ()
    peers: tuple[PeerMember, ...] = ()
    capacity: str = ""


def members_of(view: ClusterView, network_id: NetworkId, tasks: Sequence[Task]) -> Members:
    """Who is in a network now; `tasks` are those that are (`networks.tasks_in`)."""
    network, by_service = view.networks[network_id], dict[ServiceId, list[Task]]()
    for task in tasks:
        by_service.setdefault(task.service_id, []).append(task)
    for service_id in view.members(network_id):
        if service_id in view.services and _names(view, view.services[service_id], network_id):
            by_service.setdefault(service_id, [])
    services = [_service(view, network_id, each, of) for each, of in by_service.items()]
    return Members(
        services=tuple(sorted(services, key=lambda each: (each.name, each.service_id))),
        guests=tuple(_guests(view, network_id)),
        peers=tuple(peers_of(view, network_id, tasks)),
        capacity=_capacity(view, network, tasks),
    )


def peers_of(view: ClusterView, network_id: NetworkId, tasks: Iterable[Task]) -> list[PeerMember]:
    """The nodes that have these tasks of a network, or guests in it, by host name."""
    counts = {each.node_id: 0 for each in _guests(view, network_id)}
    for task in tasks:
        if task.node_id:
            counts[task.node_id] = counts.get(task.node_id, 0) + 1
    found = [_peer(view, node_id, count) for node_id, count in counts.items()]
    return sorted(found, key=lambda each: (each.hostname, each.node_id))


def why_not_serving(view: ClusterView, task: Task) -> str:
    """Why a task does not answer for its service; empty when it does."""
    state, seen = view.state(task), view.observation(task)
    if task.desired > TaskState.RUNNING:
        return "it is being stopped"
    if state is not TaskState.RUNNING:
        return f"it is {state.word}"
    if seen is not None and seen.health is HealthState.UNHEALTHY:
        return "its health check fails"
    if view.node_state(task.node_id) is NodeState.DOWN:
        return "its node is down"
    return ""


def _service(
    view: ClusterView, network_id: NetworkId, service_id: ServiceId, tasks: Sequence[Task]
) -> ServiceMember:
    members = tuple(_task(view, network_id, each) for each in tasks)
    service, endpoint = view.services.get(service_id), view.endpoints.get(service_id)
    if service is None:
        name = next((each.service_name for each in tasks if each.service_name), service_id)
        return ServiceMember(service_id=service_id, name=name, tasks=members)
    own = endpoint.virtual_addresses if endpoint is not None else ()
    ports = endpoint.ports if endpoint is not None else ()
    return ServiceMember(
        service_id=service_id,
        name=service.spec.name,
        mode=service.spec.endpoint.mode,
        addresses=next((each.addresses for each in own if each.network_id == network_id), ()),
        ports=ports or service.spec.endpoint.ports,
        aliases=next((each.aliases for each in service.spec.task.networks
                      if each.target == network_id), ()),
        tasks=members,
    )  # fmt: skip


def _task(view: ClusterView, network_id: NetworkId, task: Task) -> TaskMember:
    attachment = next(each for each in task.attachments if each.network_id == network_id)
    why_not = why_not_serving(view, task)
    if not attachment.addresses:
        why_not = why_not or "it has no address yet"
    return TaskMember(
        task=task,
        name=full_name(task),
        attachment=attachment,
        state=view.state(task),
        why_not=why_not,
    )


def _peer(view: ClusterView, node_id: NodeId, count: int) -> PeerMember:
    node = view.nodes.get(node_id)
    if node is None:
        return PeerMember(node_id=node_id, tasks=count)
    told = node.description
    return PeerMember(
        node_id=node_id,
        hostname=told.hostname,
        number=node.number,
        address=told.data_path_addr or told.addr,
        state=view.node_state(node_id),
        tasks=count,
    )


def _names(view: ClusterView, service: Service, network_id: NetworkId) -> bool:
    """Whether the service is in the network by its present spec."""
    ingress = view.ingress.id if view.ingress is not None else None
    return network_id in networks_of_version(SpecVersion.of(service), ingress)


def _guests(view: ClusterView, network_id: NetworkId) -> list[Guest]:
    """The containers that are no tasks, in order of their names."""
    found = (each for each in view.guests_in(network_id).values() if each.addresses)
    return sorted(found, key=lambda each: (each.name, each.id))


def _capacity(view: ClusterView, network: Network, tasks: Iterable[Task]) -> str:
    """`10.0.1.0/24: 3 of 253 addresses taken`, for each subnet."""
    held = [
        address
        for task in tasks
        for each in task.attachments
        if each.network_id == network.id
        for address in each.addresses
    ]
    held += [address for each in _guests(view, network.id) for address in each.addresses]
    held += [
        address
        for endpoint in view.endpoints.values()
        for each in endpoint.virtual_addresses
        if each.network_id == network.id
        for address in each.addresses
    ]
    return "; ".join(_taken(each, held) for each in network.subnets)


def _taken(subnet: Subnet, held: Iterable[str]) -> str:
    chosen = ip_network(subnet.ip_range or subnet.subnet)
    count = sum((":" in each) is (chosen.version == 6) for each in held)
    bits = chosen.max_prefixlen - chosen.prefixlen
    room = f"2^{bits}" if bits > _COUNTED_BITS else str(room_in(subnet))
    return f"{chosen}: {count} of {room} addresses taken"
