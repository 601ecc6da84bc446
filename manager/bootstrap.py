"""Write the first objects of a swarm: itself, and the manager that starts it.

Both or neither, and only once: a second `init` on the same etcd is a `Conflict`, and one
that was interrupted after the commit finds its swarm and goes on.
"""

from manager import layout
from manager.store import Absent, Commit, Put
from swarm.codec import pack
from swarm.objects import Cluster, Node


def first_commit(cluster: Cluster, node: Node) -> Commit:
    """Store `cluster` and its first manager, unless there is a swarm already."""
    key = layout.node_key(node.id)
    return Commit(
        (Absent(layout.CLUSTER), Absent(key)),
        (Put(layout.CLUSTER, pack(cluster)), Put(key, pack(node))),
    )
