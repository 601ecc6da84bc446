"""Read what networks carry when somebody scrapes, and never else.

Like that of containers it happens in the thread of the metrics server. What the name service
counted is asked of it over the agent's own loop, which alone may speak to it.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from prometheus_client import Metric

from agent.dns.counts import Counts
from agent.network import fields
from agent.network.addressing import is_ipv6
from agent.network.io import namespaces
from agent.network.io.netlink import Socket
from agent.network.skeleton import VIPS
from agent.topology import Table
from agent.traffic import Balanced, Carried, families
from runtime.cgroups.stats import NetworkUsage, parse_networks
from swarm.errors import SwarmError
from swarm.ids import NetworkId
from swarm.objects import Network
from swarm.specs import BRIDGE
from swarm.topology import VirtualService

_LINKS = Path("/proc/thread-self/net/dev")


class Metering:
    """A collector of metrics; `asked` is what containers asked the name service, by network."""

    def __init__(
        self,
        directory: Path,
        *,
        table: Table,
        asked: Callable[[], Mapping[NetworkId, Counts]],
    ) -> None:
        self._directory = directory
        self._table = table
        self._asked = asked

    def describe(self) -> Iterable[Metric]:
        """What there is, before there is anything to measure."""
        return families(())

    def collect(self) -> Iterator[Metric]:
        """What there is now."""
        found = _names(self._directory)
        asked: Mapping[NetworkId, Counts] = self._asked() if found else {}
        carried = (self._read(NetworkId(each), asked) for each in found)
        return families([each for each in carried if each is not None])

    def _read(self, network_id: NetworkId, asked: Mapping[NetworkId, Counts]) -> Carried | None:
        name = self._name(network_id)
        try:
            netns = namespaces.opened(self._directory / network_id)
        except SwarmError:
            return None  # it went just now
        if not name:
            os.close(netns)
            return None
        try:
            return Carried(
                name=name,
                links=_links(netns),
                services=tuple(self._services(network_id, netns)),
                names=asked.get(network_id, Counts()),
            )
        finally:
            os.close(netns)

    def _name(self, network_id: NetworkId) -> str:
        """A network that nobody described, because no manager has spoken yet, has none."""
        if network_id == BRIDGE:
            return BRIDGE
        found = self._table.records.get(f"network/{network_id}")
        return found.spec.name if isinstance(found, Network) else ""

    def _services(self, network_id: NetworkId, netns: int) -> Iterator[Balanced]:
        records = tuple(self._table.records.values())
        services = [
            each
            for each in records
            if isinstance(each, VirtualService) and each.network_id == network_id
        ]
        if not services:
            return
        with Socket(netns) as kernel:
            counts = {ipv6: kernel.counts(of) for ipv6, of in VIPS.items()}
        for each in services:
            found = (counts[is_ipv6(a)].get(fields.address(a)) for a in each.addresses)
            yield Balanced(
                service=each.service_name,
                flows=sum(count.packets for count in found if count is not None),
                serving=len(self._table.serving(network_id, each.service_id)),
            )


def _names(directory: Path) -> list[str]:
    """Those that are there; one that is being made just now, in another thread, is left alone."""
    try:
        return sorted(each.name for each in directory.iterdir() if namespaces.is_namespace(each))
    except FileNotFoundError:
        return []


def _links(netns: int) -> tuple[NetworkUsage, ...]:
    with namespaces.entered(netns):
        return parse_networks(_LINKS.read_text())
