"""Run programs in the containers of tasks for callers far away, and join those that run."""

from collections.abc import Callable
from typing import Protocol

import structlog

from agent.io.carrying import Carrying, Spawn, ended, exec_spec, started
from agent.io.conversations import Talk
from agent.io.joining import Attached, Executed
from runtime.io.attachment import Attachment
from runtime.io.execution import Exec
from runtime.joining import ExecSpec
from swarm.api.v1 import control_pb2, dispatch_pb2
from swarm.errors import Invalid
from swarm.ids import TaskId


class Runtime(Protocol):
    """What runs programs in containers; a container has the id of its task."""

    async def exec(self, container_id: str, spec: ExecSpec) -> Exec:
        """Run a program; raises `Missing` if the container does not run, `KernelRefused`."""
        ...

    async def attach(self, container_id: str) -> Attachment:
        """Join a container's own program."""
        ...

    async def kill(self, container_id: str, signal: int) -> None:
        """Send a signal to process 1."""
        ...


Require = Callable[[TaskId], None]


class _Caller:
    """A manager's conversation, of which all is about one program."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk

    async def say(self, output: control_pb2.StreamOutput) -> None:
        await self._talk.say(stream=output)

    async def conclude(self, output: control_pb2.StreamOutput) -> None:
        await self._talk.conclude(stream=output)

    async def hear(self) -> control_pb2.StreamInput | None:
        question = await self._talk.hear()
        return question.stream if question is not None else None


class Programs:
    """Answers `exec` and `attach`. `require` refuses tasks that this node does not run."""

    def __init__(
        self,
        runtime: Runtime,
        *,
        require: Require,
        spawn: Spawn,
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._runtime = runtime
        self._require = require
        self._spawn = spawn
        self._log = log

    async def respond(self, talk: Talk, question: dispatch_pb2.Question) -> None:
        """Serve one program to its end or its caller's."""
        begin, caller = question.stream, _Caller(talk)
        match begin.WhichOneof("message"):
            case "exec":
                await self._exec(caller, begin.exec)
            case "attach":
                await self._attach(caller, begin.attach)
            case _:
                raise Invalid("a stream begins with `exec` or `attach`")

    async def _exec(self, caller: _Caller, start: control_pb2.ExecStart) -> None:
        task_id = TaskId(start.task)
        self._require(task_id)
        program = await self._runtime.exec(task_id, exec_spec(start))
        log = self._log.bind(task_id=task_id, caller=start.caller, args=list(start.args))
        log.info(
            "task.exec_started",
            pid=program.pid,
            user=start.user,
            tty=start.tty,
            privileged=start.privileged,
            detach=start.detach,
        )
        joined = Executed(program)
        carrying = Carrying(joined, spawn=self._spawn, log=log, ended="task.exec_ended")
        if start.detach:
            carrying.leave()
            await caller.say(started(joined))
            await caller.conclude(ended(0))
            return
        await carrying.carry(caller)

    async def _attach(self, caller: _Caller, start: control_pb2.AttachStart) -> None:
        task_id = TaskId(start.task)
        self._require(task_id)
        attachment = await self._runtime.attach(task_id)
        log = self._log.bind(task_id=task_id, caller=start.caller)
        log.info("task.attach_started")
        joined = Attached(attachment, self._runtime, may_write=start.open_stdin)
        if start.HasField("size"):
            joined.resize(start.size.rows, start.size.columns)
        carrying = Carrying(joined, spawn=self._spawn, log=log, ended="task.attach_ended")
        await carrying.carry(caller)
