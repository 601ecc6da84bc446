"""Give addresses to containers that are in no network of the swarm, only in their node's own.

Its subnet is this node's choice: the first private /16 where the host itself neither is nor goes,
and once chosen it stays, because containers live there. Addresses are used again as late as
possible: what was reached at one a moment ago is not suddenly somebody else.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final

from swarm.errors import Unavailable
from swarm.ids import NetworkId, TaskId
from swarm.objects import Attachment, Network
from swarm.specs import BRIDGE, NetworkDriver, NetworkSpec, Subnet

BRIDGE_ID: Final = NetworkId(BRIDGE)

_CANDIDATES: Final = (
    *(f"172.{second}.0.0/16" for second in range(17, 32)),
    *(f"192.168.{third}.0/20" for third in range(0, 256, 16)),
    *(f"10.{second}.0.0/16" for second in range(254, 0, -1)),
)


def choose_subnet(reached: Iterable[str]) -> str:
    """The first candidate apart from all these prefixes; `Unavailable` when there is none."""
    if found := free_subnet(reached):
        return found
    raise Unavailable(
        "the bridge network has no subnet: this host has routes into all private ones",
        hint="attach the service to a network of its own: network create --subnet",
    )


def free_subnet(reached: Iterable[str]) -> str:
    """The first candidate apart from all these prefixes; empty when there is none.

    The default route is in nobody's way.
    """
    ways = [ip_network(each, strict=False) for each in reached]
    ways = [each for each in ways if each.prefixlen and isinstance(each, IPv4Network)]
    subnets = map(IPv4Network, _CANDIDATES)
    free = (each for each in subnets if not any(_overlap(each, way) for way in ways))
    return str(next(free, ""))


def network(subnet: str, *, mtu: int) -> Network:
    """The bridge as a network among others; its gateway is the subnet's first address."""
    gateway = str(ip_network(subnet)[1])
    made = Subnet(subnet=subnet, gateway=gateway)
    spec = NetworkSpec(name=BRIDGE, driver=NetworkDriver.BRIDGE, subnets=(made,), mtu=mtu)
    return Network(id=BRIDGE_ID, spec=spec, subnets=(made,))


class Addresses:
    """The addresses of the bridge, by task."""

    def __init__(self, subnet: str) -> None:
        self._subnet = IPv4Network(subnet)
        self._held: dict[TaskId, str] = {}
        self._in_use = Counter[str]()
        self._last = 1  # the gateway

    def lend(self, task_id: TaskId) -> Attachment:
        """The task's address, the same one until it is given back; `Unavailable` without any."""
        if task_id not in self._held:
            self._hold(task_id, next(self._free(), ""))
        return _attachment(self._held[task_id])

    def keep(self, task_id: TaskId, attachment: Attachment) -> None:
        """The task has this already, of an earlier agent."""
        for address in attachment.addresses:
            self.give_back(task_id)
            self._hold(task_id, address)

    def give_back(self, task_id: TaskId) -> None:
        """The task is gone; content when it had nothing."""
        if address := self._held.pop(task_id, ""):
            self._in_use[address] -= 1
            if not self._in_use[address]:
                del self._in_use[address]

    def check(self) -> None:
        """Assert that addresses in use are those of tasks."""
        assert self._in_use == Counter(self._held.values())

    def _hold(self, task_id: TaskId, address: str) -> None:
        if not address:
            raise Unavailable(
                f"network {BRIDGE} ({self._subnet}) has no free address: {len(self._held)} in use",
                hint="end tasks of this node, or attach services to networks of their own",
            )
        found = ip_address(address)
        if found in self._subnet:
            self._last = int(found) - int(self._subnet.network_address)
        self._held[task_id] = address
        self._in_use[address] += 1

    def _free(self) -> Iterator[str]:
        """Free addresses, those that were used longest ago first."""
        size = self._subnet.num_addresses - 3  # its own, the gateway's and the broadcast address
        for step in range(size):
            offset = 2 + (self._last - 1 + step) % size
            address = str(self._subnet[offset])
            if address not in self._in_use:
                yield address


def _attachment(address: str) -> Attachment:
    return Attachment(network_id=BRIDGE_ID, addresses=(address,))


def _overlap(one: IPv4Network, other: IPv4Network | IPv6Network) -> bool:
    return isinstance(other, IPv4Network) and one.overlaps(other)
