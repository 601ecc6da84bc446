"""Hold what process 1 passed on so that its network can be connected: both descriptors.

The pipe is ours alone: what is written to it, or that it closes, is what process 1 waits for.
The namespace is closed no sooner than whoever works on it has ended, or he might find another
file under its number.
"""

import asyncio
import contextlib
import os


class Offer:
    """A network namespace, as a descriptor, and the container that waits for it."""

    def __init__(self, namespace: int, go: int) -> None:
        self.namespace = namespace
        self._go = go
        self._is_lent = False

    def lend(self, user: "asyncio.Future[None]") -> None:
        """The namespace stays open until `user` is done."""
        self._is_lent = True
        user.add_done_callback(self._take_back)

    def accept(self) -> None:
        """It is connected: the container goes on, if it is still there."""
        if self._go >= 0:
            with contextlib.suppress(BrokenPipeError):
                os.write(self._go, b".")
        self.decline()

    def decline(self) -> None:
        """The container gives up, unless it was let go on before."""
        if self._go >= 0:
            os.close(self._go)
            self._go = -1
        if not self._is_lent:
            self._close()

    def _take_back(self, user: "asyncio.Future[None]") -> None:
        self._close()
        if not user.cancelled():
            user.exception()  # or a failure that nobody waits for any more is a warning

    def _close(self) -> None:
        if self.namespace >= 0:
            os.close(self.namespace)
            self.namespace = -1
