"""Say which networks a container is to be in, what it is called there, and what it publishes.

Its network mode says where it is while nothing more is said; what `networks` holds is all there
is, in the order of its interfaces, but that the mode's network comes first. Whoever has been
taken out of its last network is in `none`.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from ipaddress import ip_address
from typing import Final

from msgspec.structs import replace

from agent.dns.asking import Nickname
from swarm.checking.basics import is_hostname
from swarm.errors import Invalid, Missing, Refused
from swarm.ids import NetworkId
from swarm.specs import BRIDGE, HOST, NONE, Port, Protocol, PublishMode
from swarm.standalone import ContainerNetwork, PortSpan, StandaloneSpec

DEFAULT: Final = "default"
_CONTAINER: Final = "container:"
_MAC: Final = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_ANYWHERE: Final = ("0.0.0.0", "::")
_USER_DEFINED: Final = (
    "network-scoped alias is supported only for containers in user defined networks"
)
_UNDEFINED: Final = "This would result in undefined behavior"


def mode(spec: StandaloneSpec) -> str:
    """Where it is unless more is said: host, none, or a network."""
    return BRIDGE if spec.network_mode in ("", DEFAULT) else spec.network_mode


def joined(spec: StandaloneSpec) -> str:
    """The container whose network it has instead of one of its own; else empty."""
    return spec.network_mode.removeprefix(_CONTAINER) if _is_joining(spec) else ""


def is_apart(spec: StandaloneSpec) -> bool:
    """Whether it has no network of its own to be connected: the node's, another's, or none."""
    return mode(spec) in (HOST, NONE) or _is_joining(spec)


def memberships(spec: StandaloneSpec) -> tuple[ContainerNetwork, ...]:
    """The networks that it is to be in, its mode's first."""
    if is_apart(spec):
        return ()
    first = mode(spec)
    listed = spec.networks or (ContainerNetwork(network=first),)
    named = [_named(each) for each in listed if each.network != NONE]
    found = sorted(named, key=lambda each: each.network != first)
    if found and found[0].network == first:
        found[0] = _of_mode(found[0], spec)
    return tuple(found)


def connected(
    spec: StandaloneSpec, asked: ContainerNetwork, *, means: Callable[[str], bool]
) -> StandaloneSpec:
    """The same, in one more network, or in another way in that one; `means` knows its names."""
    others = tuple(each for each in memberships(spec) if not means(each.network))
    return replace(spec, networks=(*others, asked))


def disconnected(spec: StandaloneSpec, *, means: Callable[[str], bool]) -> StandaloneSpec:
    """The same, without one of its networks."""
    others = tuple(each for each in memberships(spec) if not means(each.network))
    return replace(spec, networks=others or (ContainerNetwork(network=NONE),))


def nicknames(spec: StandaloneSpec, networks: Mapping[str, NetworkId]) -> Iterator[Nickname]:
    """What it calls others in networks where there are names: `networks` are those, as it names
    them."""
    for each in memberships(spec):
        for text in (*each.links, *spec.links) if each.network in networks else ():
            name, alias = link(text)
            yield Nickname(network_id=networks[each.network], alias=alias, name=name)


def unlinked(spec: StandaloneSpec, alias: str) -> StandaloneSpec:
    """The same without its links by that name; raises `Missing` when it has none."""
    kept = tuple(text for text in spec.links if link(text)[1] != alias)
    networks = tuple(
        replace(each, links=tuple(text for text in each.links if link(text)[1] != alias))
        for each in spec.networks
    )
    if (kept, networks) == (spec.links, spec.networks):
        raise Missing(f"Cannot get child: {spec.name} has no link {alias}")
    return replace(spec, links=kept, networks=networks)


def bridge_links(spec: StandaloneSpec) -> tuple[str, ...]:
    """The links that it has in the node's own bridge."""
    for each in memberships(spec):
        if each.network == BRIDGE:
            return (*spec.links, *each.links)
    return ()


