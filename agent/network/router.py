"""Say what a router holds because of each record, and a container because of each attachment.

A network is routed, not bridged: on every node that has containers in it there is a namespace,
and every endpoint is a route of its own, to a container's veth or through the tunnel to the node
where it is. Nothing is flooded, learned or asked for: all neighbours are permanent. What no
route leads to is unreachable at once, so a caller of a container that is gone does not wait.

Each function answers for one record alone; whatever changes, nothing else has to be looked at.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct

from agent.network import fields
from agent.network.addressing import (
    ANY_PEER,
    HOST_MAC,
    HOST_VIA,
    HOST_VIA6,
    NODE_MARK,
    NODE_MARK_MASK,
    ROUTER_MAC,
    ROUTER_VIA,
    TUNNEL,
    UPLINK,
    container_mac,
    host_link,
    host_prefix,
    is_ipv6,
    peer_mac,
    peer_mark,
    peer_via,
    peer_via6,
    peer_zone,
    task_link,
)
from agent.network.kernel import (
    Address,
    Element,
    Forward,
    Link,
    Neighbour,
    Route,
    RouteKind,
    Rule,
    Value,
    Veth,
    Vxlan,
)
from agent.network.skeleton import MARKS, NODES, OWN, ZONES
from agent.network.uplinks import Uplink
from agent.topology import is_local
from swarm.ids import NetworkId, TaskId
from swarm.objects import Attachment, Network
from swarm.specs import NetworkDriver
from swarm.topology import Endpoint, Peer

HOST: Final = "host"
"""The label of the host's namespace; that of a container's is its task's id."""

ENCRYPTED: Final = "encrypted"
"""The label of the namespace that encrypts what leaves it."""

_DEFAULT: Final = {False: "0.0.0.0/0", True: "::/0"}
_LOCAL: Final = 255  # RT_TABLE_LOCAL
_NO_MACS: Final[Mapping[NetworkId, str]] = {}
_ANSWERS: Final = 100
"""The table of answers to clients of the ingress, and the priority of the rule to it."""

Vtep = Callable[[Peer], str]
"""Where a network's tunnel has a peer: in the underlay, or in what encrypts it."""


class Site(Struct, frozen=True, kw_only=True):
    """A network as this node takes part in it; without a tunnel there is no `vtep`."""

    network: Network
    mtu: int
    number: int = 0
    vtep: str = ""
    port: int = 0

    @property
    def has_tunnel(self) -> bool:
        """Whether other nodes are in the network, too."""
        return self.network.spec.driver is NetworkDriver.OVERLAY

    @property
    def has_ipv6(self) -> bool:
        """Whether endpoints have IPv6 addresses."""
        return any(is_ipv6(each.subnet) for each in self.network.subnets)

    @property
    def gateways(self) -> tuple[str, ...]:
        """The router's own addresses, the same on all nodes."""
        found = (each.gateway for each in self.network.subnets)
        return tuple(each for each in found if each not in self.host_gateways)

    @property
    def host_gateways(self) -> tuple[str, ...]:
        """The addresses that containers know their host by."""
        if self.network.spec.internal or not is_local(self.network.id):
            return ()
        found = (each.gateway for each in self.network.subnets)
        return tuple(each for each in found if not is_ipv6(each))

    @property
    def uplink(self) -> Uplink | None:
        """The way to the host, and what the host has to know of it."""
        if self.network.spec.internal:
            return None
        return Uplink(
            network_id=self.network.id,
            link=host_link(self.network.id),
            subnets=tuple(each.subnet for each in self.network.subnets),
            mtu=self.mtu,
            is_ingress=self.network.spec.ingress,
            gateways=self.host_gateways,
        )


class Attached(Struct, frozen=True, kw_only=True):
    """A container of this node: its interface in the network is called `name` there.

    The network is its way out for the families in `ways_out` (True: IPv6). The interface's MAC
    address follows from its first address, unless `own_mac` was asked for.
    """

    attachment: Attachment
    name: str
    ways_out: frozenset[bool] = frozenset()
    own_mac: str = ""

    @property
    def mac(self) -> str:
        """The MAC address of the interface."""
        return self.own_mac or container_mac(self.attachment.addresses[0])


def of_site(site: Site) -> Iterator[Value]:
    """What is there before anybody is in the network."""
    yield Link(name="lo")
    for gateway in site.gateways:
        yield from _of_address("lo", gateway, 128 if is_ipv6(gateway) else 32)
    if site.host_gateways:
        yield Address(link="lo", address=host_prefix(ROUTER_VIA))
    for gateway in site.host_gateways:
        prefix = host_prefix(gateway)
        yield Route(destination=prefix, link=UPLINK, via=HOST_VIA, is_onlink=True)
    for subnet in site.network.subnets:
        yield Route(destination=subnet.subnet, kind=RouteKind.UNREACHABLE)
    if site.uplink:
        yield from _of_uplink(site.uplink, has_ipv6=site.has_ipv6)
    if site.has_tunnel:
        yield from _of_tunnel(site)
    if site.has_tunnel and site.network.spec.ingress:
        yield from _of_answers(has_ipv6=site.has_ipv6)


def of_peer(site: Site, peer: Peer, vtep: str) -> Iterator[Value]:
    """Another node, with endpoints in the network."""
    mac = peer_mac(peer.number)
    yield Neighbour(link=TUNNEL, address=peer_via(peer.number), mac=mac)
    if site.has_ipv6:
        yield Neighbour(link=TUNNEL, address=peer_via6(peer.number), mac=mac)
    yield Forward(link=TUNNEL, mac=mac, vtep=vtep)
    if site.network.spec.ingress:
        mark = fields.mark(peer_mark(peer.number))
        yield Element(of=MARKS, key=fields.mac(mac), data=mark)
        yield Element(of=NODES, key=mark, data=fields.mac(mac))
        zone = fields.zone(peer_zone(peer.number))
        yield Element(of=ZONES, key=fields.mac(mac), data=zone)


