"""Describe what the cluster holds.

Every class mirrors the message of the same name in `proto/swarm/api/v1/objects.proto`. An
object's version is the etcd revision of its last change: it is kept beside the value by
whoever read it, never inside. Times are seconds since the epoch; 0 means not yet.
"""

from msgspec import Struct, field

from swarm.ids import ClusterId, NodeId, ServiceId, TaskId
from swarm.specs import ClusterSpec, NodeSpec, Resources, ServiceSpec, TaskSpec
from swarm.states import HealthState, TaskState


class LocalImage(Struct, frozen=True, kw_only=True):
    """An image that was loaded or imported on a node, so no registry can vouch for it."""

    reference: str = ""
    digest: str = ""


class NodeDescription(Struct, frozen=True, kw_only=True):
    """What an agent says of its host; `security_options` as Docker's users know them."""

    hostname: str = ""
    os: str = ""
    arch: str = ""
    resources: Resources = Resources()
    engine_version: str = ""
    engine_labels: dict[str, str] = field(default_factory=dict[str, str])
    images: tuple[LocalImage, ...] = ()
    addr: str = ""
    security_options: tuple[str, ...] = ()

    @property
    def remaps_ids(self) -> bool:
        """Whether containers have other ids than the host's own."""
        return any(each.startswith("name=userns") for each in self.security_options)


class Node(Struct, frozen=True, kw_only=True):
    """A host that holds a certificate of the swarm. Without this object it is refused."""

    id: NodeId
    spec: NodeSpec = NodeSpec()
    description: NodeDescription = NodeDescription()
    created_at: float = 0.0
    updated_at: float = 0.0


class Service(Struct, frozen=True, kw_only=True):
    """A service and the version of its task spec, which grows by one with each change of it."""

    id: ServiceId
    spec: ServiceSpec
    previous_spec: ServiceSpec | None = None
    spec_version: int = 1
    created_at: float = 0.0
    updated_at: float = 0.0
    version_at: float = 0.0


class SpecVersion(Struct, frozen=True, kw_only=True):
    """One task spec, stored once; tasks refer to it by service and version.

    `labels` are the service's, as they were when the version was made: templates may use them,
    and every task of a version is made from the same.
    """

    service_id: ServiceId
    version: int
    task: TaskSpec
    labels: dict[str, str] = {}


class Task(Struct, frozen=True, kw_only=True):
    """One attempt at running one replica of a service. Never reused after it ends.

    `slot` counts from 1 in a replicated service and is 0 in a global one. `node_id` is empty
    only while no node fits; `message` says why. `restarts` holds when this replica's earlier
    attempts ended, as far back as the restart window looks; `attempt` counts them all.
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


class Observation(Struct, frozen=True, kw_only=True):
    """What an agent last reported of a task; `failing_streak` counts health checks in a row."""

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


class Session(Struct, frozen=True, kw_only=True):
    """Which manager holds a node's session; the key is bound to that manager's lease."""

    node_id: NodeId
    manager_id: NodeId = NodeId("")
    session_id: str = ""
    since: float = 0.0


class Sealed(Struct, frozen=True, kw_only=True):
    """A secret encrypted with the cluster's data key."""

    key_id: str = ""
    nonce: bytes = b""
    ciphertext: bytes = b""


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
