"""Say when each of many nodes is told of large plans.

A message costs as much as what it says of several tasks. When one large plan follows another,
a node that waits for its turn hears of all of them in one message; told at once, thousands of
nodes would be told of a task each, again and again. Small changes are never paced.
"""

EACH_S = 0.001
LONGEST_S = 5.0


class Pace:
    """The turns, one after the other."""

    def __init__(self, *, each_s: float = EACH_S, longest_s: float = LONGEST_S) -> None:
        self._each_s = each_s
        self._longest_s = longest_s
        self._last_at = 0.0

    def turn(self, *, now: float) -> float:
        """When the next one may be told, by the clock of `now`."""
        self._last_at = min(max(self._last_at, now) + self._each_s, now + self._longest_s)
        return self._last_at