def link(text: str) -> tuple[str, str]:
    """The container and what it is called: CONTAINER[:ALIAS], as paths in older requests."""
    name, _, alias = text.partition(":")
    name, alias = name.rpartition("/")[2], alias.rpartition("/")[2]
    if not name or ":" in alias:
        raise Invalid(f"invalid link: {text!r}", hint="write CONTAINER or CONTAINER:ALIAS")
    return name, alias or name


def ports(spec: StandaloneSpec, exposed: Iterable[str]) -> tuple[Port, ...]:
    """The ports of the node that it asks for; with `publish_all` all that are `exposed`, too."""
    asked = tuple(replace(each, mode=PublishMode.HOST) for each in spec.ports)
    if not spec.publish_all:
        return asked
    known = {(each.target, each.protocol) for each in (*asked, *(x.port for x in spec.port_spans))}
    return asked + tuple(
        Port(target=target, protocol=protocol, mode=PublishMode.HOST)
        for target, protocol in sorted(set(_exposed(exposed)) - known)
    )


def bound(each: Port) -> tuple[str, int, str]:
    """What nobody else can have beside it: protocol, port and address; every address is empty."""
    return each.protocol.word, each.published, "" if each.ip in _ANYWHERE else each.ip


def clash(one: Port, other: Port) -> bool:
    """Whether nobody can have both, unless it is one container."""
    first, second = bound(one), bound(other)
    return first[:2] == second[:2] and (first[2] == second[2] or not (first[2] and second[2]))


def check(spec: StandaloneSpec) -> tuple[str, ...]:
    """Raise `Invalid` for what could never be connected; gives warnings."""
    for text in _problems(spec):
        raise Invalid(text)
    if mode(spec) == HOST and (spec.ports or spec.port_spans or spec.publish_all):
        return ("Published ports are discarded when using host network mode",)
    return ()


def check_membership(each: ContainerNetwork) -> None:
    """The same, of one network."""
    for text in _membership(_named(each)):
        raise Invalid(text)


def mac(text: str) -> str:
    """A MAC address as the kernel writes it."""
    return text.lower().replace("-", ":")


def check_address(each: ContainerNetwork, *, may_choose: bool, is_bridge: bool) -> None:
    """Refuse wishes for addresses where they mean nothing the next time."""
    if not (each.ipv4_address or each.ipv6_address):
        return
    if is_bridge:
        raise Invalid("user specified IP address is supported on user defined networks only")
    if not may_choose:
        raise Invalid(
            "user specified IP address is supported only when connecting to networks with user "
            "configured subnets",
            hint="make the network with --subnet",
        )


def refuse_apart(spec: StandaloneSpec) -> None:
    """Refuse to connect what has no network of its own."""
    if mode(spec) == NONE:
        raise Refused(
            "container cannot be connected to multiple networks with one of the networks in "
            "private (none) mode"
        )
    if is_apart(spec):
        raise Refused(
            "container sharing network namespace with another container or host cannot be "
            "connected to any other network"
        )


def _is_joining(spec: StandaloneSpec) -> bool:
    return spec.network_mode.startswith(_CONTAINER)


def _named(each: ContainerNetwork) -> ContainerNetwork:
    return replace(each, network=BRIDGE) if each.network == DEFAULT else each


def _of_mode(each: ContainerNetwork, spec: StandaloneSpec) -> ContainerNetwork:
    return replace(each, mac_address=each.mac_address or spec.mac_address)


def _exposed(texts: Iterable[str]) -> Iterator[tuple[int, Protocol]]:
    for text in texts:
        number, _, word = text.partition("/")
        first, _, last = number.partition("-")
        protocol = Protocol[(word or "tcp").upper()]
        for port in range(int(first), int(last or first) + 1):
            yield port, protocol


