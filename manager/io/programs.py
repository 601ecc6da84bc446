"""Splice a caller to a program in a task's container, wherever it runs.

Nothing is kept here but what is on its way: the caller's input goes to the agent message by
message, the agent's output to the caller, each no faster than the other side takes it. Who
ran what where, and how it ended, is logged and told to those who follow events: the command,
never its environment or its input.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable

import grpc.aio
import structlog

from manager.control.targets import full_name, running_task
from manager.events import program_event
from manager.io.conversations import Conversation
from manager.io.mirror import Mirror
from manager.io.reach import Reach
from swarm.api.v1 import control_pb2, dispatch_pb2
from swarm.errors import Invalid, SwarmError, Unavailable
from swarm.objects import Event, Task

# A call that ends under a message that is being sent loses its status (see `swarm.io.rpc`), so
# callers are heard out after the last answer: what they still send is dropped.
SETTLED_WITHIN_S = 5.0
STARTED_WITHIN_S = 30.0

Inputs = AsyncIterator[control_pb2.StreamInput]
Outputs = AsyncGenerator[control_pb2.StreamOutput]


class Programs:
    """Programs that callers talk to. `tell` is told what happened."""

    def __init__(
        self,
        mirror: Mirror,
        reach: Reach,
        tell: Callable[[Event], None],
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._mirror = mirror
        self._reach = reach
        self._tell = tell
        self._log = log

    async def run(self, kind: str, inputs: Inputs, caller: str, *, is_relayed: bool) -> Outputs:
        """Serve one `exec` or `attach`, as `kind` says, to its end."""
        begin = await _beginning(kind, inputs)
        start = begin.exec if kind == "exec" else begin.attach
        task = running_task(self._mirror.view, start.task)
        start.task, start.caller = task.id, caller
        address = await self._reach.elsewhere(task.node_id, is_relayed=is_relayed)
        if address:
            outputs = self._hand_on(address, kind, begin, inputs, caller)
        else:
            outputs = self._splice(task, kind, begin, inputs)
        async with contextlib.aclosing(outputs):
            async for output in outputs:
                yield output

    async def _hand_on(
        self,
        address: str,
        kind: str,
        begin: control_pb2.StreamInput,
        inputs: Inputs,
        caller: str,
    ) -> Outputs:
        async with self._reach.asking(address, caller) as (stub, metadata):
            ask = stub.Exec if kind == "exec" else stub.Attach
            call = ask(_chained(begin, inputs), metadata=metadata)
            try:
                async for output in call:
                    yield output
            finally:
                call.cancel()

    async def _splice(
        self, task: Task, kind: str, begin: control_pb2.StreamInput, inputs: Inputs
    ) -> Outputs:
        question = dispatch_pb2.Question(stream=begin)
        account = _Account(self._log, self._tell, task, begin, now=self._mirror.clock)
        conversation = await self._reach.conversations.open(task.node_id, question)
        pumping = asyncio.ensure_future(_pump(inputs, conversation))
        try:
            output = await _first(conversation)
            while True:
                account.heard(output)
                yield output
                if output.WhichOneof("message") == "ended":
                    conversation.close()
                    await asyncio.wait({pumping}, timeout=SETTLED_WITHIN_S)
                    return
                output = (await conversation.next()).stream
        except SwarmError as err:
            account.failed(err.message)
            raise
        finally:
            pumping.cancel()
            conversation.close()
            account.close()


class _Account:
    """What is told of one program: that it began, and how it ended."""

    def __init__(
        self,
        log: structlog.stdlib.BoundLogger,
        tell: Callable[[Event], None],
        task: Task,
        begin: control_pb2.StreamInput,
        *,
        now: Callable[[], float],
    ) -> None:
        self._kind = begin.WhichOneof("message") or ""
        fields: dict[str, object] = {"task_id": task.id, "node_id": task.node_id}
        if self._kind == "exec":
            fields |= {"caller": begin.exec.caller, "args": list(begin.exec.args)}
            fields |= {"user": begin.exec.user, "tty": begin.exec.tty}
            fields |= {"privileged": begin.exec.privileged, "detach": begin.exec.detach}
        else:
            fields["caller"] = begin.attach.caller
        self._log = log.bind(task=full_name(task), **fields)
        self._tell = tell
        self._task = task
        self._command = " ".join(begin.exec.args)
        self._caller = str(fields["caller"])
        self._now = now
        self._began_at = time.monotonic()
        self._has_begun = False
        self._end: dict[str, str] = {"reason": "the caller left"}

    def heard(self, output: control_pb2.StreamOutput) -> None:
        match output.WhichOneof("message"):
            case "started":
                self._has_begun = True
                self._log.info(f"task.{self._kind}_started")
                self._event("exec_start" if self._kind == "exec" else "attach", {})
            case "ended":
                self._end = {"exit_code": str(output.ended.exit_code)}
            case _:
                pass

    def failed(self, reason: str) -> None:
        self._end = {"reason": reason}

    def close(self) -> None:
        if not self._has_begun:
            self._log.info(f"task.{self._kind}_refused", **self._end)
            return
        seconds = round(time.monotonic() - self._began_at, 3)
        self._log.info(f"task.{self._kind}_ended", seconds=seconds, **self._end)
        self._event("exec_die" if self._kind == "exec" else "detach", self._end)

    def _event(self, action: str, attributes: dict[str, str]) -> None:
        found = {"by": self._caller, "command": self._command, **attributes}
        self._tell(program_event(self._task, action, found, now=self._now()))


async def _first(conversation: Conversation) -> control_pb2.StreamOutput:
    try:
        async with asyncio.timeout(STARTED_WITHIN_S):
            return (await conversation.next()).stream
    except TimeoutError as err:
        raise Unavailable(
            f"node {conversation.node_id} did not start it within {STARTED_WITHIN_S:.0f} s",
            hint="is its host overloaded?",
        ) from err


async def _beginning(kind: str, inputs: Inputs) -> control_pb2.StreamInput:
    first = await anext(inputs, None)
    if first is None or first.WhichOneof("message") != kind:
        raise Invalid(f"the first message must be `{kind}`", hint="use swarmctl of this version")
    if kind == "exec" and not first.exec.args:
        raise Invalid("args: name the program to run")
    return first


async def _pump(inputs: Inputs, conversation: Conversation) -> None:
    try:
        async for each in inputs:
            await conversation.ask(dispatch_pb2.Question(stream=each))
    except grpc.aio.BaseError:
        return  # the caller is gone; its call is cancelled, which ends the rest


async def _chained(begin: control_pb2.StreamInput, inputs: Inputs) -> Inputs:
    yield begin
    async for each in inputs:
        yield each
