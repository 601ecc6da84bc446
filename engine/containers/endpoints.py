"""Show a container's networks."""

from collections.abc import Iterable, Mapping

from engine.containers import ports
from engine.replies import JsonObject
from engine.versions import Version
from swarm.api.v1 import containers_pb2 as pb
from swarm.codec import from_message
from swarm.specs import BRIDGE, Port

_NAMES_APART = Version(1, 45)
_HAS_NAMES = Version(1, 44)
_SHORT = 12


def write_networks(view: pb.ContainerView, version: Version) -> JsonObject:
    """Each network by its name."""
    short = view.id[:_SHORT] if view.started_at else ""
    return {
        each.network_name: write_endpoint(each, version, short_id=short) for each in view.endpoints
    }


def write_endpoint(
    endpoint: pb.ContainerEndpoint, version: Version, *, short_id: str = ""
) -> JsonObject:
    """One interface, with what was asked for it.

    Older clients find the beginning of the container's id among its aliases, once it was started.
    """
    asked = endpoint.asked
    addresses = _addresses(endpoint)
    aliases = list(asked.aliases or endpoint.aliases)
    is_named = endpoint.network_name not in (BRIDGE, "host", "none")
    if version < _NAMES_APART and is_named and short_id:
        aliases = list(dict.fromkeys((*aliases, short_id)))
    found: JsonObject = {
        "IPAMConfig": _asked_addresses(asked),
        "Links": list(asked.links) or None,
        "Aliases": aliases or None,
        "MacAddress": endpoint.mac_address,
        "DriverOpts": dict(asked.driver_options) or None,
        "NetworkID": endpoint.network_id,
        "EndpointID": endpoint.endpoint_id,
        "Gateway": addresses["Gateway"],
        "IPAddress": addresses["IPAddress"],
        "IPPrefixLen": addresses["IPPrefixLen"],
        "IPv6Gateway": addresses["IPv6Gateway"],
        "GlobalIPv6Address": addresses["GlobalIPv6Address"],
        "GlobalIPv6PrefixLen": addresses["GlobalIPv6PrefixLen"],
    }
    if version >= _HAS_NAMES:
        found["DNSNames"] = list(endpoint.names) or None
    return found


def write_settings(view: pb.ContainerView, version: Version) -> JsonObject:
    """All that a container's inspection says of networks."""
    default = next((each for each in view.endpoints if each.network_name == BRIDGE), None)
    shown = default if default is not None else pb.ContainerEndpoint()
    is_up = bool(view.pid)
    return {
        "Bridge": "",
        "SandboxID": view.id if is_up else "",
        "SandboxKey": view.sandbox_key,
        "Ports": ports.write_map(view.exposed, published(view)) if is_up else {},
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        "EndpointID": shown.endpoint_id,
        "MacAddress": shown.mac_address,
        **_addresses(shown),
        "Networks": write_networks(view, version),
    }


def published(view: pb.ContainerView) -> tuple[Port, ...]:
    """The ports of the node that lead to a container now."""
    return tuple(from_message(Port, each) for each in view.ports)


def _addresses(endpoint: pb.ContainerEndpoint) -> Mapping[str, str | int]:
    v4, v4_bits = _first(endpoint.addresses, is_v6=False)
    v6, v6_bits = _first(endpoint.addresses, is_v6=True)
    return {
        "Gateway": next((each for each in endpoint.gateways if ":" not in each), ""),
        "IPAddress": v4,
        "IPPrefixLen": v4_bits,
        "IPv6Gateway": next((each for each in endpoint.gateways if ":" in each), ""),
        "GlobalIPv6Address": v6,
        "GlobalIPv6PrefixLen": v6_bits,
    }


def _first(addresses: Iterable[str], *, is_v6: bool) -> tuple[str, int]:
    for each in addresses:
        address, _, bits = each.partition("/")
        if (":" in address) is is_v6:
            return address, int(bits or 0)
    return "", 0


def _asked_addresses(asked: pb.ContainerNetwork) -> JsonObject | None:
    found: JsonObject = {}
    if asked.ipv4_address:
        found["IPv4Address"] = asked.ipv4_address
    if asked.ipv6_address:
        found["IPv6Address"] = asked.ipv6_address
    if asked.link_local_addresses:
        found["LinkLocalIPs"] = list(asked.link_local_addresses)
    return found or None
