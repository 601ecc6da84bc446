"""Describe what the cluster holds.

Every class mirrors the message of the same name in `proto/swarm/api/v1/objects.proto`. An
object's version is the etcd revision of its last change: it is kept beside the value by
whoever read it, never inside. Times are seconds since the epoch; 0 means not yet. Tasks and
observations, of which there may be a million, are not looked at by the garbage collector: they
hold nothing that could refer back to them.
"""

from msgspec import Struct, field

from swarm.ids import ClusterId, ConfigId, NetworkId, NodeId, SecretId, ServiceId, TaskId
from swarm.specs import (
    ClusterSpec,
    ConfigSpec,
    GenericResource,
    NetworkSpec,
    NodeSpec,
    Port,
    Resources,
    SecretSpec,
    ServiceSpec,
    Subnet,
    TaskSpec,
)
from swarm.states import HealthState, RolloutState, RunState, TaskState


class LocalImage(Struct, frozen=True, kw_only=True):
    """An image that was loaded or imported on a node, so no registry can vouch for it."""

    reference: str = ""
    digest: str = ""


class NodeDescription(Struct, frozen=True, kw_only=True):
    """What an agent says of its host; `security_options` as Docker's users know them.

    `volumes` are the names of the local volumes that are there. Other nodes send VXLAN to
    `data_path_addr`, or to `addr` when it is empty; `public_key` is WireGuard's, and empty where
    the kernel has none.
    """

    hostname: str = ""
    os: str = ""
    arch: str = ""
    resources: Resources = Resources()
    engine_version: str = ""
    engine_labels: dict[str, str] = field(default_factory=dict[str, str])
    images: tuple[LocalImage, ...] = ()
    addr: str = ""
    security_options: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    data_path_addr: str = ""
    public_key: bytes = b""

    @property
    def remaps_ids(self) -> bool:
        """Whether containers have other ids than the host's own."""
        return any(each.startswith("name=userns") for each in self.security_options)


class Node(Struct, frozen=True, kw_only=True):
    """A host that holds a certificate of the swarm. Without this object it is refused.

    Since `availability_at` its availability is what it is. Its `number`, from 1, is no other
    node's: its address and its mark in the overlay follow from it.
    """

    id: NodeId
    spec: NodeSpec = NodeSpec()
    description: NodeDescription = NodeDescription()
    created_at: float = 0.0
    updated_at: float = 0.0
    availability_at: float = 0.0
    number: int = 0


class Service(Struct, frozen=True, kw_only=True):
    """A service and the version of its task spec.

    `revision` counts the changes of the whole spec; a new version bears the number of the
    revision that made it, and a version that comes back its old one. `previous_spec` is where a
    rollback leads: the last spec before this one that was rolled out.
    """

    id: ServiceId
    spec: ServiceSpec
    previous_spec: ServiceSpec | None = None
    spec_version: int = 1
    created_at: float = 0.0
    updated_at: float = 0.0
    version_at: float = 0.0
    revision: int = 1


class Revision(Struct, frozen=True, kw_only=True):
    """A spec that a service had; `cause` is the command or the planner that asked for it."""

    service_id: ServiceId
    number: int
    spec: ServiceSpec
    spec_version: int = 1
    at: float = 0.0
    cause: str = ""


ROLLED_BACK = "rolled back: "
"""How the message of a rollback begins that a failure caused."""


class Rollout(Struct, frozen=True, kw_only=True):
    """How far a version of the task spec has come.

    `failed` are the replicas (slots, or nodes' ids) whose new tasks failed while they were
    watched, of the `total` there were at the beginning. `changed_at` is when its state was
    entered, or when somebody let it go on.
    """

    state: RolloutState = RolloutState.UPDATING
    spec_version: int = 1
    started_at: float = 0.0
    completed_at: float = 0.0
    message: str = ""
    total: int = 0
    failed: tuple[str, ...] = ()
    promoted: bool = False
    changed_at: float = 0.0

    @property
    def is_automatic(self) -> bool:
        """Whether a failure, and nobody's command, made it lead back."""
        return self.state.is_rollback and self.message.startswith(ROLLED_BACK)


class Span(Struct, frozen=True):
    """Slots from `first` to `last`, both included."""

    first: int = 0
    last: int = 0


class Run(Struct, frozen=True, kw_only=True):
    """One firing of a schedule; its tasks bear its number and are of one version.

    A job without a schedule has one run with the number 0. Slots in `done` came to a good end,
    those in `failed` never will: neither runs again, whatever is left of their tasks. `total`
    counts slots, or the nodes of a global job, and `completed` those that ended well.
    """

    number: int
    due_at: float = 0.0
    started_at: float = 0.0
    ended_at: float = 0.0
    state: RunState = RunState.RUNNING
    spec_version: int = 1
    done: tuple[Span, ...] = ()
    failed: tuple[Span, ...] = ()
    total: int = 0
    completed: int = 0
    message: str = ""


class Ledger(Struct, frozen=True, kw_only=True):
    """What the leader has to remember of a service from one plan to the next.

    `last_run` is the number of the newest run; the firings of `schedule` (its expression and
    time zone) up to `fired_until` are decided.
    `replicas` is what autoscaling wants, 0 while it has not decided.
    """

    service_id: ServiceId
    rollout: Rollout | None = None
    runs: tuple[Run, ...] = ()
    last_run: int = 0
    fired_until: float = 0.0
    replicas: int = 0
    scaled_at: float = 0.0
    scale_message: str = ""
    schedule: str = ""


