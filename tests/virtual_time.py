"""Run a story in time that passes only while everybody waits.

A machine that stalls is nobody's delay then, and waiting costs nothing. Only for a loop that
waits for itself: what another process, a thread or the network has yet to say always comes late.
"""

import asyncio
from collections.abc import Coroutine
from selectors import DefaultSelector, SelectorKey
from typing import TypeVar

T = TypeVar("T")


def run(story: Coroutine[object, object, T]) -> T:
    """As `asyncio.run` does; the loop's clock begins with 0."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(story)


class _Skipping(DefaultSelector):
    """Sleeps by saying that it has slept."""

    def __init__(self) -> None:
        super().__init__()
        self.slept_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "everybody waits for ever"
            self.slept_s += max(timeout, 0.0)
        return ready


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._skipping = _Skipping()
        super().__init__(self._skipping)

    def time(self) -> float:
        return self._skipping.slept_s
