"""Ask an agent on a stream that it opens because we asked it to.

Agents dial managers and never the other way round, so a question that needs more than a
message travels backwards: a `CallBack` goes down the session, the agent opens `Converse`
with its id, and the question is the first thing it hears there. Answers wait in a small box:
an asker that is slow slows the agent down, and with it whatever it reads from. A conversation
ends with the session that it was asked for in, with its stream, or when its asker goes;
nobody waits for the dead.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from itertools import count
from typing import Any

import grpc.aio

from manager.io.preflights import Send
from swarm import faults
from swarm.api.v1 import dispatch_pb2
from swarm.dispatch import CallBack, CallOff
from swarm.errors import Missing, SwarmError, Unavailable
from swarm.ids import NodeId

PICKED_UP_WITHIN_S = 5.0
BUFFERED_ANSWERS = 4

Answers = AsyncIterator[dispatch_pb2.Answer]
Context = grpc.aio.ServicerContext[Any, Any]


class Conversation:
    """One question and what is said about it. Close it in the end, whatever happened."""

    def __init__(self, node_id: NodeId, session_id: str, forget: Callable[[], None]) -> None:
        self.node_id = node_id
        self.session_id = session_id
        self.closed = asyncio.Event()
        self.picked_up = asyncio.Event()
        self._forget = forget
        self._context: Context | None = None
        self._answers: deque[dispatch_pb2.Answer] = deque()
        self._error: SwarmError | None = None
        self._wake = asyncio.Event()
        self._room = asyncio.Event()

    # -- the asker's side ----------------------------------------------------------------

    async def ask(self, question: dispatch_pb2.Question) -> None:
        """Send a question or more of one. What goes wrong is told to whoever reads answers."""
        if self._context is None or self.closed.is_set():
            return
        try:
            await self._context.write(question)
        except (grpc.aio.BaseError, asyncio.InvalidStateError) as err:
            self.broke(Unavailable(f"node {self.node_id} went away: {err}"))

    async def next(self) -> dispatch_pb2.Answer:
        """The next answer; raises what the agent failed with, or why nothing can follow."""
        while not self._answers:
            if self._error is not None:
                raise self._error
            self._wake.clear()
            await self._wake.wait()
        self._room.set()
        answer = self._answers.popleft()
        if answer.WhichOneof("message") == "failure":
            raise faults.restore(answer.failure) or Unavailable("the agent failed without a word")
        return answer

    def close(self) -> None:
        """The asker has heard enough; the agent is let go."""
        self.closed.set()
        self._room.set()
        self._forget()

    # -- the agent's side ----------------------------------------------------------------

    def pick_up(self, context: Context) -> None:
        """The agent has called back."""
        self._context = context
        self.picked_up.set()

    async def take(self, answers: Answers) -> None:
        """Hear the agent out, no faster than the asker listens."""
        try:
            async for answer in answers:
                while len(self._answers) >= BUFFERED_ANSWERS and not self.closed.is_set():
                    self._room.clear()
                    await self._room.wait()
                self._answers.append(answer)
                self._wake.set()
        except grpc.aio.BaseError:
            pass  # it is gone, which is what follows
        self.broke(Unavailable(f"the agent of node {self.node_id} went away"))

    def broke(self, error: SwarmError) -> None:
        """Nothing follows what has been said already."""
        self._error = self._error or error
        self.picked_up.set()
        self._wake.set()


class Conversations:
    """The conversations of this manager's agents."""

    def __init__(self, send: Send, sessions: Callable[[], Mapping[NodeId, str]]) -> None:
        self._send = send
        self._sessions = sessions
        self._numbers = count(1)
        self._open: dict[str, Conversation] = {}
        self._arrived = asyncio.Event()

    def is_here(self, node_id: NodeId) -> bool:
        """Whether the node's agent is connected to this manager."""
        return node_id in self._sessions()

    async def arrival(self, node_id: NodeId, *, within_s: float) -> bool:
        """Wait for the node's agent to be connected; False when it does not come in time."""
        try:
            async with asyncio.timeout(within_s):
                while not self.is_here(node_id):
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            return False
        return True

    def session_began(self) -> None:
        """A node is here (again)."""
        self._arrived.set()

    async def open(
        self,
        node_id: NodeId,
        question: dispatch_pb2.Question,
        *,
        within_s: float = PICKED_UP_WITHIN_S,
    ) -> Conversation:
        """Ask the agent of a node; `Unavailable` when it is not here or does not call back."""
        session_id = self._sessions().get(node_id, "")
        call_id = f"c{next(self._numbers)}"
        found = Conversation(node_id, session_id, lambda: self._forget(call_id))
        self._open[call_id] = found
        try:
            if not session_id or not self._send(node_id, CallBack(call_id=call_id)):
                raise Unavailable(f"node {node_id} has no session here", hint="try again")
            async with asyncio.timeout(within_s):
                await found.picked_up.wait()
            await found.ask(question)
        except TimeoutError as err:
            found.close()
            raise Unavailable(
                f"the agent of node {node_id} did not call back within {within_s:.0f} s",
                hint="is its host overloaded?",
            ) from err
        except BaseException:
            found.close()
            raise
        return found

    async def serve(self, node_id: NodeId, answers: Answers, context: Context) -> None:
        """Carry one conversation that an agent opened, until either side has had enough."""
        first = await anext(answers, None)
        call_id = first.call_id if first is not None else ""
        found = self._open.get(call_id)
        if found is None or found.node_id != node_id or found.picked_up.is_set():
            raise Missing(f"nobody waits for call {call_id!r}", hint="end the stream")
        found.pick_up(context)
        taking = asyncio.ensure_future(found.take(answers))
        closing = asyncio.ensure_future(found.closed.wait())
        try:
            await asyncio.wait({taking, closing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            taking.cancel()
            closing.cancel()
            found.broke(Unavailable(f"the agent of node {node_id} went away"))

    def session_ended(self, session_id: str) -> None:
        """A session is over, and so is what was talked about in it."""
        for each in tuple(self._open.values()):
            if each.session_id == session_id:
                lost = f"the session of node {each.node_id} ended"
                each.broke(Unavailable(lost, hint="`swarmctl node ls` shows whether it is back"))

    def _forget(self, call_id: str) -> None:
        found = self._open.pop(call_id, None)
        if found is not None and self._sessions().get(found.node_id) == found.session_id:
            self._send(found.node_id, CallOff(call_id=call_id))
