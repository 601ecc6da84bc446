"""Write the first objects of a swarm: itself, the manager that starts it, the ingress network.

All or none, and only once: a second `init` on the same etcd is a `Conflict`, and one
that was interrupted after the commit finds its swarm and goes on. The first manager is node
number 1.
"""

from hashlib import sha256

from msgspec import structs

from manager import layout
from manager.networks.numbers import take_number
from manager.networks.pools import INGRESS, first_networks
from manager.store import Absent, Commit, Put
from swarm.codec import pack
from swarm.ids import LENGTH, ClusterId, NetworkId, base36
from swarm.objects import Cluster, Node


def first_commit(cluster: Cluster, node: Node) -> Commit:
    """Store `cluster` and its first manager, unless there is a swarm already."""
    node = structs.replace(node, number=1)
    key = layout.node_key(node.id)
    is_free, numbered = take_number(node.number, node.id)
    ingress, fence = first_networks(cluster, (node,), _ingress_id(cluster.id))
    return Commit(
        (Absent(layout.CLUSTER), Absent(key), is_free),
        (
            Put(layout.CLUSTER, pack(cluster)),
            Put(key, pack(node)),
            numbered,
            Put(layout.network_key(ingress.id), pack(ingress)),
            Put(layout.name_key(layout.NETWORK_NAMES, INGRESS), ingress.id.encode()),
            Put(layout.POOLS, fence.encode()),
        ),
    )


def _ingress_id(cluster_id: ClusterId) -> NetworkId:
    digest = sha256(b"swarm ingress 1" + cluster_id.encode()).digest()
    return NetworkId(base36(int.from_bytes(digest[:16]), LENGTH))
