"""Change the swarm's own settings, and with them the join tokens that are to be replaced."""

from collections.abc import Callable

from msgspec import structs

from manager import layout
from manager.store import Commit, Put, Unchanged
from manager.view import ClusterView
from swarm.checking.nodes import check_cluster
from swarm.codec import pack
from swarm.errors import Conflict, Invalid, Unavailable
from swarm.objects import Cluster
from swarm.specs import ClusterSpec


def present(view: ClusterView) -> Cluster:
    """The swarm's object; `Unavailable` while there is none to be seen."""
    if view.cluster is None:
        raise Unavailable("the swarm's own object is missing", hint="restore a backup of etcd")
    # One that is older than networks says nothing of them.
    spec = filled(view.cluster.spec, ClusterSpec())
    return structs.replace(view.cluster, spec=spec)


def replaced(view: ClusterView, cluster: Cluster) -> Commit:
    """Store the swarm's object anew, provided that nobody changed it since it was read."""
    return Commit(
        (Unchanged(layout.CLUSTER, view.version(layout.CLUSTER)),),
        (Put(layout.CLUSTER, pack(cluster)),),
    )


def filled(spec: ClusterSpec, before: ClusterSpec) -> ClusterSpec:
    """`spec`, where what it says nothing of as to networks is as before."""
    return structs.replace(
        spec,
        address_pools=spec.address_pools or before.address_pools,
        subnet_bits=spec.subnet_bits or before.subnet_bits,
        data_path_port=spec.data_path_port or before.data_path_port,
    )


def check_version(view: ClusterView, version: int) -> None:
    """`Conflict` unless a change was derived from what is; 0 stands for whatever it is now."""
    known = view.version(layout.CLUSTER)
    if version not in (0, known):
        raise Conflict(
            f"the swarm's settings: update out of sequence: it was derived from version {version},"
            f" and they are at version {known}",
            hint="someone changed them meanwhile: look at them and repeat the command",
        )


def update(
    view: ClusterView,
    spec: ClusterSpec,
    *,
    now: float,
    rotate: Callable[[Cluster], Cluster] | None = None,
) -> Commit:
    """Store other settings; `Invalid` lists all that are out of range.

    `rotate` replaces join tokens, in the same transaction.
    """
    cluster = present(view)
    spec = filled(spec, cluster.spec)
    if spec.data_path_port != cluster.spec.data_path_port:
        raise Invalid(
            f"data_path_port: {cluster.spec.data_path_port} cannot become {spec.data_path_port}: "
            "nodes would not reach each other while they change it one by one",
            hint="it is chosen when a swarm is made: swarmctl init --data-path-port",
        )
    problems = check_cluster(spec)
    if problems:
        raise Invalid(problems[0], problems=problems)
    if spec == cluster.spec and rotate is None:
        return Commit()
    changed = structs.replace(cluster, spec=spec, updated_at=now)
    return replaced(view, changed if rotate is None else rotate(changed))
