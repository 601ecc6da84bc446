"""Serve this process's Prometheus metrics.

Metrics are declared in one table per part (`manager/metrics.py`, `agent/metrics.py`), from
which the reference page is rendered; this module only exposes them.
"""

from prometheus_client import CollectorRegistry, disable_created_metrics, start_http_server

from swarm.addresses import parse_address
from swarm.errors import Unavailable


def serve(address: str, registry: CollectorRegistry) -> None:
    """Answer `GET /metrics` on `address` (`HOST:PORT`) from a daemon thread."""
    host, port = parse_address(address)
    # A second series for each counter, which nobody asks for; the library has no types for it.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    try:
        start_http_server(port, host, registry)
    except OSError as err:
        raise Unavailable(
            f"metrics address {address}: {err.strerror}", hint="choose another with --metrics-addr"
        ) from err
