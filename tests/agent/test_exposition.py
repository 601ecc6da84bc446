from prometheus_client import CollectorRegistry, generate_latest

from agent.exposition import TABLE, Exposed
from agent.io.scraping import Containers
from runtime.cgroups.stats import CpuUsage, MemoryUsage, NetworkUsage, PidsUsage, Stats

WEB = Exposed(
    id="t1", name="web.1.t1", image="nginx:1", service_id="s1", service_name="web",
    started_at=5.0, pid=7,
)  # fmt: skip
LABELS = {
    "id": "t1", "name": "web.1.t1", "image": "nginx:1", "service_id": "s1", "service_name": "web",
}  # fmt: skip
STATS = Stats(
    cpu=CpuUsage(usage_ns=2_500_000_000, throttled_periods=3),
    memory=MemoryUsage(usage_bytes=200, working_set_bytes=100, limit_bytes=400, oom_kills=1),
    pids=PidsUsage(current=4),
)


def registry(*running: Exposed) -> tuple[CollectorRegistry, list[str]]:
    """A registry, and what is asked of the kernel."""
    asked: list[str] = []

    def read_stats(container_id: str) -> Stats:
        asked.append(container_id)
        return STATS

    def read_networks(pid: int) -> tuple[NetworkUsage, ...]:
        asked.append(f"network of {pid}")
        return (NetworkUsage(name="eth0", rx_bytes=10, tx_dropped=2),)

    made = CollectorRegistry()
    made.register(
        Containers(running=lambda: running, read_stats=read_stats, read_networks=read_networks)
    )
    return made, asked


def test_a_container_has_its_figures_under_its_names() -> None:
    found, _ = registry(WEB)

    def value(name: str, **more: str) -> float | None:
        return found.get_sample_value(name, LABELS | more)

    assert value("container_cpu_usage_seconds_total") == 2.5
    assert value("container_cpu_cfs_throttled_periods_total") == 3
    assert value("container_memory_working_set_bytes") == 100
    assert value("container_spec_memory_limit_bytes") == 400
    assert value("container_oom_events_total") == 1
    assert value("container_threads") == 4
    assert value("container_start_time_seconds") == 5
    assert value("container_network_receive_bytes_total", interface="eth0") == 10
    assert value("container_network_transmit_packets_dropped_total", interface="eth0") == 2


def test_the_kernel_is_asked_only_when_somebody_scrapes() -> None:
    found, asked = registry(WEB)
    assert asked == []

    generate_latest(found)

    assert asked == ["network of 7", "t1"]


def test_the_hosts_network_is_not_the_containers() -> None:
    found, asked = registry(Exposed(id="t1", name="", image="", service_id="", service_name=""))

    text = generate_latest(found).decode()

    assert asked == ["t1"]
    assert "eth0" not in text


def test_every_row_of_the_table_is_served_and_no_other() -> None:
    found, _ = registry(WEB)

    served = {sample.name: family.type for family in found.collect() for sample in family.samples}

    assert served == {row.name: row.kind for row in TABLE}


def test_a_node_without_containers_serves_none() -> None:
    found, _ = registry()

    assert "container_threads{" not in generate_latest(found).decode()
