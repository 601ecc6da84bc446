"""Show the swarm itself as Docker's API does."""

from engine.cluster.specs import write_cluster
from engine.cluster.trust import trust_json
from engine.replies import JsonObject
from engine.stored import described
from swarm.objects import Cluster


def cluster_json(cluster: Cluster, *, version: int) -> JsonObject:
    """The swarm, without its tokens: that is how `/info` tells of it."""
    return {
        **described(
            cluster.id,
            version=version,
            created_at=cluster.created_at,
            updated_at=cluster.updated_at,
        ),
        "Spec": write_cluster(cluster.spec),
        "TLSInfo": trust_json(cluster.root_certificate),
        "RootRotationInProgress": False,
        "DefaultAddrPool": list(cluster.spec.address_pools),
        "SubnetSize": cluster.spec.subnet_bits,
        "DataPathPort": cluster.spec.data_path_port,
    }


def swarm_json(cluster: Cluster, *, version: int, worker: str, manager: str) -> JsonObject:
    """The swarm with its tokens."""
    tokens = {"Worker": worker, "Manager": manager}
    return {**cluster_json(cluster, version=version), "JoinTokens": tokens}
