"""Turn the flags of `init` into the swarm's own spec."""

from swarm.errors import Invalid
from swarm.quantities import format_duration
from swarm.specs import ClusterSpec

SHORTEST_CERTIFICATE_S = 3600.0
SHORTEST_HEARTBEAT_S = 0.1
LONGEST_HEARTBEAT_S = 60.0


def cluster_spec(
    *, cert_expiry_s: float | None, heartbeat_s: float | None, task_history_limit: int | None
) -> ClusterSpec:
    """The spec of a new swarm; `None` is the default."""
    default = ClusterSpec()
    spec = ClusterSpec(
        cert_expiry_s=default.cert_expiry_s if cert_expiry_s is None else cert_expiry_s,
        heartbeat_s=default.heartbeat_s if heartbeat_s is None else heartbeat_s,
        task_history_limit=default.task_history_limit
        if task_history_limit is None
        else task_history_limit,
    )
    if spec.cert_expiry_s < SHORTEST_CERTIFICATE_S:
        raise Invalid(
            f"--cert-expiry {format_duration(spec.cert_expiry_s)} is less than "
            f"{format_duration(SHORTEST_CERTIFICATE_S)}",
            hint="nodes renew before half of it is over, and clocks differ",
        )
    if not SHORTEST_HEARTBEAT_S <= spec.heartbeat_s <= LONGEST_HEARTBEAT_S:
        raise Invalid(
            f"--dispatcher-heartbeat {format_duration(spec.heartbeat_s)} is not between "
            f"{format_duration(SHORTEST_HEARTBEAT_S)} and {format_duration(LONGEST_HEARTBEAT_S)}",
            hint="a node is lost after three silent heartbeats",
        )
    return spec
