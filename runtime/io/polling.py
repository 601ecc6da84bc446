"""Wait for descriptors, and call whoever watches the one that is ready.

A watcher may forget any descriptor, its own too, and whatever was ready with it is then not
called any more. A descriptor that was closed and opened again in between may be called once
for nothing, so nobody who is called may block.
"""

import select
from collections.abc import Callable

Ready = Callable[[int], object]
_LONGEST_MS = 86_400_000


class Poll:
    """All that one process waits for."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._ready: dict[int, Ready] = {}

    def watch(self, descriptor: int, ready: Ready, events: int = select.POLLIN) -> None:
        """Call `ready` with `descriptor` when it can be read, or has hung up.

        Watching it again replaces what was said before; `events` 0 is hanging up alone.
        """
        self._ready[descriptor] = ready
        self._poll.register(descriptor, events)

    def forget(self, descriptor: int) -> None:
        """Watch no more; one that is not watched is fine."""
        if self._ready.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)

    def is_watched(self, descriptor: int) -> bool:
        """Whether somebody watches `descriptor`."""
        return descriptor in self._ready

    def turn(self, timeout_s: float | None) -> None:
        """Wait until something is ready, `timeout_s` at most, and tell who watches it.

        Without a limit it waits for ever, and never for more than a day else: the kernel's own
        limit is 24 days.
        """
        timeout_ms = None
        if timeout_s is not None:
            timeout_ms = min(max(0, int(timeout_s * 1000) + 1), _LONGEST_MS)
        for descriptor, _ in self._poll.poll(timeout_ms):
            ready = self._ready.get(descriptor)
            if ready is not None:
                ready(descriptor)
