"""Make networks of this node alone: judge what is asked for, and choose what is left open.

They are bridges by name: a router like every network's, without a tunnel. Names are whatever
people type, as with Docker. Docker's options of its bridge are taken where they say what we do
anyway; those that would have packets pass otherwise are refused, for a firewall that somebody
believes in is worse than none. What only names things of the host has no effect, which is told.
"""

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv6Network, ip_address, ip_network
from random import Random
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from agent.network.host_bridge import free_subnet
from swarm.checking.networks import BUILT_IN, check_network
from swarm.errors import Invalid, Refused, Unavailable
from swarm.ids import NetworkId
from swarm.objects import Network
from swarm.specs import NetworkDriver, NetworkSpec, Subnet
from swarm.subnets import Range, gateway_of, room_in

ID_BITS: Final = 256
LONGEST_NAME: Final = 255

_MTU: Final = "com.docker.network.driver.mtu"
_HOST_IP: Final = "com.docker.network.bridge.host_binding_ipv4"
_FIXED: Final = {
    "com.docker.network.bridge.enable_icc": "true",
    "com.docker.network.bridge.enable_ip_masquerade": "true",
    "com.docker.network.bridge.inhibit_ipv4": "false",
    "com.docker.network.bridge.gateway_mode_ipv4": "nat",
    "com.docker.network.bridge.gateway_mode_ipv6": "nat",
}
_WITHOUT_EFFECT: Final = (
    "com.docker.network.bridge.name",
    "com.docker.network.container_iface_prefix",
    "com.docker.network.host_ipv4",
    "com.docker.network.host_ipv6",
)
_TRUTHS: Final = {"1": "true", "t": "true", "0": "false", "f": "false"}
_UNIQUE_LOCAL: Final = 0xFD << 120
_V6_BITS: Final = 64


class Taken(Struct, frozen=True, kw_only=True):
    """Addresses that somebody has; `whose` names him."""

    prefix: str
    whose: str


def check(spec: NetworkSpec, known: Iterable[str]) -> tuple[str, ...]:
    """Refuse what cannot be made beside the networks called `known`; gives warnings."""
    if spec.name in (*BUILT_IN, "default"):
        raise Refused(f"operation is not permitted on predefined {spec.name} network")
    if not spec.name.strip() or not spec.name.isprintable() or len(spec.name) > LONGEST_NAME:
        raise Invalid(
            f"network name {spec.name!r} must be 1 to {LONGEST_NAME} printable characters"
        )
    if spec.name in known:
        raise Refused(f"network with name {spec.name} already exists")
    if spec.driver is not NetworkDriver.BRIDGE:
        raise Invalid(
            "networks of one node have the driver bridge",
            hint="overlay networks are the swarm's: make them through a manager",
        )
    judged = replace(spec, name="n", options={}, labels={}, mtu=mtu(spec))
    if problems := (*check_network(judged), *_options(spec.options)):
        raise Invalid(problems[0], problems=problems)
    return tuple(
        f"option {name} has no effect: this network has no such thing on the host"
        for name in _WITHOUT_EFFECT
        if name in spec.options
    )


def make(
    spec: NetworkSpec,
    network_id: NetworkId,
    *,
    taken: Sequence[Taken],
    at: float,
    random: Random,
) -> Network:
    """The network, of a spec that was checked; `Refused` where a subnet is somebody's."""
    given: dict[int, Subnet] = {}
    for each in filter(lambda each: each.subnet, spec.subnets):
        given[ip_network(each.subnet).version] = each
        _refuse_overlap(ip_network(each.subnet), taken)
        if room_in(each) < 1:
            raise Invalid(f"{each.ip_range or each.subnet} has no address left for a container")
    if 4 not in given:
        given[4] = Subnet(subnet=_free_ipv4(taken))
    if spec.ipv6 and 6 not in given:
        given[6] = Subnet(subnet=_free_ipv6(taken, random))
    subnets = tuple(
        replace(each, gateway=str(gateway_of(each))) for _, each in sorted(given.items())
    )
    return Network(id=network_id, spec=spec, subnets=subnets, created_at=at, updated_at=at)


def make_id(random: Random) -> NetworkId:
    """An id of as many digits as those of Docker's networks."""
    return NetworkId(f"{random.getrandbits(ID_BITS):0{ID_BITS // 4}x}")


def mtu(spec: NetworkSpec) -> int:
    """The size of packets that was asked for; 0 is the host's."""
    text = spec.options.get(_MTU, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 9 else spec.mtu


def host_ip(spec: NetworkSpec) -> str:
    """The address of the node that ports are published on where they say nothing of it."""
    text = spec.options.get(_HOST_IP, "")
    return "" if text in ("", "0.0.0.0") else text


def has_chosen_subnet(network: Network) -> bool:
    """Whether somebody chose a subnet, so that containers may choose addresses."""
    return any(each.subnet for each in network.spec.subnets)


def overlap(one: Range, other: Range) -> bool:
    """Whether the two have an address in common."""
    if one.version != other.version:
        return False
    first, last = int(one.network_address), int(one.broadcast_address)
    return first <= int(other.broadcast_address) and int(other.network_address) <= last


def _options(options: Mapping[str, str]) -> Iterable[str]:
    for name, text in sorted(options.items()):
        value = _TRUTHS.get(text.lower(), text.lower())
        if name in _FIXED and value != _FIXED[name]:
            yield (
                f"options[{name}]: {text!r} is not supported: this node's networks are as with "
                f"{_FIXED[name]!r}"
            )
        elif name == _MTU and not (text.isascii() and text.isdecimal() and len(text) < 9):
            yield f"options[{name}]: {text!r} is not a size of packets"
        elif name == _HOST_IP and not _is_ipv4(text):
            yield f"options[{name}]: {text!r} is not an address of IPv4"


def _is_ipv4(text: str) -> bool:
    try:
        return ip_address(text).version == 4
    except ValueError:
        return False


def _refuse_overlap(subnet: Range, taken: Iterable[Taken]) -> None:
    for each in taken:
        prefix = ip_network(each.prefix, strict=False)
        if prefix.prefixlen and overlap(subnet, prefix):
            raise Refused(
                "Pool overlaps with other one on this address space",
                hint=f"{subnet} overlaps {prefix} of {each.whose}; choose another subnet, or none",
            )


def _free_ipv4(taken: Iterable[Taken]) -> str:
    if found := free_subnet(each.prefix for each in taken):
        return found
    raise Unavailable(
        "could not find an available, non-overlapping IPv4 address pool among the defaults to "
        "assign to the network",
        hint="remove networks that nobody needs, or choose a subnet",
    )


def _free_ipv6(taken: Sequence[Taken], random: Random) -> str:
    """A unique local subnet (RFC 4193), at random."""
    others = [ip_network(each.prefix, strict=False) for each in taken]
    while True:
        prefix = _UNIQUE_LOCAL | random.getrandbits(_V6_BITS - 8) << _V6_BITS
        found = IPv6Network((prefix, _V6_BITS))
        if not any(each.prefixlen and overlap(found, each) for each in others):
            return str(found)
