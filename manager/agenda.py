"""Remember which services have to be planned, and when time alone calls for it.

First come, first served, and each service once however often it was touched; but of services
that wait, those of higher priority come first. One whose versions differ in priority has a turn
at each of them, and starts in it what is of that priority or above. A service is due as a whole
or, where no more than that was touched, for some of its slots. A plan for any reason gives up
the times that the slots it looks at had asked for: it asks again. What a plan called unsettled
is planned as a whole until a plan finds it settled.
"""

import heapq
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import NamedTuple

from manager.applied import Applied
from manager.decisions import Plan
from manager.view import ClusterView
from swarm.ids import ServiceId

WHOLE = 0
"""Among slots: the service itself. Slots count from 1."""


class Due(NamedTuple):
    """What to plan: a service, or only these `slots` of it, and which tasks it may start."""

    service_id: ServiceId
    slots: frozenset[int] | None = None
    priority: int = 0


class Agenda:
    """The services to plan. `now` is seconds since the epoch, as in `Plan.wake_at`."""

    def __init__(
        self, *, priorities: Callable[[ServiceId], Collection[int]] = lambda _: (0,)
    ) -> None:
        self._priorities = priorities
        self._due: dict[int, dict[ServiceId, set[int] | None]] = {}
        self._wake_at: dict[ServiceId, dict[int, float]] = {}
        self._timers: list[tuple[float, ServiceId, int]] = []
        self._unsettled: set[ServiceId] = set()

    def add(self, services: Iterable[ServiceId]) -> None:
        """Have these planned as soon as possible."""
        for service_id in services:
            for turn in self._turns(service_id):
                turn[service_id] = None

    def add_slots(self, service_id: ServiceId, slots: Iterable[int]) -> None:
        """Have these slots of a service planned as soon as possible."""
        slots = tuple(slots)
        for turn in self._turns(service_id):
            due = turn.setdefault(service_id, None if service_id in self._unsettled else set())
            if due is not None:
                due.update(slots)

    def note(self, applied: Applied) -> None:
        """Have planned what was touched, and no more than that."""
        for service_id in sorted(applied.services):
            slots = applied.slots.get(service_id)
            if slots is None:
                self.add((service_id,))
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
        priority = max(self._due)
        turn = self._due[priority]
        service_id = next(iter(turn))
        slots = turn.pop(service_id)
        if not turn:
            del self._due[priority]
        self._give_up(service_id, slots)
        return Due(service_id, None if slots is None else frozenset(slots), priority)

    def next_deadline(self) -> float | None:
        """When `next` will have something, if nothing is added before; 0 when it has."""
        if self._due:
            return 0.0
        while self._timers and not self._is_kept(*self._timers[0]):
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def check(self) -> None:
        """Assert that every time that was asked for is kept, and no turn is empty."""
        kept = set(self._timers)
        for service_id, wakes in self._wake_at.items():
            assert wakes
            assert all((at, service_id, slot) in kept for slot, at in wakes.items())
        assert all(self._due.values())

    def _turns(self, service_id: ServiceId) -> Iterator[dict[ServiceId, set[int] | None]]:
        """The queues in which a service has to stand."""
        for priority in self._priorities(service_id):
            yield self._due.setdefault(priority, {})

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


def priorities(view: ClusterView, service_id: ServiceId) -> Collection[int]:
    """Those of the tasks that a service may start: of its present version, or of earlier ones.

    While a rollout goes on, tasks of an earlier version are started again. Were all planned by
    one of these priorities, what others were stopped for would be taken by tasks of a lower one,
    which would have to give way again, and so on for ever.
    """
    service = view.services.get(service_id)
    if service is None:
        return (0,)
    versions = view.versions_of(service_id).values()
    return {service.spec.task.priority, *(each.task.priority for each in versions)}
