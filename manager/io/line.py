"""Hold what has yet to be said to one connected agent.

Whoever wants to tell an agent something leaves it here and goes on; one writer sends it.
Touched tasks are only noted: what is sent of them is read from the view when the line is
free, so a task that changed ten times meanwhile is told once, as it is. When many lines are
touched at once, each waits for its turn (`manager.dispatch.pace`), so that large plans cost a
few messages a node. The same goes for what the node has to know of its networks.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable

from manager.dispatch.assignments import Assignments
from manager.dispatch.deliveries import Open
from manager.dispatch.pace import Pace
from manager.dispatch.topology import Surroundings
from manager.io.turns import Turns
from manager.view import ClusterView
from swarm.dispatch import Diff, FromManager
from swarm.errors import SwarmError
from swarm.ids import NodeId, TaskId


class Line:
    """The sending half of one session. `revision` is that of its session key."""

    def __init__(
        self,
        node_id: NodeId,
        session_id: str,
        *,
        revision: int,
        opened: Open | None = None,
        surroundings: Surroundings | None = None,
    ) -> None:
        self.node_id = node_id
        self.session_id = session_id
        self.revision = revision
        self.assignments = Assignments(node_id, opened, surroundings)
        self.error: SwarmError | None = None
        self._is_closed = False
        self._messages: list[FromManager] = []
        self._touched: dict[TaskId, None] = {}
        self._contents: set[str] = set()
        self._is_moved = False
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    def send(self, message: FromManager) -> None:
        """Have `message` sent; forgotten once the line is closed."""
        self._messages.append(message)
        self._wake.set()

    def touch(self, tasks: Iterable[TaskId], pace: Pace | None = None) -> None:
        """Have the agent told what became of `tasks`, at once or when its turn comes."""
        self._touched.update(dict.fromkeys(tasks))
        self._ring_in_turn(pace)

    def move(self, pace: Pace | None = None) -> None:
        """Have the agent told what changed of its networks, at once or when its turn comes."""
        self._is_moved = True
        self._ring_in_turn(pace)

    def _ring_in_turn(self, pace: Pace | None) -> None:
        if pace is None:
            self._ring()
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(pace.turn(now=loop.time()), self._ring)

    def renew(self, contents: Iterable[str]) -> None:
        """Have tasks that have yet to start given these secrets and configs as they are now."""
        self._contents.update(contents)
        self._wake.set()

    def close(self, error: SwarmError | None = None) -> None:
        """End the session; the agent is told `error`."""
        if not self._is_closed:
            self._is_closed, self.error = True, error
            self._ring()

    async def messages(self, view: ClusterView, turns: Turns) -> AsyncIterator[FromManager]:
        """What to send, as it comes up, until the line is closed."""
        while not self._is_closed:
            await self._wake.wait()
            self._wake.clear()
            messages, self._messages = self._messages, []
            for message in messages:
                yield message
            while self._timer is None and self._has_more():
                await turns.next()
                if diff := self._diff(view):
                    yield diff

    def _ring(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wake.set()

    def _has_more(self) -> bool:
        is_noted = bool(self._touched or self._contents or self._is_moved)
        return is_noted or self.assignments.is_due

    def _diff(self, view: ClusterView) -> Diff | None:
        touched, self._touched = self._touched, {}
        contents, self._contents = self._contents, set()
        self._is_moved = False
        return self.assignments.diff(view, touched, contents)
