"""Say which addresses of a subnet containers and services may get.

Those that stand for the subnet itself or for everybody in it, the gateway's, and those that were
set aside are nobody's; all others within the range are to be given. What a spec may say of its
subnets is judged by `swarm.checking.networks`; here it is taken as it is.
"""

from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from swarm.specs import Subnet

Range = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address


def edges(subnet: Range) -> frozenset[int]:
    """The addresses that stand for the subnet, and for everybody in it."""
    first, last = int(subnet.network_address), int(subnet.broadcast_address)
    return frozenset((first, last)) if subnet.version == 4 else frozenset((first,))


def gateway_of(each: Subnet) -> Address:
    """The gateway that was given, or else the first address that is not set aside."""
    if each.gateway:
        return ip_address(each.gateway)
    aside = set(map(ip_address, each.aux_addresses.values()))
    gateway = ip_network(each.subnet).network_address + 1
    while gateway in aside:
        gateway += 1
    return gateway


def bounds(each: Subnet) -> tuple[int, int]:
    """The first and the last address of the range that those are from."""
    chosen = ip_network(each.ip_range or each.subnet)
    return int(chosen.network_address), int(chosen.broadcast_address)


def kept(each: Subnet) -> frozenset[int]:
    """The addresses of the subnet that nobody is given."""
    aside = {int(ip_address(text)) for text in each.aux_addresses.values()}
    return edges(ip_network(each.subnet)) | aside | {int(gateway_of(each))}


def room_in(each: Subnet) -> int:
    """How many addresses there are to give."""
    first, last = bounds(each)
    return last - first + 1 - sum(first <= address <= last for address in kept(each))
