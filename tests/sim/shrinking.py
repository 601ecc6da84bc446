"""Make a failing run short: leave out whatever it fails without.

The run fails alike when it breaks the same rule; which task or node it was may change on the
way. What comes after the failure goes first, then background faults by name, then happenings
(delta debugging: halves, quarters, and so on to single ones), machines, features, and single
background faults. All of it is tried again until nothing more can go, or the time is up.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from msgspec import structs

from tests.sim.farm import Outcome, outcome, seconds
from tests.sim.scenario import Scenario

T = TypeVar("T")
Try = Callable[[Scenario], bool]


class Shrinking:
    """One failure on its way to its shortest form; `best` is what was reached."""

    def __init__(self, failure: Outcome, *, within_s: float) -> None:
        assert failure.rule, "there is nothing to shrink"
        self.best = failure
        self.tried = 0
        self._ends_at = seconds() + within_s

    def run(self) -> Outcome:
        """Shrink until nothing more can go."""
        before = None
        while before != self.best.scenario and not self._is_over:
            before = self.best.scenario
            self._shrink()
        return self.best

    @property
    def _is_over(self) -> bool:
        return seconds() >= self._ends_at

    def _shrink(self) -> None:
        self._end_early()
        for name in sorted(self.best.scenario.rates):
            rates = {k: v for k, v in self.best.scenario.rates.items() if k != name}
            self._try(structs.replace(self.best.scenario, rates=rates))
        self._drop(
            lambda scenario: scenario.happenings,
            lambda scenario, left: structs.replace(scenario, happenings=tuple(left)),
        )
        for machines in ("managers", "nodes"):
            while self._try_fewer(machines):
                pass
        self._drop(
            lambda scenario: sorted(scenario.features),
            lambda scenario, left: structs.replace(scenario, features=frozenset(left)),
        )
        hits = [(name, n) for name, most in self.best.hits.items() for n in range(1, most + 1)]
        loud = [each for each in hits if each not in self.best.scenario.quiet]
        self._drop(
            lambda scenario: [each for each in loud if each not in scenario.quiet],
            lambda scenario, left: structs.replace(
                scenario,
                quiet=scenario.quiet | (set(loud) - set(left)),
            ),
        )

    def _end_early(self) -> None:
        """Nothing after the failure had a part in it; and perhaps calm came late enough."""
        scenario, at = self.best.scenario, self.best.at
        earlier = tuple(each for each in scenario.happenings if each.at < at)
        if len(earlier) < len(scenario.happenings):
            self._try(structs.replace(scenario, happenings=earlier))

    def _try_fewer(self, machines: str) -> bool:
        count: int = getattr(self.best.scenario, machines)
        return count > 1 and self._try(structs.replace(self.best.scenario, **{machines: count - 1}))

    def _drop(
        self,
        parts: Callable[[Scenario], Sequence[T]],
        keeping: Callable[[Scenario, Sequence[T]], Scenario],
    ) -> None:
        """Leave out ever smaller pieces of a list."""
        size = len(parts(self.best.scenario))
        while size >= 1:
            for left in _without_pieces(parts(self.best.scenario), size):
                now = parts(self.best.scenario)
                kept = [each for each in now if each in left]
                if len(kept) < len(now):
                    self._try(keeping(self.best.scenario, kept))
            size = size // 2

    def _try(self, scenario: Scenario) -> bool:
        if self._is_over:
            return False
        self.tried += 1
        found = outcome(scenario)
        if found.rule != self.best.rule:
            return False
        self.best = found
        return True


def _without_pieces(parts: Sequence[T], size: int) -> Iterator[list[T]]:
    for start in range(0, len(parts), size):
        yield [*parts[:start], *parts[start + size :]]
