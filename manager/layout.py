"""Lay the cluster's state out in etcd: which key holds what, and who writes it.

One writer per key, but for one. The leader writes everything but `observed/<node>/` and
`sessions/<node>`, which belong to the manager that holds the node's session, and
`managers/<node>`, which is that manager's own; the leader only deletes those, together with
the task or node they speak of. A node's object has two: the leader writes its spec, and the
manager that holds its session the description. Both put the whole object and compare the
revision they read, so the later one reads again. All keys of a swarm share one prefix, so
that an external etcd can hold several swarms.

    leader                          election; its create revision is the fencing token
    cluster                         Cluster
    names/<kind>/<name>             the id that holds the name
    nodes/<node>                    Node: spec, and the description that its agent gave
    services/<service>              Service
    ledgers/<service>               Ledger: what planning has to remember of the service
    history/<service>/<revision>    Revision: the specs it had; read when asked for, never kept
    versions/<service>/<version>    SpecVersion
    tasks/<service>/<task>          Task
    observed/<node>/<task>          Observation
    secrets/<secret>                Secret, its data sealed
    configs/<config>                Config, likewise
    sessions/<node>                 Session, bound to the lease of the manager that holds it
    managers/<node>                 a manager's presence, bound to the same lease: sessions that
                                    vanish together with it say nothing about their nodes
"""

from swarm.ids import ConfigId, NodeId, SecretId, ServiceId, TaskId

LEADER = "leader"
CLUSTER = "cluster"
NODES = "nodes/"
SERVICES = "services/"
LEDGERS = "ledgers/"
HISTORY = "history/"
VERSIONS = "versions/"
TASKS = "tasks/"
OBSERVED = "observed/"
SECRETS = "secrets/"
CONFIGS = "configs/"
SESSIONS = "sessions/"
MANAGERS = "managers/"
NAMES = "names/"


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
