"""Remember which services have to be planned, and when time alone calls for it.

First come, first served, and each service once however often it was touched. A service that
is planned for any reason gives up the time it had asked for: its new plan asks again.
"""

import heapq
from collections.abc import Iterable

from swarm.ids import ServiceId


class Agenda:
    """The services to plan. `now` is seconds since the epoch, as in `Plan.wake_at`."""

    def __init__(self) -> None:
        self._due: dict[ServiceId, None] = {}
        self._wake_at: dict[ServiceId, float] = {}
        self._timers: list[tuple[float, ServiceId]] = []

    def add(self, services: Iterable[ServiceId]) -> None:
        """Have these planned as soon as possible."""
        self._due.update(dict.fromkeys(services))

    def wake(self, service_id: ServiceId, at: float) -> None:
        """Have a service planned at a time, unless it is planned before."""
        self._wake_at[service_id] = at
        heapq.heappush(self._timers, (at, service_id))

    def take(self, *, now: float) -> ServiceId | None:
        """The next service to plan, if any is due."""
        while self._timers and self._timers[0][0] <= now:
            at, service_id = heapq.heappop(self._timers)
            if self._wake_at.get(service_id) == at:
                del self._wake_at[service_id]
                self._due[service_id] = None
        if not self._due:
            return None
        service_id = next(iter(self._due))
        del self._due[service_id]
        self._wake_at.pop(service_id, None)
        return service_id

    def next_deadline(self) -> float | None:
        """When `take` will have something, if nothing is added before; 0 when it has."""
        if self._due:
            return 0.0
        while self._timers and self._wake_at.get(self._timers[0][1]) != self._timers[0][0]:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def check(self) -> None:
        """Assert that every time that was asked for is kept."""
        kept = set(self._timers)
        assert all((at, service_id) in kept for service_id, at in self._wake_at.items())
