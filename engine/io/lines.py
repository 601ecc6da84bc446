"""Send a program what its callers say, from several of them at once.

Input waits until the piece before it is on its way, so that whoever types too fast waits, too. What
else there is to say, a size or a farewell, does not wait behind input.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from swarm.api.v1 import control_pb2


class Line:
    """The requests of a call that has one program at its other end."""

    def __init__(self, first: control_pb2.StreamInput) -> None:
        self._urgent = deque((first,))
        self._input: control_pb2.StreamInput | None = None
        self._changed = asyncio.Event()
        self._taken = asyncio.Event()

    def tell(self, message: control_pb2.StreamInput) -> None:
        """Say it before any input that waits."""
        self._urgent.append(message)
        self._changed.set()

    def resize(self, rows: int, columns: int) -> None:
        """Tell the size of the caller's terminal."""
        size = control_pb2.TerminalSize(rows=rows, columns=columns)
        self.tell(control_pb2.StreamInput(size=size))

    async def feed(self, message: control_pb2.StreamInput) -> None:
        """Say it after the input that waits; returns once this waits."""
        while self._input is not None:
            self._taken.clear()
            await self._taken.wait()
        self._input = message
        self._changed.set()

    async def requests(self) -> AsyncIterator[control_pb2.StreamInput]:
        """All that is said, as it comes; for one reader."""
        while True:
            self._changed.clear()
            while self._urgent:
                yield self._urgent.popleft()
            if self._input is not None:
                message, self._input = self._input, None
                self._taken.set()
                yield message
            elif not self._urgent:
                await self._changed.wait()
