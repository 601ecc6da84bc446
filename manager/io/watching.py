"""Tell callers of changes when they happen, and only then.

A watch of a service sends its progress whenever that differs from what was sent last; what
changes while a message is on its way is told in one. A watch of events sends each of them.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable

from manager.applied import Applied
from manager.io.mirror import Mirror
from manager.io.rendering import progress_message
from manager.journal import Journal
from manager.progress import measure
from swarm.api.v1 import control_pb2, objects_pb2
from swarm.codec import to_message
from swarm.ids import ServiceId
from swarm.objects import Event


class Watches:
    """Who waits for what."""

    def __init__(self, mirror: Mirror) -> None:
        self.journal = Journal()
        self._mirror = mirror
        self._services: dict[ServiceId, set[asyncio.Event]] = {}
        self._events: set[asyncio.Event] = set()
        mirror.listen(self._changed)

    async def progress(self, service_id: ServiceId) -> AsyncIterator[control_pb2.ServiceProgress]:
        """How far a service has come, until nothing is left of it."""
        wake = asyncio.Event()
        waiting = self._services.setdefault(service_id, set())
        waiting.add(wake)
        sent = None
        try:
            while True:
                wake.clear()
                progress = measure(self._mirror.view, service_id)
                if progress != sent:
                    yield progress_message(progress)
                    sent = progress
                if progress.removed and not progress.old:
                    return
                await wake.wait()
        finally:
            waiting.discard(wake)
            if not waiting:
                self._services.pop(service_id, None)

    async def events(self, since: float) -> AsyncIterator[objects_pb2.Event]:
        """What happens from now on, and before it what is remembered since then, if asked."""
        wake = asyncio.Event()
        self._events.add(wake)
        try:
            place = self.journal.last
            for event in self.journal.since(since) if since else ():
                yield to_message(event)
            while True:
                wake.clear()
                events, _ = self.journal.after(place)
                place = self.journal.last
                for event in events:
                    yield to_message(event)
                if place == self.journal.last:
                    await wake.wait()
        finally:
            self._events.discard(wake)

    def tell(self, event: Event) -> None:
        """Something happened that changes no object."""
        self._add([event])

    def _changed(self, applied: Applied) -> None:
        for service_id in applied.progressed & self._services.keys():
            for wake in self._services[service_id]:
                wake.set()
        if applied.events:
            self._add(applied.events)

    def _add(self, events: Iterable[Event]) -> None:
        self.journal.add(events)
        for wake in self._events:
            wake.set()
