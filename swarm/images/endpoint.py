"""Decide where a registry is and whether to trust the wire to it.

This machine (localhost, 127.0.0.0/8, ::1) and registries that the operator lists are spoken to
in plain HTTP; everything else must prove itself with TLS. There is no falling back from one to
the other: whoever can break a TLS handshake could then read the password.
"""

from collections.abc import Collection
from ipaddress import ip_address, ip_network

from msgspec import Struct

from swarm.images.reference import DEFAULT_REGISTRY

_ALIASES = ("index.docker.io", "registry-1.docker.io", "registry.hub.docker.com")
_API_HOSTS = {DEFAULT_REGISTRY: "registry-1.docker.io"}


class Endpoint(Struct, frozen=True):
    """The base URL of a registry's API. `local` means on this machine: no proxy is between."""

    url: str
    secure: bool
    local: bool


def endpoint_of(registry: str, *, insecure: Collection[str] = ()) -> Endpoint:
    """Where `registry` (HOST or HOST:PORT) is; `insecure` lists hosts, HOST:PORTs and networks."""
    host = _API_HOSTS.get(registry, registry)
    local = is_local(host)
    secure = not (local or is_listed(host, insecure))
    return Endpoint(f"{'https' if secure else 'http'}://{host}", secure, local)


def registry_of(address: str) -> str:
    """The registry (HOST or HOST:PORT) that clients of Docker call by a URL, or by nothing."""
    host = address.partition("://")[2] or address
    host = host.partition("/")[0]
    return DEFAULT_REGISTRY if host in ("", *_ALIASES) else host


def is_local(registry: str) -> bool:
    """Whether `registry` is this very machine."""
    host = bare_host(registry).lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def is_listed(registry: str, insecure: Collection[str]) -> bool:
    """Whether the operator listed `registry`, its host, or a network that its address is in."""
    host = bare_host(registry)
    if registry in insecure or host in insecure:
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return any(_contains(network, address.compressed) for network in insecure if "/" in network)


def bare_host(registry: str) -> str:
    """The host without port and brackets."""
    if registry.startswith("["):
        return registry[1:].partition("]")[0]
    return registry.partition(":")[0]


def _contains(network: str, address: str) -> bool:
    try:
        return ip_address(address) in ip_network(network, strict=False)
    except ValueError:
        return False
