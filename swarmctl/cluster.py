"""Turn the flags of `init` and `update` into the swarm's own spec."""

from msgspec import Struct

from swarm.checking.nodes import (
    LONGEST_HEARTBEAT_S,
    SHORTEST_CERTIFICATE_S,
    SHORTEST_HEARTBEAT_S,
    check_cluster,
)
from swarm.errors import Invalid
from swarm.quantities import format_duration
from swarm.specs import ClusterSpec
from swarmctl.edits import with_given


class ClusterFlags(Struct, frozen=True, kw_only=True):
    """`None` or empty is a flag that was not given; the last two are not supported."""

    cert_expiry: float | None = None
    dispatcher_heartbeat: float | None = None
    task_history_limit: int | None = None
    rebalance_on_join: bool | None = None
    prometheus_url: str | None = None
    default_addr_pool: tuple[str, ...] = ()
    default_addr_pool_mask_length: int | None = None
    data_path_port: int | None = None
    autolock: bool | None = None
    external_ca: tuple[str, ...] = ()


def changed(spec: ClusterSpec, flags: ClusterFlags) -> ClusterSpec:
    """The next spec of a swarm that has `spec`; `Invalid` names the flag."""
    refuse(autolock=flags.autolock, external_ca=flags.external_ca)
    spec = with_given(
        spec,
        cert_expiry_s=flags.cert_expiry,
        heartbeat_s=flags.dispatcher_heartbeat,
        task_history_limit=flags.task_history_limit,
        rebalance_on_join=flags.rebalance_on_join,
        prometheus_url=flags.prometheus_url,
        address_pools=_pools(flags.default_addr_pool),
        subnet_bits=flags.default_addr_pool_mask_length,
        data_path_port=flags.data_path_port,
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
    if problems := tuple(map(_blamed, check_cluster(spec))):
        said = problems[0] if len(problems) == 1 else f"{len(problems)} problems"
        raise Invalid(said, problems=problems)
    return spec


def _pools(texts: tuple[str, ...]) -> tuple[str, ...] | None:
    """Each may hold several; none given leaves them as they are."""
    pools = tuple(pool.strip() for text in texts for pool in text.split(",") if pool.strip())
    return pools or None


def _blamed(problem: str) -> str:
    path, _, text = problem.partition(": ")
    name = path.partition("[")[0]
    return f"--{_FLAGS.get(name, name.replace('_', '-'))}: {text}"


_FLAGS = {
    "address_pools": "default-addr-pool",
    "subnet_bits": "default-addr-pool-mask-length",
}


_REFUSED = {
    "autolock": ("the data key is not yet behind a key of yours", "guard the managers' disks"),
    "external_ca": ("certificates come from the swarm's own authority", "leave it out"),
    "force_new_cluster": (
        "a swarm has one manager, whose state is not lost with a quorum",
        "run `swarmctl leave --force` first to begin anew",
    ),
}


def refuse(**flags: object) -> None:
    """Refuse the flags of Docker that were given and that nothing here could follow."""
    for name, value in flags.items():
        if value:
            reason, hint = _REFUSED[name]
            raise Invalid(
                f"--{name.replace('_', '-')} is not supported: {reason}",
                hint=hint or "leave it out",
            )
