"""Say where a network's router meets its host.

The veth between the two is made with the router, and its end at the host bears `link`'s name
and `addressing.HOST_MAC`. What the host does with it is the host's side: routes to `subnets`
by `addressing.ROUTER_VIA` and `ROUTER_VIA6`, whose MAC address is `addressing.ROUTER_MAC`,
and who may go where. A router sends all that it has no route for to the host.

In networks of one node the host is the gateway to its containers, as they know it from Docker: what
they send to that address of IPv4 is the host's. In others that is every node's, and the router's.
"""

from msgspec import Struct

from swarm.ids import NetworkId


class Uplink(Struct, frozen=True, kw_only=True):
    """A router's link as its host has it; internal networks have none.

    `is_ingress` where published ports lead; `gateways` are the host's own addresses there.
    """

    network_id: NetworkId
    link: str
    subnets: tuple[str, ...]
    mtu: int
    is_ingress: bool = False
    gateways: tuple[str, ...] = ()
