"""Judge networks: what they are made from, which of them tasks are in, where addresses come from.

Whether a network exists, and whether its subnet is free, is asked of those who know. Names that
name services must be fit for DNS: `web`, and `web.backend` for it in the network backend.
"""

import re
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from swarm.checking.basics import Problem, is_hostname, labels
from swarm.specs import (
    BRIDGE,
    HOST,
    NONE,
    ClusterSpec,
    NetworkAttachment,
    NetworkDriver,
    NetworkSpec,
    PublishMode,
    ServiceSpec,
    Subnet,
)

BUILT_IN = (BRIDGE, HOST, NONE)
LEAST_MTU = 68
LEAST_MTU_IPV6 = 1280
MOST_MTU = 65535
LONGEST_IPV4_PREFIX = 29
LONGEST_IPV6_PREFIX = 120
SHORTEST_PREFIX = 8
IPV6_BITS = 64
DATA_PATH_PORTS = range(1024, 49152)

Range = IPv4Network | IPv6Network

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?")
_RESERVED = (*BUILT_IN, "default")
_TAKEN = tuple(
    (ip_network(text), why)
    for text, why in (
        ("0.0.0.0/8", "stands for this host"),
        ("127.0.0.0/8", "is every host's own"),
        ("169.254.0.0/16", "is for single links"),
        ("224.0.0.0/4", "is for multicast"),
        ("240.0.0.0/4", "is what nodes call each other inside of networks"),
        ("::/8", "is reserved"),
        ("fe80::/10", "is for single links"),
        ("ff00::/8", "is for multicast"),
    )
)


def check_network(spec: NetworkSpec) -> tuple[str, ...]:
    """Every problem of a network's spec as `path: what is wrong`."""
    return tuple(f"{path}: {text}" for path, text in _network(spec))


def attachments(spec: ServiceSpec) -> Iterator[Problem]:
    """The networks that a service's tasks are in."""
    networks = spec.task.networks
    targets = [each.target for each in networks]
    for index, each in enumerate(networks):
        path = f"task.networks[{index}]"
        yield from _attachment(path, each)
        if each.target in targets[:index]:
            yield path, f"{each.target} is given twice; once will do"
    distinct = list(dict.fromkeys(targets))
    alone = [each for each in distinct if each in BUILT_IN]
    if alone and len(distinct) > 1:
        yield "task.networks", f"{' and '.join(distinct)}: {alone[0]} excludes others; give one"
    if targets == [BRIDGE] and any(p.mode is PublishMode.INGRESS for p in spec.endpoint.ports):
        yield (
            "task.networks",
            "bridge excludes ports in ingress mode, which come by a network of their own; leave "
            "bridge out, or publish in mode=host",
        )
    if spec.task.is_on_host:
        for name in sorted(spec.task.container.sysctls):
            if name.startswith("net."):
                yield (
                    f"task.container.sysctls[{name}]",
                    f"{name} would change the host with network host; leave it out",
                )


def pools(spec: ClusterSpec) -> Iterator[Problem]:
    """Where the subnets of networks come from that were given none."""
    found: list[Range] = []
    for index, text in enumerate(spec.address_pools):
        path = f"address_pools[{index}]"
        try:
            pool = read_range(text)
        except ValueError as err:
            yield path, str(err)
            continue
        yield from _reserved(path, pool)
        for other in found:
            if pool.version == other.version and pool.overlaps(other):
                yield path, f"{text} overlaps {other}; give ranges that have nothing in common"
        bits = spec.subnet_bits if pool.version == 4 else IPV6_BITS
        if pool.prefixlen > bits:
            yield path, f"{text} is smaller than one subnet (/{bits}); give a larger range"
        found.append(pool)
    if not any(each.version == 4 for each in found):
        yield "address_pools", "there is none of IPv4; give one, such as 10.0.0.0/8"
    if not SHORTEST_PREFIX <= spec.subnet_bits <= LONGEST_IPV4_PREFIX:
        yield (
            "subnet_bits",
            f"{spec.subnet_bits} is not in {SHORTEST_PREFIX}..{LONGEST_IPV4_PREFIX}",
        )
    if spec.data_path_port not in DATA_PATH_PORTS:
        first, last = DATA_PATH_PORTS[0], DATA_PATH_PORTS[-1]
        yield "data_path_port", f"{spec.data_path_port} is not in {first}..{last}"


def read_range(text: str) -> Range:
    """A range in CIDR; `ValueError` says what is wrong with it."""
    address, slash, _ = text.partition("/")
    try:
        found = ip_network(text, strict=False)
    except ValueError:
        found = None
    if found is None or not slash:
        raise ValueError(f"{text!r} is not a range of addresses; write it like 10.0.9.0/24")
    if ip_address(address) != found.network_address:
        raise ValueError(f"{text} has bits set behind its prefix; write {found}")
    return found


def _network(spec: NetworkSpec) -> Iterator[Problem]:
    yield from _name(spec.name)
    yield from labels("labels", spec.labels)
    yield from _subnets(spec)
    yield from _mtu(spec)
    for name in sorted(spec.options):
        yield f"options[{name}]", f"there is no option {name!r}; there are encrypted and mtu"
    if spec.driver is NetworkDriver.BRIDGE and spec.encrypted:
        yield "encrypted", "a bridge sends nothing between nodes; leave it out, or use overlay"
    if spec.ingress:
        for path, is_set, why in (
            ("driver", spec.driver is NetworkDriver.BRIDGE, "has to reach every node; use overlay"),
            ("internal", spec.internal, "is what comes in from outside; leave it out"),
            ("attachable", spec.attachable, "takes in published services only; leave it out"),
        ):
            if is_set:
                yield path, f"the ingress network {why}"


