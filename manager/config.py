"""Say what a manager process is told when it starts: one JSON file, written by swarmd."""

from pathlib import Path

import msgspec
from msgspec import Struct

from swarm.errors import Invalid
from swarm.ids import ClusterId, NodeId

OWN_MAX_TXN_OPS = 10_000


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where this manager finds its identity, its store and its callers.

    `certificates_dir` is that of `swarm.io.identity.IdentityFiles`, looked at again whenever
    it changes; `data_key_path` holds the key that opens what is sealed in etcd. `store_prefix`
    is this swarm's place in etcd; a `max_txn_ops` other than our own etcd's means an external
    one. That callers are served is told by the listening port.
    """

    node_id: NodeId
    cluster_id: ClusterId
    certificates_dir: str
    data_key_path: str
    etcd_endpoints: tuple[str, ...]
    listen_addr: str
    advertise_addr: str
    data_root: str
    run_root: str
    store_prefix: str = "swarm/"
    max_txn_ops: int = OWN_MAX_TXN_OPS
    metrics_addr: str = ""
    insecure_registries: tuple[str, ...] = ()
    registry_ca_dir: str = ""
    lease_ttl_s: int = 5
    log_level: str = "info"


def read_config(path: Path) -> Config:
    """Read a manager's configuration; `Invalid` names the field that is wrong."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Config)
    except (OSError, msgspec.MsgspecError) as err:
        raise Invalid(f"configuration {path}: {err}") from err
