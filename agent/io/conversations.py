"""Answer what a manager asks beside the session, each question on a stream of its own.

A `CallBack` names a conversation; we open `Converse` for it on the session's channel and hear
the question there. What goes on in a conversation ends with it: when the manager calls it
off, when the session is over, and when this agent stops. A failure is the last thing said.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

import grpc
import grpc.aio
import structlog

from agent.io.link import Link
from swarm import faults
from swarm.api.v1 import dispatch_pb2
from swarm.dispatch import CallBack, CallOff
from swarm.errors import Refused, SwarmError

LET_GO_WITHIN_S = 5.0

# How gRPC says that a call has ended, or its channel: a status, or a complaint about the asking.
_OVER = (grpc.RpcError, grpc.aio.BaseError, asyncio.InvalidStateError)

Spawn = Callable[[Coroutine[None, None, None]], asyncio.Task[None]]
Call = grpc.aio.StreamStreamCall[dispatch_pb2.Answer, dispatch_pb2.Question]


class Talk:
    """Our end of one conversation. What is said after its end is dropped."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._turn = asyncio.Lock()
        self.is_over = False

    async def say(self, **answer: Any) -> None:
        """Send one answer, as soon as there is room for it."""
        async with self._turn:
            await self._write(answer)

    async def conclude(self, **answer: Any) -> None:
        """Send the last answer."""
        async with self._turn:
            await self._write(answer)
            if not self.is_over:
                self.is_over = True
                with contextlib.suppress(*_OVER):
                    await self._call.done_writing()

    async def hear(self) -> dispatch_pb2.Question | None:
        """The next thing that is asked; None once nobody will ask any more."""
        try:
            heard = await self._call.read()
        except _OVER:
            return None
        return heard if isinstance(heard, dispatch_pb2.Question) else None

    async def _write(self, answer: Mapping[str, Any]) -> None:
        if self.is_over:
            return
        try:
            await self._call.write(dispatch_pb2.Answer(**answer))
        except _OVER:
            self.is_over = True  # whoever hears finds out as well


Respond = Callable[[Talk, dispatch_pb2.Question], Awaitable[None]]


class Conversations:
    """The conversations that are open. `respond` has one function for each kind of question."""

    def __init__(
        self,
        respond: Mapping[str, Respond],
        *,
        spawn: Spawn,
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._respond = respond
        self._spawn = spawn
        self._log = log
        self._open: dict[asyncio.Task[None], tuple[Link, str]] = {}

    def call_back(self, link: Link, message: CallBack) -> None:
        """Open the conversation that `message` names."""
        task = self._spawn(self._converse(link, message.call_id))
        self._open[task] = (link, message.call_id)
        task.add_done_callback(lambda done: self._open.pop(done, None))

    def call_off(self, link: Link, message: CallOff) -> None:
        """Nobody talks there any more."""
        for task, (owner, call_id) in tuple(self._open.items()):
            if owner is link and call_id == message.call_id:
                task.cancel()

    def left(self, link: Link) -> None:
        """The session is over, and its conversations with it."""
        for task, (owner, _) in tuple(self._open.items()):
            if owner is link:
                task.cancel()

    async def _converse(self, link: Link, call_id: str) -> None:
        try:
            call = link.dispatcher.Converse()
        except grpc.aio.BaseError:
            return  # the session has just ended
        talk = Talk(call)
        try:
            await talk.say(call_id=call_id)
            question = await talk.hear()
            if question is not None:
                await self._answer(talk, question)
        except TimeoutError:
            self._log.warning("conversation.not_ended", call_id=call_id)
        finally:
            call.cancel()

    async def _answer(self, talk: Talk, question: dispatch_pb2.Question) -> None:
        respond = self._respond.get(question.WhichOneof("message") or "")
        try:
            if respond is None:
                raise Refused(
                    "the agent does not know this question",
                    hint="managers and agents should run one version",
                )
            await respond(talk, question)
        except SwarmError as err:
            await talk.conclude(failure=faults.encode(err))
        async with asyncio.timeout(LET_GO_WITHIN_S):
            while await talk.hear() is not None:
                pass
