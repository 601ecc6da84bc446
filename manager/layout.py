"""Lay the cluster's state out in etcd: which key holds what, and who writes it.

One writer per key, but for two kinds. The leader writes everything but `observed/<node>/` and
`sessions/<node>`, which belong to the manager that holds the node's session, and
`managers/<node>`, which is that manager's own; the leader only deletes those, together with
the task or node they speak of. A node's object has two: the leader writes its spec, and the
manager that holds its session the description. So has a guest: the manager that its node asks
writes what it wants, and the leader what it gets. All of them put the whole object and compare the
revision they read, so the later one reads again. All keys of a swarm share one prefix, so
that an external etcd can hold several swarms.

    leader                          election; its create revision is the fencing token
    cluster                         Cluster
    names/<kind>/<name>             the id that holds the name: of a service, a network, ...
    names/port/<protocol>-<port>    the service that publishes it on every node; `-<address>`
                                    follows where that is on one address of theirs
    names/number/<number>           the node whose number it is
    pools                           where the search for a network's number and subnet goes on;
                                    whoever makes a network compares and rewrites it
    nodes/<node>                    Node: spec, and the description that its agent gave
    services/<service>              Service
    ledgers/<service>               Ledger: what planning has to remember of the service
    history/<service>/<revision>    Revision: the specs it had; read when asked for, never kept
    versions/<service>/<version>    SpecVersion
    tasks/<service>/<task>          Task
    observed/<node>/<task>          Observation
    secrets/<secret>                Secret, its data sealed
    configs/<config>                Config, likewise
    logins/<service>                Login: what its images are fetched with, sealed as well
    networks/<network>              Network
    endpoints/<service>             ServiceEndpoint: the service's own addresses and ports
    guests/<container>/<network>    Guest: a container of a node, and no task, in a network
    keys/<number>                   Sealed: what encrypted networks derive their keys from
    sessions/<node>                 Session, bound to the lease of the manager that holds it
    managers/<node>                 a manager's presence, bound to the same lease: sessions that
                                    vanish together with it say nothing about their nodes
"""

from swarm.ids import ConfigId, NetworkId, NodeId, SecretId, ServiceId, TaskId
from swarm.specs import Port, Protocol

LEADER = "leader"
CLUSTER = "cluster"
POOLS = "pools"
NODES = "nodes/"
SERVICES = "services/"
LEDGERS = "ledgers/"
HISTORY = "history/"
VERSIONS = "versions/"
TASKS = "tasks/"
OBSERVED = "observed/"
SECRETS = "secrets/"
CONFIGS = "configs/"
LOGINS = "logins/"
NETWORKS = "networks/"
ENDPOINTS = "endpoints/"
GUESTS = "guests/"
KEYS = "keys/"
SESSIONS = "sessions/"
MANAGERS = "managers/"
NAMES = "names/"

SERVICE_NAMES = "service"
NETWORK_NAMES = "network"
PORT_NAMES = "port"
NUMBER_NAMES = "number"


def node_key(node_id: NodeId) -> str:
    """Where a node lives."""
    return f"{NODES}{node_id}"


def service_key(service_id: ServiceId) -> str:
    """Where a service lives."""
    return f"{SERVICES}{service_id}"


def ledger_key(service_id: ServiceId) -> str:
    """Where what planning has to remember of a service lives."""
    return f"{LEDGERS}{service_id}"


def revision_key(service_id: ServiceId, number: int) -> str:
    """Where one of the specs that a service had lives."""
    return f"{HISTORY}{service_id}/{number:010d}"


def secret_key(secret_id: SecretId) -> str:
    """Where a secret lives."""
    return f"{SECRETS}{secret_id}"


def config_key(config_id: ConfigId) -> str:
    """Where a config lives."""
    return f"{CONFIGS}{config_id}"


def login_key(service_id: ServiceId) -> str:
    """Where what a service's images are fetched with lives."""
    return f"{LOGINS}{service_id}"


def network_key(network_id: NetworkId) -> str:
    """Where a network lives."""
    return f"{NETWORKS}{network_id}"


def endpoint_key(service_id: ServiceId) -> str:
    """Where a service's own addresses and ports live."""
    return f"{ENDPOINTS}{service_id}"


def guest_key(container_id: TaskId, network_id: NetworkId) -> str:
    """Where a container that is no task's is said to be in a network."""
    return f"{GUESTS}{container_id}/{network_id}"


def network_secret_key(number: int) -> str:
    """Where one of the secrets lives that encrypted networks derive their keys from."""
    return f"{KEYS}{number}"


def version_key(service_id: ServiceId, version: int) -> str:
    """Where one version of a service's task spec lives."""
    return f"{VERSIONS}{service_id}/{version:010d}"


def task_key(service_id: ServiceId, task_id: TaskId) -> str:
    """Where a task's wanted state lives."""
    return f"{TASKS}{service_id}/{task_id}"


def observed_key(node_id: NodeId, task_id: TaskId) -> str:
    """Where a task's observed state lives."""
    return f"{OBSERVED}{node_id}/{task_id}"


def session_key(node_id: NodeId) -> str:
    """Where the holder of a node's session is named."""
    return f"{SESSIONS}{node_id}"


def manager_key(node_id: NodeId) -> str:
    """Where a manager says that it is there."""
    return f"{MANAGERS}{node_id}"


def name_key(kind: str, name: str) -> str:
    """Where a name is taken, in the same transaction as the object that bears it."""
    return f"{NAMES}{kind}/{name}"


def port_name(port: Port) -> str:
    """What a port that is published on every node is called among names of its kind."""
    where = f"-{port.ip}" if port.ip else ""
    return f"{port.protocol.word}-{port.published}{where}"


def read_port(name: str) -> tuple[Protocol, int, str] | None:
    """The protocol, the number and the address of what `port_name` called so, if it did."""
    protocol, _, rest = name.partition("-")
    number, _, where = rest.partition("-")
    found = next((each for each in Protocol if each.word == protocol), None)
    return (found, int(number), where) if found is not None and number.isdecimal() else None
