"""What networks carry, as whoever scrapes sees it."""

from prometheus_client import Metric

from agent.dns.counts import Counts
from agent.traffic import TABLE, Balanced, Carried, families
from runtime.cgroups.stats import NetworkUsage

BACKEND = Carried(
    name="backend",
    links=(
        NetworkUsage(name="lo", rx_bytes=9999),
        NetworkUsage(name="vx0", rx_bytes=10, tx_bytes=20, tx_dropped=1, rx_errors=2),
        NetworkUsage(name="up0", rx_bytes=30),
        NetworkUsage(name="ep01", rx_bytes=1, tx_bytes=2),
        NetworkUsage(name="ep02", rx_bytes=3, tx_bytes=4),
    ),
    services=(Balanced(service="web", flows=7, serving=2), Balanced(service="db")),
    names=Counts(queries=5, failures=1, forwarded=2),
)


def samples(*carried: Carried) -> dict[tuple[str, ...], float]:
    found = {}
    for family in families(carried):
        assert isinstance(family, Metric)
        for each in family.samples:
            found[(each.name.removeprefix("swarm_network_"), *each.labels.values())] = each.value
    return found


def test_a_network_has_its_figures_by_link_and_by_service() -> None:
    found = samples(BACKEND)

    assert found["receive_bytes_total", "backend", "tunnel"] == 10
    assert found["transmit_bytes_total", "backend", "tunnel"] == 20
    assert found["dropped_packets_total", "backend", "tunnel"] == 3
    assert found["receive_bytes_total", "backend", "uplink"] == 30
    assert found["receive_bytes_total", "backend", "tasks"] == 4
    assert found["transmit_bytes_total", "backend", "tasks"] == 6
    assert found["flows_total", "backend", "web"] == 7
    assert found["serving_tasks", "backend", "db"] == 0
    assert found["dns_queries_total", "backend"] == 5
    assert found["dns_failures_total", "backend"] == 1
    assert not [each for each in found if "lo" in each]


def test_every_row_of_the_table_is_served_and_no_other() -> None:
    served = {each.samples[0].name: each.type for each in families((BACKEND,))}

    assert served == {row.name: row.kind for row in TABLE}


def test_a_node_without_networks_serves_none() -> None:
    assert samples() == {}
