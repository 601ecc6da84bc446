"""Build clusters for tests: a store's worth of keys, and the view that follows them."""

from collections.abc import Iterable
from random import Random

from msgspec import Struct, structs

from manager import layout
from manager.applied import Applied
from manager.networks.numbers import free_number
from manager.view import ClusterView
from swarm.codec import pack
from swarm.ids import NetworkId, NodeId, ServiceId, TaskId
from swarm.objects import (
    Cluster,
    Guest,
    Network,
    Node,
    NodeDescription,
    Observation,
    Service,
    Session,
    SpecVersion,
    Task,
)
from swarm.specs import (
    Availability,
    ClusterSpec,
    EndpointSpec,
    GenericResource,
    NetworkSpec,
    NodeSpec,
    Replicated,
    Resources,
    ServiceSpec,
    Subnet,
    Taint,
    TaskSpec,
    UpdatePolicy,
)
from swarm.states import TaskState
from swarm.subnets import gateway_of

MEBI = 1 << 20


class Changed(Struct, frozen=True):
    """One change as a watch delivers it."""

    key: str
    value: bytes | None
    mod_revision: int


class World:
    """Keys with revisions, a clock, and a view that has seen everything."""

    def __init__(self) -> None:
        self.revision = 0
        self.now = 1_000_000.0
        self.random = Random(7)
        self.keys: dict[str, tuple[bytes, int]] = {}
        self.view = ClusterView()
        self.view.replace([], 0, now=self.now)

    def write(self, *pairs: tuple[str, Struct | str | None], ahead: bool = False) -> Applied:
        """Commit one group and let the view see it."""
        changes = self.commit(*pairs)
        return self.view.apply(changes, self.revision, now=self.now, ahead=ahead)

    def commit(self, *pairs: tuple[str, Struct | str | None]) -> list[Changed]:
        """Commit one group that the view does not see yet."""
        self.revision += 1
        return [self._change(key, value) for key, value in pairs]

    def listing(self) -> list[Changed]:
        """Everything there is."""
        return [Changed(key, value, at) for key, (value, at) in sorted(self.keys.items())]

    def _change(self, key: str, value: Struct | str | None) -> Changed:
        if value is None:
            self.keys.pop(key, None)
            return Changed(key, None, self.revision)
        packed = value.encode() if isinstance(value, str) else pack(value)
        self.keys[key] = packed, self.revision
        return Changed(key, packed, self.revision)

    # -- nodes ---------------------------------------------------------------------------

    def node(
        self,
        name: str,
        *,
        cpu_millis: int = 4000,
        memory_bytes: int = 4096 * MEBI,
        availability: Availability = Availability.ACTIVE,
        labels: dict[str, str] | None = None,
        ready: bool = True,
        security_options: tuple[str, ...] = (),
        taints: tuple[Taint, ...] = (),
        generic: tuple[GenericResource, ...] = (),
        volumes: tuple[str, ...] = (),
        public_key: bytes = b"",
    ) -> NodeId:
        """Add a node, with a session unless it is not `ready`."""
        node = Node(
            id=NodeId(name),
            number=free_number(self.view),
            spec=NodeSpec(availability=availability, labels=labels or {}, taints=taints),
            description=NodeDescription(
                hostname=f"host-{name}",
                os="linux",
                arch="x86_64",
                resources=Resources(
                    cpu_millis=cpu_millis, memory_bytes=memory_bytes, generic=generic
                ),
                security_options=security_options,
                volumes=volumes,
                public_key=public_key,
            ),
        )
        self.write((layout.node_key(node.id), node))
        if ready:
            self.connect(node.id)
        return node.id

    def nodes(self, count: int) -> list[NodeId]:
        """Add `count` equal nodes."""
        return [self.node(f"n{number:04d}") for number in range(count)]

    def connect(self, node_id: NodeId, *, manager: str = "m1") -> Applied:
        """Give the node a session."""
        session = Session(node_id=node_id, manager_id=NodeId(manager), since=self.now)
        return self.write((layout.session_key(node_id), session))

    def disconnect(self, node_id: NodeId) -> Applied:
        """End the node's session: it is DOWN."""
        return self.write((layout.session_key(node_id), None))

    def set_node(self, node_id: NodeId, **fields: object) -> Applied:
        """Change the spec of a node."""
        node = self.view.nodes[node_id]
        spec = structs.replace(node.spec, **fields)
        return self.write((layout.node_key(node_id), structs.replace(node, spec=spec)))

    # -- services ------------------------------------------------------------------------

    def service(
        self,
        name: str = "web",
        *,
        replicas: int = 1,
        task: TaskSpec | None = None,
        update: UpdatePolicy | None = None,
        mode: object = None,
        endpoint: EndpointSpec | None = None,
    ) -> ServiceId:
        """Create a service as the control API does."""
        service = Service(
            id=ServiceId(f"s-{name}"),
            spec=ServiceSpec(
                name=name,
                mode=mode or Replicated(replicas=replicas),
                task=task or TaskSpec(),
                update=update or UpdatePolicy(),
                endpoint=endpoint or EndpointSpec(),
            ),
            created_at=self.now,
            updated_at=self.now,
            version_at=self.now,
        )
        self.write(
            (layout.service_key(service.id), service),
            (layout.version_key(service.id, 1), _version(service)),
            (layout.name_key("service", name), service.id),
        )
        return service.id

    def scale(self, service_id: ServiceId, replicas: int) -> Applied:
        """Change the number of replicas."""
        return self.set_service(service_id, mode=Replicated(replicas=replicas))

    def set_service(self, service_id: ServiceId, **fields: object) -> Applied:
        """Change the spec of a service but not its task."""
        old = self.view.services[service_id]
        spec = structs.replace(old.spec, **fields)
        new = structs.replace(old, spec=spec, updated_at=self.now)
        return self.write((layout.service_key(service_id), new))

    def new_version(self, service_id: ServiceId, **fields: object) -> Applied:
        """Change the task spec of a service; without `fields`, as `--force` does."""
        old = self.view.services[service_id]
        changed = fields or {"force_update": old.spec.task.force_update + 1}
        spec = structs.replace(old.spec, task=structs.replace(old.spec.task, **changed))
        new = structs.replace(
            old,
            spec=spec,
            previous_spec=old.spec,
            spec_version=old.spec_version + 1,
            updated_at=self.now,
            version_at=self.now,
        )
        return self.write(
            (layout.service_key(service_id), new),
            (layout.version_key(service_id, new.spec_version), _version(new)),
        )

    def remove_service(self, service_id: ServiceId) -> Applied:
        """Remove a service as the control API does."""
        name = self.view.services[service_id].spec.name
        return self.write(
            (layout.service_key(service_id), None), (layout.name_key("service", name), None)
        )

    def history_limit(self, limit: int) -> Applied:
        """Set how many attempts are kept for each slot."""
        return self.cluster(ClusterSpec(task_history_limit=limit))

    def cluster(self, spec: ClusterSpec) -> Applied:
        """Set what is wanted of the whole swarm."""
        return self.write((layout.CLUSTER, Cluster(id="c", spec=spec)))

    # -- tasks ---------------------------------------------------------------------------

    def network(
        self,
        name: str = "net",
        *,
        subnet: str = "10.9.0.0/24",
        subnet6: str = "",
        ingress: bool = False,
        encrypted: bool = False,
        attachable: bool = False,
    ) -> NetworkId:
        """Create a network as the control API does; its id is its name with an `n-` before."""
        given = [Subnet(subnet=subnet), *([Subnet(subnet=subnet6)] if subnet6 else [])]
        network = Network(
            id=NetworkId(f"n-{name}"),
            spec=NetworkSpec(
                name=name,
                ipv6=bool(subnet6),
                ingress=ingress,
                encrypted=encrypted,
                attachable=attachable,
            ),
            vni=4097 + len(self.view.networks),
            subnets=tuple(structs.replace(each, gateway=str(gateway_of(each))) for each in given),
            created_at=self.now,
        )
        self.write(
            (layout.network_key(network.id), network),
            (layout.name_key(layout.NETWORK_NAMES, name), network.id),
        )
        return network.id

    def guest(
        self, container: str, network_id: NetworkId, *addresses: str, node_id: str = "a"
    ) -> Guest:
        """Write a container of a node that is in a network, or is to be without addresses."""
        guest = Guest(
            id=TaskId(container),
            node_id=NodeId(node_id),
            network_id=network_id,
            name=f"name-of-{container}",
            addresses=addresses,
        )
        self.write((layout.guest_key(guest.id, network_id), guest))
        return guest

    def task(self, task: Task) -> Applied:
        """Write a task as the leader does."""
        return self.write((layout.task_key(task.service_id, task.id), task))

    def report(
        self, task: Task | TaskId, state: TaskState, *, at: float | None = None, **fields: object
    ) -> Applied:
        """Report a state of a task as its node's dispatcher does."""
        task = task if isinstance(task, Task) else self.view.tasks[task]
        when = self.now if at is None else at
        before = self.view.observation(task)
        running_at = before.running_at if before is not None else 0.0
        fields.setdefault("running_at", when if state is TaskState.RUNNING else running_at)
        seen = Observation(task_id=task.id, state=state, at=when, **fields)
        return self.write((layout.observed_key(task.node_id, task.id), seen))

    def report_all(self, tasks: Iterable[Task], state: TaskState) -> None:
        """Report the same state of many tasks."""
        for task in tasks:
            self.report(task, state)


def _version(service: Service) -> SpecVersion:
    return SpecVersion.of(service)
