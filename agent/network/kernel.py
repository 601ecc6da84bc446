"""Say what a network namespace shall hold, in the kernel's own nouns.

Planners compare such values, those that they want with those that were found, and answer with
operations: `Put` makes it so whatever was there before, `Remove` is content when nothing is
there. Doing one twice, or after a crash in the middle, is therefore always right. `identity`
tells what a `Put` replaces, and `is_met` whether there is anything to do.

Links go by name, and are looked up when an operation is applied. Other namespaces go by labels
of the planner's choice; whoever applies the operations says which descriptor each label means.
Addresses are text as `inet_ntop` writes it (`10.0.1.5`, `fd00::5`), prefixes have their host
bits at zero (`10.0.1.0/24`), MAC addresses are lower case: what is found is written like that, so
what is wanted must be, to be recognised.
"""

from enum import IntEnum
from typing import Final, assert_never

from msgspec import Struct
from msgspec.structs import replace

ROUTE_PROTOCOL: Final = 83
"""Marks routes and rules as ours (`rtm_protocol`, `FRA_PROTOCOL`; rtnetlink.h leaves it free)."""

MAIN_TABLE: Final = 254

HERE: Final = ""
"""The label of the namespace that an operation is applied in."""

ELSEWHERE: Final = "?"
"""What is found instead of the label of a namespace that nobody gave a label to."""


class Link(Struct, frozen=True, kw_only=True):
    """A network device of any `kind` without options of its own: `dummy`, `wireguard`.

    `Put` with an empty kind changes a device that is there already (`lo`, a container's `eth0`).
    An empty `mac` and an `mtu` of 0 leave to the kernel what they are. What a device sends in UDP
    goes through the namespace that `underlay` labels when it is made: nobody can read that, so it
    is not compared.
    """

    name: str
    kind: str = ""
    mac: str = ""
    mtu: int = 0
    is_up: bool = True
    underlay: str = HERE


class Veth(Struct, frozen=True, kw_only=True):
    """A pair of devices; this end, and the `peer` in the namespace that `peer_netns` labels.

    Both ends are up, if `is_up`. What is found has no `peer_mac`, and has `peer` only if that is in
    the same namespace; neither is compared. `Put` on a pair that is there leaves the name, MAC and
    MTU of the other end as they are.
    """

    name: str
    peer: str
    peer_netns: str = HERE
    mac: str = ""
    peer_mac: str = ""
    mtu: int = 0
    is_up: bool = True


class Vxlan(Struct, frozen=True, kw_only=True):
    """A tunnel device that learns nothing and floods nothing: only `Forward`s lead out of it.

    Its UDP socket, on `port` of `local`, is in the namespace that `underlay` labels, and stays
    there. A `Put` with another `vni`, `port`, `local` or underlay makes the device anew, and with
    it go its routes, neighbours and forwards.
    """

    name: str
    vni: int
    port: int
    local: str
    underlay: str = HERE
    mac: str = ""
    mtu: int = 0
    is_up: bool = True


AnyLink = Link | Veth | Vxlan


class Address(Struct, frozen=True, kw_only=True):
    """An address of a link, with its prefix length: `10.0.1.5/24`.

    With `has_prefix_route` the kernel adds a route to the prefix. IPv6 addresses are usable at
    once (no duplicate address detection: who has which address is decided elsewhere). One of IPv4
    that is `on_link_only` is never chosen as the source of what goes elsewhere.
    """

    link: str
    address: str
    has_prefix_route: bool = False
    on_link_only: bool = False


class RouteKind(IntEnum):
    """What happens to a packet that takes the route (`RTN_*`)."""

    UNICAST = 1
    LOCAL = 2
    BLACKHOLE = 6
    UNREACHABLE = 7
    PROHIBIT = 8


class Scope(IntEnum):
    """How far away the destination is (`RT_SCOPE_*`); IPv6 knows only the first."""

    GLOBAL = 0
    LINK = 253
    HOST = 254


