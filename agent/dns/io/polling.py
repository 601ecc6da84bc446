"""Wait for thousands of descriptors, and call whoever watches one that is ready.

A turn costs as much as what is ready in it. A watcher may forget any descriptor, its own too;
one that was closed and opened again in between may be called once for nothing, so nobody who is
called may block.
"""

import select
from collections.abc import Callable
from typing import Final

READ: Final = select.EPOLLIN
WRITE: Final = select.EPOLLOUT
_MOST_AT_ONCE: Final = 256

Ready = Callable[[int], object]


class Events:
    """All that the service waits for."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._ready: dict[int, Ready] = {}

    def watch(self, descriptor: int, ready: Ready, events: int = READ) -> None:
        """Call `ready` with `descriptor` when it can be read, or written, or has hung up.

        Watching it again replaces what was said before.
        """
        if descriptor in self._ready:
            self._epoll.modify(descriptor, events)
        else:
            self._epoll.register(descriptor, events)
        self._ready[descriptor] = ready

    def forget(self, descriptor: int) -> None:
        """Watch no more; to be said before it is closed. One that is not watched is fine."""
        if self._ready.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def turn(self, timeout_s: float | None) -> None:
        """Wait until something is ready, and call who watches it."""
        for descriptor, _ in self._epoll.poll(timeout_s, _MOST_AT_ONCE):
            ready = self._ready.get(descriptor)
            if ready is not None:
                ready(descriptor)

    def close(self) -> None:
        """Wait for nothing any more."""
        self._ready.clear()
        self._epoll.close()
