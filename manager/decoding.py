"""Read the swarm's keys and values: the one place of the core that knows the wire format.

A key says what its value is, so both are read together. A value that cannot be read is the
caller's to report; a key that no one knows is none of ours and decodes to `None`, so that a
newer manager may add kinds of keys under the feet of an older one.
"""

from msgspec import Struct

from manager import layout
from swarm.codec import unpack
from swarm.ids import ConfigId, NetworkId, NodeId, SecretId, ServiceId, TaskId
from swarm.objects import (
    Cluster,
    Config,
    Guest,
    Ledger,
    Login,
    Network,
    Node,
    Observation,
    Sealed,
    Secret,
    Service,
    ServiceEndpoint,
    Session,
    SpecVersion,
    Task,
)

Stored = (
    Cluster
    | Node
    | Service
    | Ledger
    | SpecVersion
    | Task
    | Observation
    | Session
    | Secret
    | Config
    | Login
    | Network
    | ServiceEndpoint
    | Guest
    | Sealed
)
Value = Stored | str
GuestKey = tuple[TaskId, NetworkId]


class Key(Struct, frozen=True):
    """A key taken apart: `kind` is one of layout's prefixes, `path` what follows it."""

    kind: str
    path: tuple[str, ...]

    @property
    def node_id(self) -> NodeId:
        """The node that a node's, session's, observation's or manager's key speaks of."""
        return NodeId(self.path[0])

    @property
    def service_id(self) -> ServiceId:
        """The service that its own key speaks of, or its login's, version's, a task's and so on."""
        return ServiceId(self.path[0])

    @property
    def secret_id(self) -> SecretId:
        """The secret that a secret's key speaks of."""
        return SecretId(self.path[0])

    @property
    def config_id(self) -> ConfigId:
        """The config that a config's key speaks of."""
        return ConfigId(self.path[0])

    @property
    def network_id(self) -> NetworkId:
        """The network that a network's key speaks of."""
        return NetworkId(self.path[0])

    @property
    def guest(self) -> GuestKey:
        """The container and the network that a guest's key speaks of."""
        return TaskId(self.path[0]), NetworkId(self.path[1])

    @property
    def number(self) -> int:
        """The number that a key of `layout.KEYS` ends with."""
        return int(self.path[0])

    @property
    def task_id(self) -> TaskId:
        """The task that a task's or observation's key speaks of."""
        return TaskId(self.path[1])


_KINDS: dict[str, tuple[int, type[Struct] | None]] = {
    layout.NODES: (1, Node),
    layout.SERVICES: (1, Service),
    layout.LEDGERS: (1, Ledger),
    layout.VERSIONS: (2, SpecVersion),
    layout.TASKS: (2, Task),
    layout.OBSERVED: (2, Observation),
    layout.SESSIONS: (1, Session),
    layout.SECRETS: (1, Secret),
    layout.CONFIGS: (1, Config),
    layout.LOGINS: (1, Login),
    layout.NETWORKS: (1, Network),
    layout.ENDPOINTS: (1, ServiceEndpoint),
    layout.GUESTS: (2, Guest),
    layout.KEYS: (1, Sealed),
    layout.NAMES: (2, None),
    layout.MANAGERS: (1, None),
}


def read_key(key: str) -> Key | None:
    """Take `key` apart; `None` when it is none of the view's business."""
    if key in (layout.CLUSTER, layout.POOLS):
        return Key(key, ())
    head, slash, rest = key.partition("/")
    parts, _ = _KINDS.get(head + slash, (0, None))
    if head + slash == layout.KEYS and not rest.isdecimal():
        return None
    path = tuple(rest.split("/", parts - 1)) if parts else ()
    return Key(head + slash, path) if parts and len(path) == parts and all(path) else None


def read_value(key: Key, value: bytes) -> Value:
    """Decode the value at `key`; `Invalid` when it is not what the key promises."""
    if key.kind == layout.CLUSTER:
        return unpack(Cluster, value)
    _, kind = _KINDS.get(key.kind, (0, None))
    if kind is None:
        return value.decode("utf-8", "replace")
    read = unpack(kind, value)
    assert isinstance(read, Stored)
    return read
