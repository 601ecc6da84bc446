"""Say when each of many nodes is told of large plans.

A message costs as much as what it says of several tasks. When one large plan follows another,
a node that waits for its turn hears of all of them in one message; told at once, thousands of
nodes would be told of a task each, again and again. One plan alone is told quickly: the turns
move apart while there is always somebody who waits. Small changes are never paced.
"""

FIRST_S = 0.0005
LATER_S = 0.002
LONGEST_S = 10.0


class Pace:
    """The turns, one after the other: `first_s` apart, and more by as much again each second
    that the queue is not empty, up to `later_s`.
    """

    def __init__(
        self,
        *,
        first_s: float = FIRST_S,
        later_s: float = LATER_S,
        longest_s: float = LONGEST_S,
    ) -> None:
        self._first_s = first_s
        self._later_s = later_s
        self._longest_s = longest_s
        self._began_at = 0.0
        self._last_at = 0.0

    def turn(self, *, now: float) -> float:
        """When the next one may be told, by the clock of `now`."""
        if now >= self._last_at:
            self._began_at = self._last_at = now
        apart_s = min(self._first_s * (1.0 + now - self._began_at), self._later_s)
        self._last_at = min(self._last_at + apart_s, now + self._longest_s)
        return self._last_at