def _problems(spec: StandaloneSpec) -> Iterator[str]:
    if _is_joining(spec):
        yield from _joining(spec)
    if mode(spec) == HOST and (spec.links or any(each.links for each in spec.networks)):
        yield f"conflicting options: host type networking can't be used with links. {_UNDEFINED}"
    if is_apart(spec):
        yield from _apart(spec)
    for text in (*spec.links, *(text for each in spec.networks for text in each.links)):
        link(text)
    if spec.mac_address and not _is_mac(spec.mac_address):
        yield f"invalid MAC address: {spec.mac_address}"
    for each in memberships(spec):
        yield from _membership(each)
    names = [each.network for each in memberships(spec)]
    for name in sorted(set(names)):
        if names.count(name) > 1:
            yield f"network {name} is given twice"
    yield from _ports(spec.ports, spec.port_spans)


def _joining(spec: StandaloneSpec) -> Iterator[str]:
    asked = spec.container
    if not joined(spec):
        yield f"invalid network mode: invalid container format {_CONTAINER}<name|id>"
    for is_asked, what in (
        (bool(asked.hostname), "hostname"),
        (bool(asked.dns_servers), "dns"),
        (bool(asked.hosts), "custom host-to-IP mapping"),
        (bool(spec.mac_address), "mac-address"),
    ):
        if is_asked:
            yield f"conflicting options: {what} and the network mode"
    if spec.links:
        yield (
            f"conflicting options: container type network can't be used with links. {_UNDEFINED}"
        )
    if spec.ports or spec.port_spans or spec.publish_all:
        yield "conflicting options: port publishing and the container type network mode"
    if spec.exposed:
        yield "conflicting options: port exposing and the container type network mode"


def _apart(spec: StandaloneSpec) -> Iterator[str]:
    for each in spec.networks:
        if each.network and each.network != spec.network_mode:
            yield (
                f"conflicting options: cannot attach to network {each.network} with network mode "
                f"{spec.network_mode}"
            )
        if each.aliases:
            yield _USER_DEFINED
        if each.ipv4_address or each.ipv6_address:
            yield "user specified IP address is supported on user defined networks only"


def _membership(each: ContainerNetwork) -> Iterator[str]:
    if not each.network:
        yield "network must not be empty"
    if each.network == BRIDGE and each.aliases:
        yield _USER_DEFINED
    for alias in each.aliases:
        if not is_hostname(alias.replace("_", "-")):
            yield f"invalid alias: {alias!r} is not a name for DNS"
    for text, version in ((each.ipv4_address, 4), (each.ipv6_address, 6)):
        if text and _version(text) != version:
            yield f"invalid IPv{version} address: {text}"
    if each.mac_address and not _is_mac(each.mac_address):
        yield f"invalid MAC address: {each.mac_address}"


def _is_mac(text: str) -> bool:
    """A MAC address of one station, and not of several or none."""
    found = mac(text)
    return bool(_MAC.fullmatch(found)) and not int(found[:2], 16) & 1 and found != "00:" * 5 + "00"


def _version(text: str) -> int:
    try:
        return ip_address(text).version
    except ValueError:
        return 0


def _ports(ports: Iterable[Port], spans: Iterable[PortSpan]) -> Iterator[str]:
    targets: dict[tuple[str, int, str], int] = {}
    for each in ports:
        if not 0 < each.target < 1 << 16 or not 0 <= each.published < 1 << 16:
            yield f"invalid port: {each.published}:{each.target}"
        if each.ip and not _version(each.ip):
            yield f"invalid IP address: {each.ip}"
        if each.published and targets.setdefault(bound(each), each.target) != each.target:
            ip = each.ip or _ANYWHERE[0]
            yield f"Bind for {ip}:{each.published} failed: port is already allocated"
    for span in spans:
        if not 0 < span.port.target < 1 << 16 or not 0 < span.port.published <= span.last < 1 << 16:
            yield f"invalid ports: {span.port.published}-{span.last}:{span.port.target}"
