"""Lay out the swarm's own settings as Docker's API writes them, for both directions.

See `engine.wire.shape` for what defaults mean.
"""

from msgspec import Struct, field

from engine.wire.decoding import Int32, Int64, Uint32
from engine.wire.services import DriverJson
from engine.wire.shape import Amount


class OrchestrationJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """How many ended tasks are remembered."""

    task_history_retention_limit: Int32 | None = None


class RaftJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """How managers agree."""

    snapshot_interval: Amount | None = None
    keep_old_snapshots: Amount | None = None
    log_entries_for_slow_followers: Amount | None = None
    election_tick: Int64 | None = None
    heartbeat_tick: Int64 | None = None


class DispatcherJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """How often nodes say that they live, in nanoseconds."""

    heartbeat_period: Int64 = 0


class AuthorityJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """Who issues certificates, and for how many nanoseconds."""

    node_cert_expiry: Int64 = 0
    external_cas: tuple[dict[str, object], ...] = field(default=(), name="ExternalCAs")
    signing_ca_cert: str = field(default="", name="SigningCACert")
    signing_ca_key: str = field(default="", name="SigningCAKey")
    force_rotate: Amount = 0


class EncryptionJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """Whether managers wait for an operator's key when they start."""

    auto_lock_managers: bool | None = None


class DefaultsJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """What tasks get that do not say."""

    log_driver: DriverJson | None = None


class ClusterSpecJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """The swarm as its operator wants it."""

    name: str = ""
    labels: dict[str, str] | None = None
    orchestration: OrchestrationJson | None = None
    raft: RaftJson | None = None
    dispatcher: DispatcherJson | None = None
    ca_config: AuthorityJson | None = field(default=None, name="CAConfig")
    task_defaults: DefaultsJson | None = None
    encryption_config: EncryptionJson | None = None
    rebalance_on_join: bool | None = None  # ours, and what follows
    prometheus_url: str | None = field(default=None, name="PrometheusURL")


class InitJson(Struct, frozen=True, kw_only=True, rename="pascal"):
    """A swarm to be made."""

    listen_addr: str = ""
    advertise_addr: str = ""
    data_path_addr: str = ""
    data_path_port: Uint32 = 0
    force_new_cluster: bool = False
    spec: ClusterSpecJson = ClusterSpecJson()
    auto_lock_managers: bool = False
    availability: str = ""
    default_addr_pool: tuple[str, ...] = ()
    subnet_size: Uint32 = 0


class JoinJson(Struct, frozen=True, kw_only=True, rename="pascal"):
    """A swarm to be joined."""

    listen_addr: str = ""
    advertise_addr: str = ""
    data_path_addr: str = ""
    remote_addrs: tuple[str, ...] = ()
    join_token: str = ""
    availability: str = ""


class UnlockJson(Struct, frozen=True, kw_only=True, rename="pascal"):
    """A key of an operator's."""

    unlock_key: str = ""
