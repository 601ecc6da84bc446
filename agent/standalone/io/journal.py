"""Remember what happened on this node, and tell it to whoever listens.

Images, volumes and networks are told of here by those who keep them, containers by `Lives`.
Only the last events are remembered, for listeners who ask what was before they came; nothing of
it survives the agent. A listener who is slow is left behind rather than waited for.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Generator, Mapping

from agent.standalone.found import Found
from swarm.api.v1 import objects_pb2

REMEMBERED = 4096
AHEAD = 16384  # how far a listener may lag

Queue = asyncio.Queue[objects_pb2.Event | None]


class Journal:
    """What happened, the newest last."""

    def __init__(self) -> None:
        self._events: deque[objects_pb2.Event] = deque(maxlen=REMEMBERED)
        self._listeners: set[Queue] = set()
        self._last_at = 0.0

    def tell(
        self,
        kind: str,
        action: str,
        subject: str,
        attributes: Mapping[str, str] | None = None,
        *,
        name: str = "",
    ) -> None:
        """It happened just now: `action` to `subject`, an id; `kind` is container, image, volume,
        or network."""
        # Two events have two times, so that `since` tells them apart.
        self._last_at = max(time.time(), self._last_at + 1e-6)
        event = objects_pb2.Event(
            at=self._last_at, kind=kind, action=action, id=subject, name=name, attributes=attributes
        )
        self._events.append(event)
        for each in tuple(self._listeners):
            try:
                each.put_nowait(event)
            except asyncio.QueueFull:
                self._dismiss(each)

    def tell_of(
        self, found: Found, action: str, attributes: Mapping[str, str] | None = None
    ) -> None:
        """It happened to a container; its image, name and labels are told too."""
        told = {**found.labels, "image": found.image, "name": found.name, **(attributes or {})}
        self.tell("container", action, found.id, told, name=found.name)

    @contextlib.contextmanager
    def listening(self, *, since: float) -> Generator[Queue, None, None]:
        """A queue of what happened since then, unless that is 0, and of what will; None ends it."""
        queue: Queue = asyncio.Queue(AHEAD)
        for event in self._events if since else ():
            if event.at >= since:
                queue.put_nowait(event)
        self._listeners.add(queue)
        try:
            yield queue
        finally:
            self._listeners.discard(queue)

    def close(self) -> None:
        """Nothing happens any more."""
        for each in tuple(self._listeners):
            self._dismiss(each)

    def _dismiss(self, queue: Queue) -> None:
        self._listeners.discard(queue)
        while not queue.empty():
            queue.get_nowait()
        queue.put_nowait(None)


async def told(queue: Queue, *, until: float) -> AsyncIterator[objects_pb2.Event]:
    """What comes out of `queue`, up to the time `until` (0: for ever)."""
    while True:
        if until and queue.empty():
            left_s = until - time.time()
            try:
                event = await asyncio.wait_for(queue.get(), max(0.0, left_s))
            except TimeoutError:
                return
        else:
            event = await queue.get()
        if event is None or (until and event.at > until):
            return
        yield event
