"""Change the swarm's own settings."""

import math
from collections.abc import Iterator

from msgspec import structs

from manager import layout
from manager.store import Commit, Put, Unchanged
from manager.view import ClusterView
from swarm.codec import pack
from swarm.errors import Invalid, Unavailable
from swarm.objects import Cluster
from swarm.specs import ClusterSpec

SHORTEST_EXPIRY_S = 3600.0
SHORTEST_HEARTBEAT_S = 0.1


def present(view: ClusterView) -> Cluster:
    """The swarm's object; `Unavailable` while there is none to be seen."""
    if view.cluster is None:
        raise Unavailable("the swarm's own object is missing", hint="restore a backup of etcd")
    return view.cluster


def replaced(view: ClusterView, cluster: Cluster) -> Commit:
    """Store the swarm's object anew, provided that nobody changed it since it was read."""
    return Commit(
        (Unchanged(layout.CLUSTER, view.version(layout.CLUSTER)),),
        (Put(layout.CLUSTER, pack(cluster)),),
    )


def update(view: ClusterView, spec: ClusterSpec, *, now: float) -> Commit:
    """Store other settings; `Invalid` lists all that are out of range."""
    cluster = present(view)
    problems = tuple(_problems(spec))
    if problems:
        raise Invalid(problems[0], problems=problems)
    if spec == cluster.spec:
        return Commit()
    return replaced(view, structs.replace(cluster, spec=spec, updated_at=now))


def _problems(spec: ClusterSpec) -> Iterator[str]:
    if not math.isfinite(spec.cert_expiry_s) or spec.cert_expiry_s < SHORTEST_EXPIRY_S:
        yield f"cert_expiry_s: {spec.cert_expiry_s:g} s is less than an hour"
    if not math.isfinite(spec.heartbeat_s) or spec.heartbeat_s < SHORTEST_HEARTBEAT_S:
        yield f"heartbeat_s: {spec.heartbeat_s:g} s is less than {SHORTEST_HEARTBEAT_S:g} s"
    if spec.task_history_limit < 0:
        yield f"task_history_limit: {spec.task_history_limit} must not be negative"
