"""Say what each container uses, as metrics under the names and labels of cAdvisor.

Dashboards and alerts for containers exist already, and these are the names they know. This is
the one table whose labels are names and ids: a container's figures are of no use without
them. Its values are the kernel's own counters, read at the moment of a scrape.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from msgspec import Struct
from prometheus_client import Metric
from prometheus_client.samples import Sample

from runtime.cgroups.stats import NetworkUsage, Stats
from swarm.metrics import Row

LABELS: Final = ("id", "name", "image", "service_id", "service_name")
_INTERFACE: Final = "interface"


class Exposed(Struct, frozen=True, kw_only=True):
    """A container and whose it is. `pid` 0: its network is not its own."""

    id: str
    name: str
    image: str
    service_id: str
    service_name: str
    started_at: float = 0.0
    pid: int = 0


class Used(Struct, frozen=True):
    """What a container has used."""

    container: Exposed
    stats: Stats
    networks: tuple[NetworkUsage, ...] = ()


class _Figure(Struct, frozen=True):
    """One metric of a container, and how it is read."""

    row: Row
    value: Callable[[Used], float]


class _Traffic(Struct, frozen=True):
    """One metric of each interface of a container."""

    row: Row
    value: Callable[[NetworkUsage], float]


def _figure(kind: str, name: str, text: str, value: Callable[[Used], float]) -> _Figure:
    return _Figure(Row(kind, f"container_{name}", text, LABELS), value)


def _traffic(name: str, text: str, value: Callable[[NetworkUsage], float]) -> _Traffic:
    row = Row("counter", f"container_network_{name}_total", text, (*LABELS, _INTERFACE))
    return _Traffic(row, value)


_FIGURES: Final = (
    _figure(
        "counter", "cpu_usage_seconds_total", "CPU time used.",
        lambda u: u.stats.cpu.usage_ns / 1e9,
    ),
    _figure(
        "counter", "cpu_user_seconds_total", "CPU time used in programs.",
        lambda u: u.stats.cpu.user_ns / 1e9,
    ),
    _figure(
        "counter", "cpu_system_seconds_total", "CPU time used in the kernel.",
        lambda u: u.stats.cpu.system_ns / 1e9,
    ),
    _figure(
        "counter", "cpu_cfs_periods_total", "Periods in which a CPU quota was given.",
        lambda u: u.stats.cpu.periods,
    ),
    _figure(
        "counter", "cpu_cfs_throttled_periods_total", "Periods in which the quota was used up.",
        lambda u: u.stats.cpu.throttled_periods,
    ),
    _figure(
        "counter", "cpu_cfs_throttled_seconds_total", "Time spent waiting for the next period.",
        lambda u: u.stats.cpu.throttled_ns / 1e9,
    ),
    _figure(
        "gauge", "memory_usage_bytes", "Memory in use, file pages included.",
        lambda u: u.stats.memory.usage_bytes,
    ),
    _figure(
        "gauge", "memory_working_set_bytes", "Memory in use that could not be freed at once.",
        lambda u: u.stats.memory.working_set_bytes,
    ),
    _figure(
        "gauge", "memory_rss", "Bytes of anonymous memory.", lambda u: u.stats.memory.rss_bytes
    ),
    _figure("gauge", "memory_cache", "Bytes of file pages.", lambda u: u.stats.memory.cache_bytes),
    _figure("gauge", "memory_swap", "Bytes swapped out.", lambda u: u.stats.memory.swap_bytes),
    _figure(
        "gauge", "spec_memory_limit_bytes", "The memory limit; without one, the host's memory.",
        lambda u: u.stats.memory.limit_bytes,
    ),
    _figure(
        "counter", "oom_events_total", "Processes killed at the memory limit.",
        lambda u: u.stats.memory.oom_kills,
    ),
    _figure(
        "counter", "fs_reads_bytes_total", "Bytes read from block devices.",
        lambda u: u.stats.io.read_bytes,
    ),
    _figure(
        "counter", "fs_writes_bytes_total", "Bytes written to block devices.",
        lambda u: u.stats.io.write_bytes,
    ),
    _figure("gauge", "threads", "Threads and processes.", lambda u: u.stats.pids.current),
    _figure(
        "gauge", "start_time_seconds", "When it was started, since the epoch.",
        lambda u: u.container.started_at,
    ),
)  # fmt: skip

_TRAFFIC: Final = (
    _traffic("receive_bytes", "Bytes received.", lambda n: n.rx_bytes),
    _traffic("receive_packets", "Packets received.", lambda n: n.rx_packets),
    _traffic("receive_errors", "Packets received with an error.", lambda n: n.rx_errors),
    _traffic("receive_packets_dropped", "Packets not received.", lambda n: n.rx_dropped),
    _traffic("transmit_bytes", "Bytes sent.", lambda n: n.tx_bytes),
    _traffic("transmit_packets", "Packets sent.", lambda n: n.tx_packets),
    _traffic("transmit_errors", "Packets not sent for an error.", lambda n: n.tx_errors),
    _traffic("transmit_packets_dropped", "Packets not sent.", lambda n: n.tx_dropped),
)

TABLE: Final = tuple(each.row for each in (*_FIGURES, *_TRAFFIC))


def families(used: Iterable[Used]) -> Iterator[Metric]:
    """Every metric with one sample for each container, or for each of its interfaces."""
    known = [(each, _labels(each.container)) for each in used]
    for figure in _FIGURES:
        family = _family(figure.row)
        family.samples = [
            Sample(figure.row.name, labels, figure.value(each)) for each, labels in known
        ]
        yield family
    for traffic in _TRAFFIC:
        family = _family(traffic.row)
        family.samples = [
            Sample(traffic.row.name, labels | {_INTERFACE: network.name}, traffic.value(network))
            for each, labels in known
            for network in each.networks
        ]
        yield family


def _family(row: Row) -> Metric:
    return Metric(row.name.removesuffix("_total"), row.help, row.kind)


def _labels(container: Exposed) -> dict[str, str]:
    return {name: getattr(container, name) for name in LABELS}