class Route(Struct, frozen=True, kw_only=True):
    """The way to a prefix; the default route is to `0.0.0.0/0` or `::/0`.

    `via` is the next hop, and may be of the other family. With `is_onlink` it need not be
    reachable by an address of the link. `scope` None is as `ip route` has it: LINK without a next
    hop, HOST for local routes, else GLOBAL. `source` is the preferred source address. `metric` 0
    is the family's default. A destination has one way for each table and metric.
    """

    destination: str
    link: str = ""
    via: str = ""
    is_onlink: bool = False
    source: str = ""
    table: int = MAIN_TABLE
    metric: int = 0
    kind: RouteKind = RouteKind.UNICAST
    scope: Scope | None = None
    protocol: int = ROUTE_PROTOCOL


class Neighbour(Struct, frozen=True, kw_only=True):
    """A permanent neighbour: nobody is ever asked for the MAC address of `address`."""

    link: str
    address: str
    mac: str


class Forward(Struct, frozen=True, kw_only=True):
    """An entry of a VXLAN device's forwarding database: frames to `mac` go to host `vtep`."""

    link: str
    mac: str
    vtep: str


class Rule(Struct, frozen=True, kw_only=True):
    """A policy rule: packets with this `mark` are routed by `table`."""

    mark: int
    table: int
    priority: int
    mask: int = 0xFFFFFFFF
    is_ipv6: bool = False
    protocol: int = ROUTE_PROTOCOL


class Family(IntEnum):
    """The family of an nftables table (`NFPROTO_*`)."""

    INET = 1
    IPV4 = 2
    ARP = 3
    NETDEV = 5
    BRIDGE = 7
    IPV6 = 10


class Table(Struct, frozen=True):
    """An nftables table. `Remove` takes all that is in it away; `Put` makes an empty one."""

    name: str
    family: Family = Family.INET


class Set(Struct, frozen=True):
    """A set or a map of a table. Its type is its ruleset's business."""

    table: Table
    name: str


class Verdict(Struct, frozen=True):
    """What a verdict map leads to: `code` is NFT_GOTO or the like, `chain` where to."""

    code: int
    chain: str = ""


class Element(Struct, frozen=True, kw_only=True):
    """An element of a set, or with `data` of a map; `agent.network.fields` builds both.

    Neighbouring operations on elements and tables are one transaction: packets see all of it or
    nothing, and after a refusal nothing has changed. `Put` in a map replaces the element, so its
    counter begins anew.
    """

    of: Set
    key: bytes
    data: bytes | Verdict | None = None


class Tunnel(Struct, frozen=True, kw_only=True):
    """How a WireGuard link speaks; the link is made by `Put(Link(name=…, kind="wireguard"))`.

    `mark` is what its own packets carry in the underlay. `Remove` takes its key away.
    """

    link: str
    private_key: bytes
    port: int
    mark: int = 0

    def __repr__(self) -> str:
        return f"Tunnel({self.link}, port {self.port})"


class TunnelPeer(Struct, frozen=True, kw_only=True):
    """Whom a WireGuard link speaks with, at `endpoint` in the underlay.

    Packets to `allowed` prefixes go to this peer, and only those from them are taken from it;
    `Put` takes such a prefix away from another peer. `keepalive_s` 0 is never.
    """

    link: str
    public_key: bytes
    preshared_key: bytes = b""
    endpoint: str = ""
    endpoint_port: int = 0
    allowed: tuple[str, ...] = ()
    keepalive_s: int = 0

    def __repr__(self) -> str:
        return f"TunnelPeer({self.link}, {self.public_key.hex()})"


class TunnelActivity(Struct, frozen=True, kw_only=True):
    """What a WireGuard link counts of a peer: the time of the last handshake (0 is never), bytes.

    `sent_bytes` has those of handshakes, too, so it grows although nobody answers.
    """

    handshake_at: float = 0.0
    sent_bytes: int = 0
    received_bytes: int = 0