def of_remote(endpoint: Endpoint, number: int) -> Iterator[Value]:
    """An endpoint on the node with that number."""
    for address in endpoint.addresses:
        via = peer_via6(number) if is_ipv6(address) else peer_via(number)
        yield Route(destination=host_prefix(address), link=TUNNEL, via=via, is_onlink=True)


def of_attachment(site: Site, task_id: TaskId, attached: Attached) -> Iterator[Value]:
    """A container of this node."""
    addresses = attached.attachment.addresses
    link, mac = task_link(task_id), attached.mac
    yield Veth(
        name=link,
        peer=attached.name,
        peer_netns=task_id,
        mac=ROUTER_MAC,
        peer_mac=mac,
        mtu=site.mtu,
    )
    for address in addresses:
        yield Neighbour(link=link, address=address, mac=mac)
        yield Route(destination=host_prefix(address), link=link)
        packed = fields.address(address)
        yield Element(of=OWN[is_ipv6(address)], key=fields.joined(packed, packed))


def interfaces(
    attachments: Sequence[Attachment],
    sites: Mapping[NetworkId, Site],
    macs: Mapping[NetworkId, str] = _NO_MACS,
) -> list[Attached]:
    """A container's interfaces in order, but for those in networks that are not in `sites`.

    For each family the first network that leads out is the way out. `macs` are those that were
    asked for.
    """
    found: list[Attached] = []
    taken: frozenset[bool] = frozenset()
    for number, each in enumerate(attachments):
        if site := sites.get(each.network_id):
            families = frozenset(map(is_ipv6, each.addresses)) if site.uplink else frozenset[bool]()
            attached = Attached(
                attachment=each,
                name=f"eth{number}",
                ways_out=families - taken,
                own_mac=macs.get(each.network_id, ""),
            )
            found.append(attached)
            taken |= families
    return found


def of_way_out(site: Site, attached: Attached) -> Iterator[Route]:
    """The default routes of a container whose way out this network is."""
    for subnet in site.network.subnets:
        if is_ipv6(subnet.gateway) in attached.ways_out:
            default = _DEFAULT[is_ipv6(subnet.gateway)]
            yield Route(destination=default, link=attached.name, via=subnet.gateway)


def of_container(site: Site, attached: Attached) -> Iterator[Value]:
    """What the container's own namespace holds because of it."""
    name = attached.name
    for address in attached.attachment.addresses:
        subnet = next(
            each for each in site.network.subnets if is_ipv6(each.subnet) == is_ipv6(address)
        )
        yield from _of_address(name, address, int(subnet.subnet.partition("/")[2]))
        yield Neighbour(link=name, address=subnet.gateway, mac=ROUTER_MAC)
        yield Route(destination=host_prefix(subnet.gateway), link=name)
        yield Route(destination=subnet.subnet, link=name, via=subnet.gateway)
    yield from of_way_out(site, attached)


def _of_address(link: str, address: str, bits: int) -> Iterator[Value]:
    """An address that packets are taken for at once.

    IPv6 addresses are put into force by a worker of the kernel's, some time later, and what came
    for them before is dropped: as if nobody had answered a container's first connection.
    """
    yield Address(link=link, address=f"{address}/{bits}")
    if is_ipv6(address):
        yield Route(destination=host_prefix(address), link=link, kind=RouteKind.LOCAL, table=_LOCAL)


def _of_uplink(uplink: Uplink, *, has_ipv6: bool) -> Iterator[Value]:
    yield Veth(
        name=UPLINK,
        peer=uplink.link,
        peer_netns=HOST,
        mac=ROUTER_MAC,
        peer_mac=HOST_MAC,
        mtu=uplink.mtu,
    )
    for ipv6, via in ((False, HOST_VIA), (True, HOST_VIA6))[: 1 + has_ipv6]:
        yield Neighbour(link=UPLINK, address=via, mac=HOST_MAC)
        yield Route(destination=_DEFAULT[ipv6], link=UPLINK, via=via, is_onlink=True)


def _of_tunnel(site: Site) -> Iterator[Value]:
    yield Vxlan(
        name=TUNNEL,
        vni=site.network.vni,
        port=site.port,
        local=site.vtep,
        underlay=ENCRYPTED if site.network.spec.encrypted else HOST,
        mac=peer_mac(site.number),
        mtu=site.mtu,
    )
    own = f"{peer_via(site.number)}/8"
    yield Address(link=TUNNEL, address=own, has_prefix_route=True)


def _of_answers(*, has_ipv6: bool) -> Iterator[Value]:
    """Marked packets go into the tunnel; where to is said there, by the mark."""
    mac = peer_mac(ANY_PEER)
    for ipv6, via in ((False, peer_via(ANY_PEER)), (True, peer_via6(ANY_PEER)))[: 1 + has_ipv6]:
        yield Neighbour(link=TUNNEL, address=via, mac=mac)
        yield Route(
            destination=_DEFAULT[ipv6], link=TUNNEL, via=via, is_onlink=True, table=_ANSWERS
        )
        yield Rule(
            mark=NODE_MARK,
            mask=NODE_MARK_MASK,
            table=_ANSWERS,
            priority=_ANSWERS,
            is_ipv6=ipv6,
        )
