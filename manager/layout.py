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
    versions/<service>/<version>    SpecVersion
    tasks/<service>/<task>          Task
    observed/<node>/<task>          Observation
    sessions/<node>                 Session, bound to the lease of the manager that holds it
    managers/<node>                 a manager's presence, bound to the same lease: sessions that
                                    vanish together with it say nothing about their nodes
"""

from swarm.ids import NodeId, ServiceId, TaskId

LEADER = "leader"
CLUSTER = "cluster"
NODES = "nodes/"
SERVICES = "services/"
VERSIONS = "versions/"
TASKS = "tasks/"
OBSERVED = "observed/"
SESSIONS = "sessions/"
MANAGERS = "managers/"
NAMES = "names/"


def node_key(node_id: NodeId) -> str:
    """Where a node lives."""
    return f"{NODES}{node_id}"


def service_key(service_id: ServiceId) -> str:
    """Where a service lives."""
    return f"{SERVICES}{service_id}"


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
