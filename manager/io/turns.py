"""Let few begin in each turn of the loop, so that no turn takes long.

A thousand lines that may write at once would each have their say in one turn of the loop, and
whoever needs several turns for one call, as the renewal of a lease does, would wait for
thousands. How many are few depends on what each has to say: when a turn took long, fewer begin
in the next. Nothing is held while a write lasts: a peer that does not read keeps nobody from
beginning.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable

AT_ONCE = 50
LONG_S = 0.05


class Turns:
    """The turns of one loop. First come, first served."""

    def __init__(
        self, *, at_once: int = AT_ONCE, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = self._at_once = at_once
        self._clock = clock
        self._began_at = 0.0
        self._left = at_once
        self._is_ending = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def next(self) -> None:
        """Return in this turn while it has room, and in a later one else."""
        if self._left > 0 and not self._waiting:
            self._left -= 1
            self._end_soon()
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self._end_soon()
        await waiter

    def _end_soon(self) -> None:
        if not self._is_ending:
            self._is_ending = True
            self._began_at = self._clock()
            asyncio.get_running_loop().call_soon(self._end)

    def _end(self) -> None:
        self._is_ending = False
        if self._clock() - self._began_at > LONG_S:
            self._at_once = max(1, self._at_once // 2)
        else:
            self._at_once = min(self._most, self._at_once + 1)
        self._left = self._at_once
        while self._waiting and self._left > 0:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                self._left -= 1
        if self._waiting or self._left < self._at_once:
            self._end_soon()
