"""Say what this node's networks carry, as metrics.

Its values are the kernel's own counters, read at the moment of a scrape, as those of containers
are. Labels are names of networks and services: figures without them would be of no use. Links
are the router's: the `tunnel` to other nodes, the `uplink` to the host, and those of all `tasks`
together. A flow is a connection to a service's virtual address that a task of this node made.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from msgspec import Struct
from prometheus_client import Metric
from prometheus_client.samples import Sample

from agent.dns.counts import Counts
from agent.network.addressing import TUNNEL, UPLINK
from runtime.cgroups.stats import NetworkUsage
from swarm.metrics import Row

_LINKS: Final = {TUNNEL: "tunnel", UPLINK: "uplink", "lo": ""}
_BY_LINK: Final = ("network", "link")
_BY_SERVICE: Final = ("network", "service")
_BY_NETWORK: Final = ("network",)

_RECEIVED = Row(
    "counter", "swarm_network_receive_bytes_total", "Bytes that came in by a link.", _BY_LINK
)
_SENT = Row(
    "counter", "swarm_network_transmit_bytes_total", "Bytes that went out by a link.", _BY_LINK
)
_DROPPED = Row(
    "counter", "swarm_network_dropped_packets_total", "Packets that a link lost.", _BY_LINK
)
_FLOWS = Row(
    "counter", "swarm_network_flows_total", "Connections to a service from here.", _BY_SERVICE
)
_SERVING = Row(
    "gauge", "swarm_network_serving_tasks", "Tasks that answer for a service.", _BY_SERVICE
)
_QUERIES = Row("counter", "swarm_network_dns_queries_total", "Names asked for.", _BY_NETWORK)
_FAILURES = Row(
    "counter", "swarm_network_dns_failures_total", "Questions that nobody answered.", _BY_NETWORK
)
_FORWARDED = Row(
    "counter", "swarm_network_dns_forwarded_total", "Questions passed on.", _BY_NETWORK
)

TABLE: Final = (
    _RECEIVED, _SENT, _DROPPED, _FLOWS, _SERVING, _QUERIES, _FAILURES, _FORWARDED,
)  # fmt: skip


class Balanced(Struct, frozen=True, kw_only=True):
    """A service in a network: connections led to it since its address is known here, and who
    answers now."""

    service: str
    flows: int = 0
    serving: int = 0


class Carried(Struct, frozen=True, kw_only=True):
    """What one network has carried here; `name` is its own."""

    name: str
    links: tuple[NetworkUsage, ...] = ()
    services: tuple[Balanced, ...] = ()
    names: Counts = Counts()


def families(carried: Iterable[Carried]) -> Iterator[Metric]:
    """Every metric, with one sample for each network, and each link or service in it."""
    known = tuple(carried)
    links = [(each.name, _by_kind(each.links)) for each in known]
    for row, position in ((_RECEIVED, 0), (_SENT, 1), (_DROPPED, 2)):
        yield _family(
            row,
            {(name, link): sums[position] for name, kinds in links for link, sums in kinds.items()},
        )
    services = [(each.name, service) for each in known for service in each.services]
    yield _family(_FLOWS, {(name, each.service): each.flows for name, each in services})
    yield _family(_SERVING, {(name, each.service): each.serving for name, each in services})
    yield _family(_QUERIES, {(each.name,): each.names.queries for each in known})
    yield _family(_FAILURES, {(each.name,): each.names.failures for each in known})
    yield _family(_FORWARDED, {(each.name,): each.names.forwarded for each in known})


def _by_kind(links: Iterable[NetworkUsage]) -> dict[str, tuple[int, int, int]]:
    sums: dict[str, tuple[int, int, int]] = {}
    for each in links:
        kind = _LINKS.get(each.name, "tasks")
        if kind:
            received, sent, dropped = sums.get(kind, (0, 0, 0))
            lost = each.rx_dropped + each.tx_dropped + each.rx_errors + each.tx_errors
            sums[kind] = (received + each.rx_bytes, sent + each.tx_bytes, dropped + lost)
    return sums


def _family(row: Row, values: Mapping[tuple[str, ...], int]) -> Metric:
    family = Metric(row.name.removesuffix("_total"), row.help, row.kind)
    family.samples = [
        Sample(row.name, dict(zip(row.labels, labels, strict=True)), value)
        for labels, value in values.items()
    ]
    return family
