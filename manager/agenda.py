"""Remember which services have to be planned, and when time alone calls for it.

First come, first served, and each service once however often it was touched; but of services
that wait, those of higher priority come first. A service is due as a whole or, where no more
than that was touched, for some of its slots. A plan for any reason gives up the times that
the slots it looks at had asked for: it asks again. What a plan called unsettled is planned as a
whole until a plan finds it settled.
"""

import heapq
from collections.abc import Callable, Iterable
from typing import NamedTuple

from manager.applied import Applied
from manager.decisions import Plan
from manager.view import ClusterView
from swarm.ids import ServiceId

WHOLE = 0
"""Among slots: the service itself. Slots count from 1."""


class Due(NamedTuple):
    """What to plan: a service, or only these `slots` of it."""

    service_id: ServiceId
    slots: frozenset[int] | None = None


class Agenda:
    """The services to plan. `now` is seconds since the epoch, as in `Plan.wake_at`."""

    def __init__(self, *, priority: Callable[[ServiceId], int] = lambda _: 0) -> None:
        self._priority = priority
        self._due: dict[int, dict[ServiceId, set[int] | None]] = {}
        self._ranks: dict[ServiceId, int] = {}
        self._wake_at: dict[ServiceId, dict[int, float]] = {}
        self._timers: list[tuple[float, ServiceId, int]] = []
        self._unsettled: set[ServiceId] = set()

    def add(self, services: Iterable[ServiceId]) -> None:
        """Have these planned as soon as possible."""
        for service_id in services:
            self._turn(service_id)[service_id] = None

    def add_slots(self, service_id: ServiceId, slots: Iterable[int]) -> None:
        """Have these slots of a service planned as soon as possible."""
        turn = self._turn(service_id)
        due = turn.setdefault(service_id, None if service_id in self._unsettled else set())
        if due is not None:
            due.update(slots)

    def note(self, applied: Applied) -> None:
        """Have planned what was touched, and no more than that."""
        for service_id in sorted(applied.services):
            slots = applied.slots.get(service_id)
            if slots is None:
                self._turn(service_id)[service_id] = None
            else:
                self.add_slots(service_id, slots)

    def wake(self, service_id: ServiceId, at: float, *, slot: int = WHOLE) -> None:
        """Have a service, or a slot of it, planned at a time, unless it is planned before."""
        self._wake_at.setdefault(service_id, {})[slot] = at
        heapq.heappush(self._timers, (at, service_id, slot))

    def follow(self, plan: Plan) -> None:
        """Remember what a plan left for later, and whether it is settled."""
        if plan.is_unsettled:
            self._unsettled.add(plan.service_id)
        else:
            self._unsettled.discard(plan.service_id)
        for slot, at in plan.wakes.items():
            self.wake(plan.service_id, at, slot=slot)
        if plan.rest:
            self.add_slots(plan.service_id, plan.rest)

    def take(self, *, now: float) -> ServiceId | None:
        """The next service to plan as a whole, if any is due."""
        due = self.next(now=now)
        if due is None:
            return None
        self._wake_at.pop(due.service_id, None)
        return due.service_id

    def next(self, *, now: float) -> Due | None:
        """What to plan next, if anything is due."""
        while self._timers and self._timers[0][0] <= now:
            at, service_id, slot = heapq.heappop(self._timers)
            if self._is_kept(at, service_id, slot):
                self._give_up(service_id, {slot})
                if slot == WHOLE:
                    self.add((service_id,))
                else:
                    self.add_slots(service_id, (slot,))
        if not self._due:
            return None
        rank = max(self._due)
        turn = self._due[rank]
        service_id = next(iter(turn))
        slots = turn.pop(service_id)
        del self._ranks[service_id]
        if not turn:
            del self._due[rank]
        self._give_up(service_id, slots)
        return Due(service_id, None if slots is None else frozenset(slots))

    def next_deadline(self) -> float | None:
        """When `next` will have something, if nothing is added before; 0 when it has."""
        if self._due:
            return 0.0
        while self._timers and not self._is_kept(*self._timers[0]):
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def check(self) -> None:
        """Assert that every time that was asked for is kept, and everything due has its rank."""
        kept = set(self._timers)
        for service_id, wakes in self._wake_at.items():
            assert wakes
            assert all((at, service_id, slot) in kept for slot, at in wakes.items())
        due = {service_id: rank for rank, turn in self._due.items() for service_id in turn}
        assert due == self._ranks
        assert all(self._due.values())

    def _turn(self, service_id: ServiceId) -> dict[ServiceId, set[int] | None]:
        """The queue in which a service stands, or has to."""
        rank = self._ranks.get(service_id)
        if rank is None:
            rank = self._ranks[service_id] = self._priority(service_id)
        return self._due.setdefault(rank, {})

    def _is_kept(self, at: float, service_id: ServiceId, slot: int) -> bool:
        return self._wake_at.get(service_id, {}).get(slot) == at

    def _give_up(self, service_id: ServiceId, slots: set[int] | None) -> None:
        if slots is None:
            self._wake_at.pop(service_id, None)
        elif (wakes := self._wake_at.get(service_id)) is not None:
            for slot in slots & wakes.keys():
                del wakes[slot]
            if not wakes:
                del self._wake_at[service_id]


def urgency(view: ClusterView, service_id: ServiceId) -> int:
    """The highest priority of what a service may start: of its present version, or of an earlier.

    Tasks of an earlier one are started again while a rollout goes on, and others give way to
    them; were the service's turn after theirs, they would be back in that place before it.
    """
    service = view.services.get(service_id)
    if service is None:
        return 0
    versions = view.versions_of(service_id).values()
    return max((service.spec.task.priority, *(each.task.priority for each in versions)))
