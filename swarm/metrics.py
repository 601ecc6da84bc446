"""Declare the metrics of a part in one table, and make them from it.

The reference page is rendered from the same rows, so a metric that is not in the table of its
part does not exist. Names are `swarm_<part>_<noun>_<unit>`, counters end in `_total`, and
labels come from closed sets: never ids.
"""

from collections.abc import Iterable

from msgspec import Struct
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

FAST_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Row(Struct, frozen=True):
    """One metric: its kind, its name, what it says, its labels.

    A `view` is a gauge that its part counts at the moment of a scrape.
    """

    kind: str
    name: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = FAST_S


class Making:
    """Makes the metrics of a table on a registry; they are asked for without the `prefix`."""

    def __init__(self, table: Iterable[Row], *, prefix: str, registry: CollectorRegistry) -> None:
        self._rows = {row.name.removeprefix(prefix): row for row in table}
        self._registry = registry

    def gauge(self, name: str) -> Gauge:
        """What goes up and down."""
        row = self._row(name, "gauge")
        return Gauge(row.name, row.help, row.labels, registry=self._registry)

    def counter(self, name: str) -> Counter:
        """What only grows."""
        row = self._row(name, "counter")
        return Counter(row.name, row.help, row.labels, registry=self._registry)

    def histogram(self, name: str) -> Histogram:
        """How large what happened was."""
        row = self._row(name, "histogram")
        return Histogram(
            row.name, row.help, row.labels, registry=self._registry, buckets=row.buckets
        )

    def _row(self, name: str, kind: str) -> Row:
        row = self._rows[name]
        assert row.kind == kind, f"{row.name} is declared as a {row.kind}"
        return row
