"""Count what containers ask, by the network it concerns.

A question counts for the network that knew its answer, and otherwise for the first network of
the container that asked, where its way out is.
"""

from msgspec import Struct

from swarm.ids import NetworkId


class Counts(Struct, frozen=True, kw_only=True):
    """Since the service began; all but `queries` are parts of it.

    A query is `forwarded` if other servers had to be asked, and `kept` if what they said before
    was still good; it failed if it got neither an answer nor a denial.
    """

    queries: int = 0
    failures: int = 0
    forwarded: int = 0
    kept: int = 0


class Tally:
    """The counts of all networks."""

    def __init__(self) -> None:
        self._counts: dict[NetworkId, list[int]] = {}

    def add(
        self,
        network_id: NetworkId,
        *,
        queries: int = 0,
        failures: int = 0,
        forwarded: int = 0,
        kept: int = 0,
    ) -> None:
        """Count what happened."""
        counts = self._counts.get(network_id)
        if counts is None:
            counts = self._counts[network_id] = [0, 0, 0, 0]
        counts[0] += queries
        counts[1] += failures
        counts[2] += forwarded
        counts[3] += kept

    def counts(self) -> dict[NetworkId, Counts]:
        """All of them."""
        return {
            network_id: Counts(queries=each[0], failures=each[1], forwarded=each[2], kept=each[3])
            for network_id, each in self._counts.items()
        }