class SpecVersion(Struct, frozen=True, kw_only=True):
    """One task spec, stored once; tasks refer to it by service and version.

    `labels` and `ports` are the service's, as they were when the version was made: templates use
    labels, tasks hold ports of their nodes, and every task of a version is made from the same.
    """

    service_id: ServiceId
    version: int
    task: TaskSpec
    labels: dict[str, str] = {}
    ports: tuple[Port, ...] = ()

    @classmethod
    def of(cls, service: Service) -> "SpecVersion":
        """The current version of a service."""
        return cls(
            service_id=service.id,
            version=service.spec_version,
            task=service.spec.task,
            labels=service.spec.labels,
            ports=service.spec.endpoint.ports,
        )


class Attachment(Struct, frozen=True, kw_only=True, gc=False):
    """One task's interface in one network: an address of each family that the network has."""

    network_id: NetworkId
    addresses: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()


class Task(Struct, frozen=True, kw_only=True, gc=False):
    """One attempt at running one replica of a service. Never reused after it ends.

    `slot` counts from 1 in a replicated service and is 0 in a global one. `node_id` is empty
    only while no node fits; `message` says why. `restarts` holds when this replica's earlier
    attempts ended, as far back as the restart window looks; `attempt` counts them all. `run`
    is the firing of a schedule that it belongs to. `eviction` says why it is to run elsewhere;
    `claims` are the named resources that are its own, and `attachments` its addresses in the
    swarm's networks, of which the first is its way out.
    """

    id: TaskId
    service_id: ServiceId
    service_name: str = ""
    slot: int = 0
    node_id: NodeId = NodeId("")
    spec_version: int = 1
    desired: TaskState = TaskState.RUNNING
    created_at: float = 0.0
    updated_at: float = 0.0
    message: str = ""
    restarts: tuple[float, ...] = ()
    attempt: int = 0
    run: int = 0
    eviction: str = ""
    claims: tuple[GenericResource, ...] = ()
    attachments: tuple[Attachment, ...] = ()


class Observation(Struct, frozen=True, kw_only=True, gc=False):
    """What an agent last reported of a task; `failing_streak` counts health checks in a row.

    `running_at` is when it became RUNNING, which is kept after it has ended. `ports` are those
    that it has of its node, each with the published one that it got.
    """

    task_id: TaskId
    state: TaskState = TaskState.NEW
    at: float = 0.0
    message: str = ""
    error: str = ""
    pid: int = 0
    exit_code: int = 0
    oom_killed: bool = False
    started_at: float = 0.0
    health: HealthState = HealthState.NONE
    failing_streak: int = 0
    running_at: float = 0.0
    ports: tuple[Port, ...] = ()


class Session(Struct, frozen=True, kw_only=True):
    """Which manager holds a node's session; the key is bound to that manager's lease."""

    node_id: NodeId
    manager_id: NodeId = NodeId("")
    session_id: str = ""
    since: float = 0.0


class Network(Struct, frozen=True, kw_only=True):
    """A network, with what its spec left open filled in.

    `subnets` has at most one of each family, IPv4 first.
    """

    id: NetworkId
    spec: NetworkSpec = NetworkSpec()
    vni: int = 0
    subnets: tuple[Subnet, ...] = ()
    created_at: float = 0.0
    updated_at: float = 0.0


class VirtualAddress(Struct, frozen=True, kw_only=True):
    """A service's own addresses in one network, one of each family that the network has."""

    network_id: NetworkId
    addresses: tuple[str, ...] = ()


class ServiceEndpoint(Struct, frozen=True, kw_only=True):
    """Where a service is reached, as the leader decided; every port has a published one."""

    service_id: ServiceId
    virtual_addresses: tuple[VirtualAddress, ...] = ()
    ports: tuple[Port, ...] = ()


class Guest(Struct, frozen=True, kw_only=True):
    """A container of one node, and no task, in an attachable network of the swarm.

    It asks for `wanted` addresses, or for any; the leader gives it some, or says in `message` why
    not. Its `id` has 64 digits, so it is no task's.
    """

    id: TaskId
    node_id: NodeId
    network_id: NetworkId
    name: str = ""
    aliases: tuple[str, ...] = ()
    wanted: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    message: str = ""
    created_at: float = 0.0
    updated_at: float = 0.0


class Sealed(Struct, frozen=True, kw_only=True):
    """A secret encrypted with the cluster's data key."""

    key_id: str = ""
    nonce: bytes = b""
    ciphertext: bytes = b""


class Secret(Struct, frozen=True, kw_only=True):
    """What tasks read as a file and nobody else reads; `version` counts changes of its data."""

    id: SecretId
    spec: SecretSpec = SecretSpec()
    data: Sealed = Sealed()
    version: int = 1
    created_at: float = 0.0
    updated_at: float = 0.0


class Config(Struct, frozen=True, kw_only=True):
    """A file for tasks, such as their configuration; operators may read it as well."""

    id: ConfigId
    spec: ConfigSpec = ConfigSpec()
    data: Sealed = Sealed()
    version: int = 1
    created_at: float = 0.0
    updated_at: float = 0.0


class Login(Struct, frozen=True, kw_only=True):
    """What nodes fetch a service's images with; `version` counts changes of its data."""

    service_id: ServiceId
    data: Sealed = Sealed()
    version: int = 1


class Cluster(Struct, frozen=True, kw_only=True):
    """The swarm itself. `root_certificate` is PEM."""

    id: ClusterId
    spec: ClusterSpec = ClusterSpec()
    root_certificate: bytes = b""
    root_key: Sealed | None = None
    worker_token: Sealed | None = None
    manager_token: Sealed | None = None
    created_at: float = 0.0
    updated_at: float = 0.0


class Event(Struct, frozen=True, kw_only=True):
    """Something an operator may follow: `kind` is service, node, task or cluster."""

    at: float = 0.0
    kind: str = ""
    action: str = ""
    id: str = ""
    name: str = ""
    attributes: dict[str, str] = field(default_factory=dict[str, str])