Value = (
    Link
    | Veth
    | Vxlan
    | Address
    | Route
    | Neighbour
    | Forward
    | Rule
    | Table
    | Element
    | Tunnel
    | TunnelPeer
)


class Put(Struct, frozen=True):
    """Make the kernel hold `value`, instead of whatever has the same identity."""

    value: Value


class Remove(Struct, frozen=True):
    """Take away what has the identity of `value`; of a link only its name counts."""

    value: Value


Operation = Put | Remove


class Flow(Struct, frozen=True, kw_only=True):
    """A connection that is tracked, as its first packet was and as its answers are.

    With destination NAT the backend is `reply_source`. `is_answered` once there was a packet in
    each direction, `is_established` for TCP after the handshake. `zone` and `mark` are
    conntrack's; what has an `original_zone` is in it in its first packet's direction alone.
    """

    protocol: int
    source: str
    destination: str
    source_port: int = 0
    destination_port: int = 0
    reply_source: str = ""
    reply_destination: str = ""
    reply_source_port: int = 0
    reply_destination_port: int = 0
    is_answered: bool = False
    is_established: bool = False
    mark: int = 0
    zone: int = 0
    original_zone: int = 0


def identity(value: Value) -> tuple[object, ...]:
    """What a `Put` of `value` replaces: of one identity a namespace holds one value."""
    match value:
        case Link() | Veth() | Vxlan():
            return "link", value.name
        case Address():
            return "address", value.link, value.address
        case Route():
            return "route", value.destination, value.table, value.metric
        case Neighbour():
            return "neighbour", value.link, value.address
        case Forward():
            return "forward", value.link, value.mac
        case Rule():
            return "rule", value.is_ipv6, value.priority, value.mark, value.mask, value.table
        case Table():
            return "table", value
        case Element():
            return "element", value.of, value.key
        case Tunnel():
            return "tunnel", value.link
        case TunnelPeer():
            return "tunnel peer", value.link, value.public_key
        case _:
            assert_never(value)


def is_met(wanted: Value, found: Value) -> bool:
    """Whether `found`, as the kernel reports it, is all that `wanted` asks for."""
    match wanted, found:
        case ((Link() | Veth() | Vxlan()), (Link() | Veth() | Vxlan())):
            return is_made_as(wanted, found) and _is_set(wanted, found)
        case Route(), Route():
            return completed(wanted) == completed(found)
        case _:
            return wanted == found


def is_made_as(wanted: AnyLink, found: AnyLink) -> bool:
    """Whether `found` can become `wanted` without being made anew."""
    match wanted, found:
        case Link(), _:
            return wanted.kind in {"", _kind(found)}
        case Veth(), Veth():
            return _same_place(wanted.peer_netns, found.peer_netns)
        case Vxlan(), Vxlan():
            made, was = ((each.vni, each.port, each.local) for each in (wanted, found))
            return made == was and _same_place(wanted.underlay, found.underlay)
        case _:
            return False


def completed(route: Route) -> Route:
    """The route with its scope as the kernel will report it."""
    if ":" in route.destination:
        scope = Scope.GLOBAL
    elif route.scope is not None:
        return route
    elif route.kind is RouteKind.LOCAL:
        scope = Scope.HOST
    elif route.kind is RouteKind.UNICAST and not route.via:
        scope = Scope.LINK
    else:
        scope = Scope.GLOBAL
    return replace(route, scope=scope)


def _kind(link: AnyLink) -> str:
    match link:
        case Veth():
            return "veth"
        case Vxlan():
            return "vxlan"
        case Link():
            return link.kind


def _is_set(wanted: AnyLink, found: AnyLink) -> bool:
    return (
        wanted.name == found.name
        and wanted.mac in {"", found.mac}
        and wanted.mtu in {0, found.mtu}
        and wanted.is_up == found.is_up
    )


def _same_place(wanted: str, found: str) -> bool:
    """Whether it may be: a found one without a label is some other namespace than this."""
    if found == ELSEWHERE:
        return wanted != HERE
    return wanted == found
