"""Lay out what clients send of networks."""

from msgspec import Struct

from engine.wire.containers import EndpointJson


class PoolJson(Struct, frozen=True, kw_only=True, rename="pascal"):
    """A range of addresses."""

    subnet: str = ""
    ip_range: str = ""
    gateway: str = ""
    auxiliary_addresses: dict[str, str] = {}


class AddressingJson(Struct, frozen=True, kw_only=True, rename="pascal"):
    """Where a network's addresses come from."""

    driver: str = ""
    options: dict[str, str] = {}
    config: tuple[PoolJson, ...] = ()


class NetworkJson(Struct, frozen=True, kw_only=True, rename="pascal"):
    """A network to be made."""

    name: str = ""
    check_duplicate: bool = False
    driver: str = ""
    scope: str = ""
    enable_ipv4: bool | None = None
    enable_ipv6: bool | None = None
    ipam: AddressingJson | None = None
    internal: bool = False
    attachable: bool = False
    ingress: bool = False
    config_only: bool = False
    config_from: dict[str, object] | None = None
    options: dict[str, str] = {}
    labels: dict[str, str] = {}


class ConnectJson(Struct, frozen=True, kw_only=True, rename="pascal"):
    """A container that is to be in a network."""

    container: str = ""
    endpoint_config: EndpointJson | None = None


class DisconnectJson(Struct, frozen=True, kw_only=True, rename="pascal"):
    """A container that is to leave a network."""

    container: str = ""
    force: bool = False
