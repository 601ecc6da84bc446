"""Run a world in virtual time: one heap of events, one source of chance, one story.

Everything that takes time or may fail is an event here, drawn from the seed's `random`, so a
seed is a run, to the last detail. The story is one line per event that a reader would tell;
it is kept in memory and shown when something fails.
"""

import heapq
from collections.abc import Callable
from random import Random

EPOCH = 1_700_000_000.0


class Violated(AssertionError):
    """Something happened that must never happen."""


class Engine:
    """The clock, the dice and the narrator."""

    def __init__(self, seed: int) -> None:
        self.now = 0.0
        self.random = Random(seed)
        self.is_calm = False
        self.story: list[str] = []
        self.events = 0
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    @property
    def epoch(self) -> float:
        """Seconds since the epoch by the true clock."""
        return EPOCH + self.now

    def after(self, delay_s: float, action: Callable[[], None]) -> None:
        """Do something later; events of one moment happen in the order they were asked for."""
        self._count += 1
        heapq.heappush(self._heap, (self.now + max(0.0, delay_s), self._count, action))

    def tell(self, who: str, what: str) -> None:
        """Add a line to the story."""
        self.story.append(f"{self.now:9.4f} {who:>8} {what}")

    def step(self) -> None:
        """Let the next event happen."""
        at, _, action = heapq.heappop(self._heap)
        self.now = max(self.now, at)
        self.events += 1
        action()

    def run(self, until: float) -> None:
        """Let happen whatever happens until then."""
        while self._heap and self._heap[0][0] <= until:
            self.step()
        self.now = max(self.now, until)

    # -- chance --------------------------------------------------------------------------

    def between(self, least: float, most: float) -> float:
        """A duration."""
        return self.random.uniform(least, most)

    def latency(self) -> float:
        """How long a message takes: mostly nothing, at times much."""
        if not self.is_calm and self.random.random() < 0.02:
            return self.random.uniform(0.05, 0.8)
        return self.random.uniform(0.0002, 0.004)

    def fault(self, probability: float) -> bool:
        """Whether a fault of this probability happens; none does once it is calm."""
        return not self.is_calm and self.random.random() < probability
