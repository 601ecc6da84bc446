"""Metrics are made from their table, and from nothing else."""

import pytest
from prometheus_client import CollectorRegistry

from agent.metrics import TABLE as AGENT
from manager.metrics import TABLE as MANAGER
from swarm.metrics import Making, Row


def test_a_metric_is_made_as_its_row_says() -> None:
    registry = CollectorRegistry()
    rows = (Row("counter", "swarm_x_things_total", "Things.", ("kind",)),)

    Making(rows, prefix="swarm_x_", registry=registry).counter("things_total").labels("a").inc(2)

    assert registry.get_sample_value("swarm_x_things_total", {"kind": "a"}) == 2


def test_a_metric_of_another_kind_than_declared_is_a_bug() -> None:
    rows = (Row("gauge", "swarm_x_things", "Things."),)

    with pytest.raises(AssertionError, match="declared as a gauge"):
        Making(rows, prefix="swarm_x_", registry=CollectorRegistry()).counter("things")


@pytest.mark.parametrize("row", [*AGENT, *MANAGER], ids=lambda row: row.name)
def test_names_follow_the_house_rules(row: Row) -> None:
    assert row.name.startswith("swarm_")
    assert row.name.endswith("_total") == (row.kind == "counter")
    assert row.kind in ("gauge", "counter", "histogram", "view")
    assert row.help.endswith(".")
    assert not {"id", "task", "node", "service"} & set(row.labels)
