"""Read what containers use when somebody scrapes, and never else.

It happens in the thread of the metrics server, not in the event loop: with a thousand
containers it takes some tenths of a second, in which heartbeats must not wait.
"""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import Metric

from agent.exposition import Exposed, Used, families
from runtime.cgroups.stats import NetworkUsage, Stats


class Containers:
    """A collector of metrics. `running` is asked from another thread than the loop's."""

    def __init__(
        self,
        *,
        running: Callable[[], Iterable[Exposed]],
        read_stats: Callable[[str], Stats],
        read_networks: Callable[[int], tuple[NetworkUsage, ...]],
    ) -> None:
        self._running = running
        self._read_stats = read_stats
        self._read_networks = read_networks

    def describe(self) -> Iterable[Metric]:
        """What there is, before there is anything to measure."""
        return families(())

    def collect(self) -> Iterator[Metric]:
        """What there is now."""
        return families([self._read(each) for each in self._running()])

    def _read(self, container: Exposed) -> Used:
        networks = self._read_networks(container.pid) if container.pid else ()
        return Used(container, self._read_stats(container.id), networks)
