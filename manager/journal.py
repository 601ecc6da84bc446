"""Remember what happened lately, for whoever asks a little late.

Events are derived from the view's changes and never stored: after a restart, history begins
anew. Each reader keeps its own place; one that is slower than the ring is long misses the
oldest, and is told how many.
"""

from collections import deque
from collections.abc import Iterable

from swarm.objects import Event

KEPT = 4096


class Journal:
    """The last events, numbered from 1."""

    def __init__(self, *, kept: int = KEPT) -> None:
        self.last = 0
        self._events: deque[Event] = deque(maxlen=kept)

    def add(self, events: Iterable[Event]) -> None:
        """Append what happened."""
        for event in events:
            self._events.append(event)
            self.last += 1

    def after(self, number: int) -> tuple[list[Event], int]:
        """The events with higher numbers that are still known, and how many are forgotten."""
        oldest = self.last - len(self._events)
        forgotten = max(0, oldest - number)
        skipped = max(0, number - oldest)
        return list(self._events)[skipped:], forgotten

    def since(self, at: float) -> list[Event]:
        """The remembered events that are not older than `at`."""
        return [event for event in self._events if event.at >= at]
