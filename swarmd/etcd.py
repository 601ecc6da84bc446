"""Decide how this manager's etcd is run: command line, environment, and what its end means.

Every certificate of the swarm is signed by the same authority, a worker's too. What keeps
workers out of the state is that etcd demands the DNS name `swarm-manager` in a certificate,
which only managers' bear; between members it is all that is checked of a caller. A member's
certificate must also bear the IP address of its peer URL, since those who dial it check that.

A member on its own elects itself: it need not wait for votes, so it waits for a quarter of a
second instead of a full one, and a killed etcd serves again in well under a second.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from manager.groups import OWN_ETCD
from swarm.certificates import MANAGER_NAME

_MEBI = 1 << 20
_QUOTA_BYTES = 8 << 30

# The kernel ends etcd with swarmd. The shell closes the gap before that is agreed upon: if
# swarmd died until then, someone else is the parent already, and etcd must not start.
_GUARDED = 'test "$PPID" = "$0" && exec "$@"'


class Member(Struct, frozen=True):
    """One member of the cluster: a name (its node's id), and where its peers reach it."""

    name: str
    peer_url: str


class EtcdConfig(Struct, frozen=True, kw_only=True):
    """How one member is run. `members` are all of them at the time when it first starts.

    Both URLs must name an IP address. `identity_file` holds key and certificate, as
    `swarm.certificates.Identity.bundle` does, so that a renewal replaces both at once; etcd
    reads it again at every handshake. `joins` says that the cluster exists and has added us;
    `forces_new` makes a cluster of one out of a member that lost its majority for good.
    """

    name: str
    data_dir: Path
    client_url: str
    peer_url: str
    root_file: Path
    identity_file: Path
    members: tuple[Member, ...] = ()
    joins: bool = False
    forces_new: bool = False
    binary: str = "etcd"

    @property
    def is_alone(self) -> bool:
        """Whether this member is the whole cluster."""
        return len(self.members) <= 1 or self.forces_new


def command(config: EtcdConfig, *, parent_pid: int) -> tuple[str, ...]:
    """The whole command line; `parent_pid` is the process that etcd must not outlive."""
    guard = ("setpriv", "--pdeathsig", "TERM", "--", "/bin/sh", "-c", _GUARDED, str(parent_pid))
    flags = [f"--{name}={value}" for name, value in _flags(config)]
    return (*guard, config.binary, *flags)


def environment(inherited: Mapping[str, str], *, notify_socket: str) -> dict[str, str]:
    """What etcd finds in its environment: no ETCD_ variables of others, and whom to tell
    that it is ready (sd_notify(3)), which is us and not the service manager above us."""
    kept = {name: value for name, value in inherited.items() if not name.startswith("ETCD_")}
    # Half of Go's usual headroom: the state is small and lives long.
    return kept | {"NOTIFY_SOCKET": notify_socket, "GOGC": "50"}


def last_words(log: bytes) -> str:
    """What etcd complained about last, from its JSON log; empty when it said nothing."""
    for line in reversed(log.splitlines()):
        try:
            record = msgspec.json.decode(line, type=_LogRecord)
        except msgspec.DecodeError:
            continue
        if record.level in ("error", "fatal", "panic"):
            return ": ".join(filter(None, (record.msg, record.error)))
    return ""


class _LogRecord(Struct):
    level: str
    msg: str = ""
    error: str = ""


def _flags(config: EtcdConfig) -> Iterator[tuple[str, object]]:
    yield from _place(config)
    yield from _trust(config)
    yield from _pace(config)
    yield from _size()
    yield "logger", "zap"
    yield "log-outputs", "stderr"
    yield "log-level", "warn"


def _place(config: EtcdConfig) -> Iterator[tuple[str, object]]:
    members = config.members or (Member(config.name, config.peer_url),)
    yield "name", config.name
    yield "data-dir", config.data_dir
    yield "listen-client-urls", config.client_url
    yield "advertise-client-urls", config.client_url
    yield "listen-peer-urls", config.peer_url
    yield "initial-advertise-peer-urls", config.peer_url
    yield "initial-cluster", ",".join(f"{member.name}={member.peer_url}" for member in members)
    yield "initial-cluster-state", "existing" if config.joins else "new"
    if config.forces_new:
        yield "force-new-cluster", "true"


def _trust(config: EtcdConfig) -> Iterator[tuple[str, object]]:
    yield "client-cert-auth", "true"
    yield "peer-client-cert-auth", "true"
    for prefix in ("", "peer-"):
        yield f"{prefix}trusted-ca-file", config.root_file
        yield f"{prefix}cert-file", config.identity_file
        yield f"{prefix}key-file", config.identity_file
    yield "client-cert-allowed-hostname", MANAGER_NAME
    yield "peer-cert-allowed-hostname", MANAGER_NAME
    # Else etcd resolves the name above and expects the caller's address.
    yield "experimental-peer-skip-client-san-verification", "true"
    # An HTTP gateway that nobody uses, and that would call etcd without our name.
    yield "enable-grpc-gateway", "false"


def _pace(config: EtcdConfig) -> Iterator[tuple[str, object]]:
    yield "heartbeat-interval", 50 if config.is_alone else 100
    yield "election-timeout", 250 if config.is_alone else 1_000
    yield "initial-election-tick-advance", "true"
    # A member that was cut off must not unseat a healthy leader when it returns.
    yield "pre-vote", "true"
    yield "grpc-keepalive-min-time", "1s"
    # Watches of quiet prefixes learn how far they are, so that few must list again.
    yield "experimental-watch-progress-notify-interval", "1m"


def _size() -> Iterator[tuple[str, object]]:
    yield "max-txn-ops", OWN_ETCD.operations
    yield "max-request-bytes", OWN_ETCD.bytes
    yield "quota-backend-bytes", _QUOTA_BYTES
    # Ten minutes of history: who was away longer lists again, which costs less than an
    # hour of a busy swarm's writes on disk.
    yield "auto-compaction-mode", "periodic"
    yield "auto-compaction-retention", "10m"
    # The raft log is kept in memory until a snapshot is taken.
    yield "snapshot-count", 5_000
