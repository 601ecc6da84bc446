"""Run a world in virtual time: one heap of events, named dice, one story.

Everything that takes time or may fail is an event here. Chance comes from streams that have
a name and follow from the seed, so that leaving out one fault does not change the luck of
everything else; each fault that hits is numbered within its name, and `quiet` are those that
are left out: that is what lets a failing run be shrunk. The story is one line per event that
a reader would tell; it is kept in memory and shown when something fails.
"""

import heapq
from collections.abc import Callable, Collection, Mapping
from random import Random

EPOCH = 1_700_000_000.0
MOST_EVENTS = 80_000
MOST_AT_ONCE = 3_000
"""More events than any run has that gets anywhere: in all, and at one moment."""


class Violated(AssertionError):
    """Something happened that must never happen. `rule` names what was broken."""

    def __init__(self, rule: str, what: str) -> None:
        super().__init__(f"{rule}: {what}")
        self.rule = rule


class Engine:
    """The clock, the dice and the narrator."""

    def __init__(
        self,
        seed: int,
        rates: Mapping[str, float] | None = None,
        quiet: Collection[tuple[str, int]] = (),
    ) -> None:
        self.seed = seed
        self.now = 0.0
        self.is_calm = False
        self.story: list[str] = []
        self.events = 0
        self.hits: dict[str, int] = {}
        self._rates = rates or {}
        self._quiet = frozenset(quiet)
        self._dice: dict[str, Random] = {}
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._at_once = 0

    @property
    def epoch(self) -> float:
        """Seconds since the epoch by the true clock."""
        return EPOCH + self.now

    def after(self, delay_s: float, action: Callable[[], None]) -> None:
        """Do something later; events of one moment happen in the order they were asked for."""
        self._count += 1
        at = self.now + delay_s if delay_s > 0.0 else self.now
        heapq.heappush(self._heap, (at, self._count, action))

    def tell(self, who: str, what: str) -> None:
        """Add a line to the story."""
        self.story.append(f"{self.now:9.4f} {who:>8} {what}")

    def step(self) -> None:
        """Let the next event happen."""
        at, _, action = heapq.heappop(self._heap)
        self._at_once += 1
        if at > self.now:
            self.now = at
            self._at_once = 0
        self.events += 1
        if self.events > MOST_EVENTS or self._at_once > MOST_AT_ONCE:
            raise Violated("livelock", f"{self.events} events, {self._at_once} at once")
        action()

    def run(self, until: float) -> None:
        """Let happen whatever happens until then."""
        heap = self._heap
        while heap and heap[0][0] <= until:
            self.step()
        self.now = max(self.now, until)

    # -- chance --------------------------------------------------------------------------

    def dice(self, name: str) -> Random:
        """The stream of chance of this name."""
        found = self._dice.get(name)
        if found is None:
            found = self._dice[name] = Random(f"{self.seed}/{name}")
        return found

    def between(self, least: float, most: float, name: str = "durations") -> float:
        """A duration."""
        return self.dice(name).uniform(least, most)

    def latency(self) -> float:
        """How long a message takes: mostly nothing, at times much."""
        if self.fault("message is slow"):
            return self.between(0.05, 0.8, "slow messages")
        return 0.0002 + 0.0038 * self.dice("latency").random()

    def fault(self, name: str) -> bool:
        """Whether a fault of this name happens now; none does once it is calm."""
        rate = self._rates.get(name, 0.0)
        if self.is_calm or rate <= 0.0 or self.dice(name).random() >= rate:
            return False
        self.hits[name] = number = self.hits.get(name, 0) + 1
        return (name, number) not in self._quiet


class Clock:
    """What one host takes for the time: off by a bit, and set back or forth at times."""

    def __init__(self, engine: Engine, off_s: float) -> None:
        self._engine = engine
        self.off_s = off_s

    @property
    def epoch(self) -> float:
        """Seconds since the epoch, as this host has it."""
        return EPOCH + self._engine.now + self.off_s

    def step(self, by_s: float) -> None:
        """Somebody sets the clock."""
        self.off_s += by_s
