"""Listen and dial with mutual TLS, in one way everywhere.

A server asks for its identity and its callers' roots at every handshake, so renewed
certificates and rotated tokens count for the next caller while open sessions stay as they
are. A channel's identity is fixed: to use a renewed one, dial again. The name that is checked
is the role, `swarm-manager`, wherever the manager is.
"""

import time
from collections.abc import Callable

import grpc
import grpc.aio
from msgspec import Struct

from swarm.certificates import MANAGER_NAME, Identity

_MESSAGE_BYTES = 64 << 20

# gRPC asks for changes under a lock, but takes what it keeps of the answer after that. What is
# replaced meanwhile is freed, and the process dies: a change waits until the handshake before
# it must have taken its own (github.com/grpc/grpc/issues/36693).
_TAKEN_S = 0.1

_COMMON: tuple[tuple[str, int], ...] = (
    ("grpc.max_send_message_length", _MESSAGE_BYTES),
    ("grpc.max_receive_message_length", _MESSAGE_BYTES),
    # A host that vanished sends no FIN; this finds it within 13 s.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
)

CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    *_COMMON,
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.enable_http_proxy", 0),  # the control plane is never behind a web proxy
    # A channel made after a renewal must not share a connection made before it.
    ("grpc.use_local_subchannel_pool", 1),
)

SERVER_OPTIONS: tuple[tuple[str, int], ...] = (
    *_COMMON,
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    # A starved server reads the pings of half a minute in one go; only the swarm's own get here.
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.so_reuseport", 0),  # two managers on one port must fail, not share callers
)


class Serving(Struct, frozen=True, kw_only=True):
    """What a server shows, and the roots (PEM) whose callers it lets in."""

    identity: Identity
    client_roots: bytes


def server_credentials(fetch: Callable[[], Serving]) -> grpc.ServerCredentials:
    """Require a certificate of every caller; ask `fetch` at every handshake.

    `fetch` runs on a thread of gRPC's: it reads a value and never waits. When it raises, the
    handshake goes on with what it gave last. What it gives should seldom change: that costs the
    next handshake up to 0.1 s.
    """
    last, asked_at = fetch(), 0.0

    def changed() -> grpc.ServerCertificateConfiguration | None:
        nonlocal last, asked_at
        try:
            current = fetch()
            if current == last:
                return None
            time.sleep(max(0.0, asked_at + _TAKEN_S - time.monotonic()))
            last = current
            return _configuration(current)
        finally:
            asked_at = time.monotonic()

    # gRPC takes None for "as before", which its stubs do not know.
    return grpc.dynamic_ssl_server_credentials(_configuration(last), changed, True)  # type: ignore[arg-type]


def channel(
    target: str, identity: Identity, *, server_name: str = MANAGER_NAME, dial_s: float = 1.0
) -> grpc.aio.Channel:
    """Dial `target` (`HOST:PORT`) as `identity`; only its root's managers are believed.

    One attempt to connect takes at most `dial_s`.
    """
    credentials = grpc.ssl_channel_credentials(
        root_certificates=identity.root,
        private_key=identity.key,
        certificate_chain=identity.certificate,
    )
    options = (
        *CHANNEL_OPTIONS,
        ("grpc.min_reconnect_backoff_ms", int(dial_s * 1000)),  # gRPC's name for that limit
        ("grpc.ssl_target_name_override", server_name),
    )
    return grpc.aio.secure_channel(target, credentials, options=options)


def _configuration(serving: Serving) -> grpc.ServerCertificateConfiguration:
    identity = serving.identity
    return grpc.ssl_server_certificate_configuration(
        [(identity.key, identity.chain)], root_certificates=serving.client_roots
    )
