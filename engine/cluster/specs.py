"""Translate the swarm's own settings between Docker's API and ours.

Docker changes a setting only where the client names another than nothing, so what a client leaves
out stays as it was. What no swarm of ours can do is refused by its name, and asking for what is so
anyway is not.
"""

from msgspec import Struct, structs

from engine.services.words import nanoseconds, ordered, read_word, seconds
from engine.wire.cluster import (
    AuthorityJson,
    ClusterSpecJson,
    DispatcherJson,
    EncryptionJson,
    InitJson,
    OrchestrationJson,
    RaftJson,
)
from swarm.errors import Invalid
from swarm.specs import Availability, ClusterSpec, Consensus

NAME = "default"
HEARTBEAT_TICK, ELECTION_TICK = 1, 10
_FILES = ("", "json-file", "local")


class Founding(Struct, frozen=True, kw_only=True):
    """What a client wants a swarm to begin with."""

    spec: ClusterSpec
    availability: Availability


def read_init(asked: InitJson) -> Founding:
    """The swarm that is to be made."""
    if asked.force_new_cluster:
        raise Invalid(
            "ForceNewCluster: a swarm cannot be made anew out of what is left of one yet",
            hint="restore a backup of etcd, or leave the swarm with force and init without it",
        )
    if asked.auto_lock_managers:
        raise _no_lock("AutoLockManagers")
    spec = read_cluster(asked.spec, ClusterSpec(), is_new=True)
    return Founding(
        spec=structs.replace(
            spec,
            address_pools=asked.default_addr_pool or spec.address_pools,
            subnet_bits=_fits(asked.subnet_size) or spec.subnet_bits,
            data_path_port=_fits(asked.data_path_port) or spec.data_path_port,
        ),
        availability=read_availability(asked.availability),
    )


def read_availability(text: str) -> Availability:
    """Whether a node that enters takes tasks."""
    return read_word("Availability", text, Availability, Availability.ACTIVE)


def read_cluster(
    asked: ClusterSpecJson, before: ClusterSpec, *, is_new: bool = False
) -> ClusterSpec:
    """The settings that a client asks for, where they were `before` so far."""
    authority = asked.ca_config or AuthorityJson()
    _refuse_the_rest(asked, authority)
    consensus = _consensus(asked.raft or RaftJson(), authority, before.consensus, is_new=is_new)
    dispatcher = asked.dispatcher or DispatcherJson()
    limit = (asked.orchestration or OrchestrationJson()).task_history_retention_limit
    rebalance, url = asked.rebalance_on_join, asked.prometheus_url
    return structs.replace(
        before,
        labels=asked.labels or before.labels,
        task_history_limit=before.task_history_limit if limit is None else limit,
        heartbeat_s=seconds(dispatcher.heartbeat_period) or before.heartbeat_s,
        cert_expiry_s=seconds(authority.node_cert_expiry) or before.cert_expiry_s,
        consensus=consensus,
        rebalance_on_join=before.rebalance_on_join if rebalance is None else rebalance,
        prometheus_url=before.prometheus_url if url is None else url,
    )


def write_cluster(spec: ClusterSpec) -> ClusterSpecJson:
    """The settings as Docker's clients read them."""
    consensus = spec.consensus
    return ClusterSpecJson(
        name=NAME,
        labels=ordered(spec.labels),
        orchestration=OrchestrationJson(task_history_retention_limit=spec.task_history_limit),
        raft=RaftJson(
            snapshot_interval=consensus.snapshot_interval,
            keep_old_snapshots=consensus.kept_snapshots,
            log_entries_for_slow_followers=consensus.slow_follower_entries,
            heartbeat_tick=HEARTBEAT_TICK,
            election_tick=ELECTION_TICK,
        ),
        dispatcher=DispatcherJson(heartbeat_period=nanoseconds(spec.heartbeat_s)),
        ca_config=AuthorityJson(
            node_cert_expiry=nanoseconds(spec.cert_expiry_s),
            force_rotate=consensus.root_rotations,
        ),
        encryption_config=EncryptionJson(auto_lock_managers=False),
        rebalance_on_join=spec.rebalance_on_join or None,
        prometheus_url=spec.prometheus_url or None,
    )


def _refuse_the_rest(asked: ClusterSpecJson, authority: AuthorityJson) -> None:
    if asked.name not in ("", NAME):
        raise Invalid(f"Name: a swarm is called {NAME}, and nothing else")
    if (asked.encryption_config or EncryptionJson()).auto_lock_managers:
        raise _no_lock("EncryptionConfig.AutoLockManagers")
    if authority.external_cas:
        raise Invalid(
            "CAConfig.ExternalCAs: certificates are issued by the swarm's own CA only",
            hint="leave it out",
        )
    if authority.signing_ca_cert or authority.signing_ca_key:
        raise Invalid(
            "CAConfig.SigningCACert: the swarm's CA cannot be replaced yet", hint="leave it out"
        )
    driver = asked.task_defaults.log_driver if asked.task_defaults is not None else None
    if driver is not None and (driver.name not in _FILES or driver.options):
        raise Invalid(
            "TaskDefaults.LogDriver: tasks write files unless their service says otherwise",
            hint="give each service its log driver",
        )


def _consensus(
    raft: RaftJson, authority: AuthorityJson, before: Consensus, *, is_new: bool
) -> Consensus:
    for name, value, known in (
        ("HeartbeatTick", raft.heartbeat_tick, HEARTBEAT_TICK),
        ("ElectionTick", raft.election_tick, ELECTION_TICK),
    ):
        if value and value != known:
            raise Invalid(f"Raft.{name}: cannot be changed", hint="leave it out")
    if not is_new and authority.force_rotate not in (0, before.root_rotations):
        raise Invalid("CAConfig.ForceRotate: the swarm's CA cannot be rotated yet")
    kept = raft.keep_old_snapshots
    return Consensus(
        snapshot_interval=raft.snapshot_interval or before.snapshot_interval,
        kept_snapshots=before.kept_snapshots if kept is None else kept,
        slow_follower_entries=raft.log_entries_for_slow_followers or before.slow_follower_entries,
        root_rotations=authority.force_rotate or before.root_rotations,
    )


def _no_lock(path: str) -> Invalid:
    return Invalid(
        f"{path}: managers cannot be locked yet",
        hint="leave it out; keep the data root of managers on an encrypted disk",
    )


def _fits(number: int) -> int:
    """What is out of range is refused where all of the settings are judged."""
    return min(number, 2**31 - 1)
