"""Keep the CA inside the cluster object: the root in clear, key and tokens sealed.

Whatever one manager needs to serve callers is derived from the object and the data key, so
that every manager has the same anchors as soon as it has seen the same object, and rotating
a token is one write to one key.
"""

from random import Random

from msgspec import Struct
from msgspec.structs import replace

from manager.ca.authority import Authority, join_halves, make_root
from swarm.certificates import key_pem, load_certificate, load_key, root_digest
from swarm.errors import Refused
from swarm.ids import ClusterId
from swarm.objects import Cluster, Sealed
from swarm.peers import Anchors
from swarm.sealing import DataKey, seal, unseal
from swarm.specs import ClusterSpec, Role
from swarm.tokens import JoinToken, anchor_of, make_token

ROOT_KEY = "cluster/root-key"


class Founded(Struct, frozen=True, kw_only=True):
    """A new swarm: what goes to etcd, and the authority that signs its first manager."""

    cluster: Cluster
    authority: Authority


def found(
    cluster_id: ClusterId, spec: ClusterSpec, *, data_key: DataKey, now: float, random: Random
) -> Founded:
    """Make a swarm with a root of its own and a token for each role."""
    authority = make_root(cluster_id, now=now, random=random)
    cluster = Cluster(
        id=cluster_id,
        spec=spec,
        root_certificate=authority.pem,
        root_key=seal(data_key, key_pem(authority.key), purpose=ROOT_KEY, random=random),
        created_at=now,
        updated_at=now,
    )
    for role in Role:
        cluster = rotate(cluster, role, data_key=data_key, now=now, random=random)
    return Founded(cluster=cluster, authority=authority)


def rotate(
    cluster: Cluster, role: Role, *, data_key: DataKey, now: float, random: Random
) -> Cluster:
    """Give `role` a new token; the old one is void wherever the new object is seen."""
    token = make_token(root_digest(load_certificate(cluster.root_certificate)), random)
    sealed = seal(data_key, token.secret, purpose=_purpose(role), random=random)
    if role is Role.MANAGER:
        return replace(cluster, manager_token=sealed, updated_at=now)
    return replace(cluster, worker_token=sealed, updated_at=now)


def authority_of(cluster: Cluster, data_key: DataKey) -> Authority:
    """Open the CA's key; `Refused` when this manager's data key does not."""
    pem = unseal(data_key, _present(cluster.root_key, ROOT_KEY), purpose=ROOT_KEY)
    return join_halves(load_key(pem), load_certificate(cluster.root_certificate))


def token_of(cluster: Cluster, role: Role, data_key: DataKey) -> JoinToken:
    """The current token of `role`."""
    sealed = cluster.manager_token if role is Role.MANAGER else cluster.worker_token
    purpose = _purpose(role)
    return JoinToken(
        root_digest=root_digest(load_certificate(cluster.root_certificate)),
        secret=unseal(data_key, _present(sealed, purpose), purpose=purpose),
    )


def anchors_of(cluster: Cluster, data_key: DataKey) -> Anchors:
    """Whose signatures count. Costs two signatures, so make it once: see `Trusted`."""
    return Anchors(
        root=load_certificate(cluster.root_certificate),
        worker=anchor_of(token_of(cluster, Role.WORKER, data_key)).certificate,
        manager=anchor_of(token_of(cluster, Role.MANAGER, data_key)).certificate,
    )


def _purpose(role: Role) -> str:
    return f"cluster/{role.word}-token"


def _present(sealed: Sealed | None, purpose: str) -> Sealed:
    if sealed is None:
        raise Refused(f"{purpose} is missing from the cluster object", hint="restore a backup")
    return sealed