def _name(name: str) -> Iterator[Problem]:
    if not name:
        yield "name", "must not be empty"
    elif name in _RESERVED:
        yield "name", f"{name} is a network that every node has by itself; choose another name"
    elif not _NAME.fullmatch(name):
        yield (
            "name",
            f"{name!r} must be letters, digits, - and _, start and end with a letter or digit, and "
            "have at most 63 characters",
        )


def _mtu(spec: NetworkSpec) -> Iterator[Problem]:
    if spec.mtu and not LEAST_MTU <= spec.mtu <= MOST_MTU:
        yield "mtu", f"{spec.mtu} is not in {LEAST_MTU}..{MOST_MTU}"
    elif spec.mtu and spec.ipv6 and spec.mtu < LEAST_MTU_IPV6:
        yield (
            "mtu",
            f"{spec.mtu} is less than the {LEAST_MTU_IPV6} that IPv6 needs; give at least that, or "
            "have the network without IPv6",
        )


def _subnets(spec: NetworkSpec) -> Iterator[Problem]:
    families: dict[int, int] = {}
    for index, subnet in enumerate(spec.subnets):
        path = f"subnets[{index}]"
        if not subnet.subnet:
            yield from _unknown_subnet(path, subnet)
            continue
        try:
            found = read_range(subnet.subnet)
        except ValueError as err:
            yield f"{path}.subnet", str(err)
            continue
        if (first := families.setdefault(found.version, index)) != index:
            yield (
                f"{path}.subnet",
                f"{found} is the second of IPv{found.version}, after "
                f"{spec.subnets[first].subnet}; a network has one",
            )
        if found.version == 6 and not spec.ipv6:
            yield f"{path}.subnet", f"{found} is of IPv6, which the network does not have"
        yield from _size(f"{path}.subnet", found)
        yield from _reserved(f"{path}.subnet", found)
        yield from _ip_range(f"{path}.ip_range", subnet, found)
        yield from _singles(path, subnet, found)


def _unknown_subnet(path: str, subnet: Subnet) -> Iterator[Problem]:
    for name, is_given in (
        ("gateway", bool(subnet.gateway)),
        ("ip_range", bool(subnet.ip_range)),
        ("aux_addresses", bool(subnet.aux_addresses)),
    ):
        if is_given:
            yield f"{path}.{name}", "needs a subnet that it lies in; give that, too"


def _size(path: str, found: Range) -> Iterator[Problem]:
    longest = LONGEST_IPV4_PREFIX if found.version == 4 else LONGEST_IPV6_PREFIX
    if found.prefixlen > longest:
        yield (
            path,
            f"{found} has {found.num_addresses} addresses, too few for a gateway, services and "
            f"tasks; the smallest is a /{longest}",
        )
    elif found.prefixlen < SHORTEST_PREFIX:
        yield path, f"{found} is more than a network needs; the largest is a /{SHORTEST_PREFIX}"


def _reserved(path: str, found: Range) -> Iterator[Problem]:
    for taken, why in _TAKEN:
        if found.version == taken.version and found.overlaps(taken):
            yield path, f"{found} overlaps {taken}, which {why}; choose another range"


def _ip_range(path: str, subnet: Subnet, whole: Range) -> Iterator[Problem]:
    if not subnet.ip_range:
        return
    try:
        found = read_range(subnet.ip_range)
    except ValueError as err:
        yield path, str(err)
        return
    if found.version != whole.version or not _lies_in(found, whole):
        yield path, f"{found} is not within the subnet {whole}"


def _singles(path: str, subnet: Subnet, whole: Range) -> Iterator[Problem]:
    """The gateway, and what is kept for others."""
    taken: dict[str, str] = {}
    singles = [(f"{path}.gateway", "the gateway", subnet.gateway)] if subnet.gateway else []
    for name, text in sorted(subnet.aux_addresses.items()):
        if not name:
            yield f"{path}.aux_addresses", f"{text} has no name; write NAME={text}"
        singles.append((f"{path}.aux_addresses[{name}]", name, text))
    for where, who, text in singles:
        try:
            address = ip_address(text)
        except ValueError:
            yield where, f"{text!r} is not an address"
            continue
        if address not in whole:
            yield where, f"{text} is not in the subnet {whole}"
        elif address == whole.network_address:
            yield where, f"{text} is the address of the subnet {whole} itself"
        elif whole.version == 4 and address == whole.broadcast_address:
            yield where, f"{text} is the broadcast address of the subnet {whole}"
        elif str(address) in taken:
            yield where, f"{text} is taken by {taken[str(address)]}"
        taken.setdefault(str(address), who)


def _lies_in(found: Range, whole: Range) -> bool:
    return found.network_address in whole and found.broadcast_address in whole


def names(path: str, aliases: Iterable[str]) -> Iterator[Problem]:
    """What somebody is called in a network besides."""
    seen = set[str]()
    for at, alias in enumerate(aliases):
        where = f"{path}[{at}]"
        if "{{" in alias or not is_hostname(alias):
            yield where, f"{alias!r} is not a name for DNS: letters, digits, - and . do"
        elif alias.lower() in seen:
            yield where, f"{alias} is given twice"
        seen.add(alias.lower())


def _attachment(path: str, each: NetworkAttachment) -> Iterator[Problem]:
    if not each.target:
        yield f"{path}.target", "must not be empty"
    if each.aliases and each.target in BUILT_IN:
        yield f"{path}.aliases", f"nobody is found by name in {each.target}; leave them out"
    else:
        yield from names(f"{path}.aliases", each.aliases)
