"""Run programs in containers for whoever asks, and join those that the containers run themselves.

Whoever joins a container that does not run waits for its start, and sees all it prints: his
pipes go to its shim with its spec (`run`). He is told at once that he has joined, so that he can
have it started then. When the run ends, so does his view of it; the next one is somebody else's
to see, as with Docker.
"""

import asyncio
import contextlib
import math
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import structlog

from agent.io.carrying import Carrying, Spawn, ended, exec_spec, started
from agent.io.joining import Attached, Executed
from agent.standalone.found import Found
from agent.standalone.io.lives import Ended
from agent.standalone.viewing import Viewing, chunks, joinable, terminal, viewing
from runtime.io.attachment import Attachment
from runtime.io.connecting import Attach
from runtime.io.execution import Exec
from runtime.io.logs import extent, read_until
from runtime.joining import ExecSpec
from runtime.outcome import Started
from runtime.spec import ContainerSpec
from runtime.wire import Manner
from swarm.api.v1 import containers_pb2 as pb
from swarm.api.v1 import control_pb2
from swarm.errors import Invalid, Missing, Refused, SwarmError

_AHEAD = 2
_END = control_pb2.StreamInput(stdin_end=control_pb2.StdinEnd())

Inputs = AsyncIterator[control_pb2.StreamInput]
Outputs = AsyncIterator[control_pb2.StreamOutput]


class Runtime(Protocol):
    """What containers and programs run in."""

    async def run(
        self,
        spec: ContainerSpec,
        attach: Attach | None = None,
        *,
        viewers: Sequence[Attachment] = (),
    ) -> Started:
        """Start a container, with those who are to see all it prints."""
        ...

    async def exec(self, container_id: str, spec: ExecSpec) -> Exec:
        """Run a program; raises `Missing` if the container does not run, `KernelRefused`."""
        ...

    async def attach(self, container_id: str, manner: Manner = Manner.PLAIN) -> Attachment:
        """Join a container's own program; raises `Missing`."""
        ...

    async def show(self, viewer: Attachment) -> None:
        """Attach a viewer to what runs."""
        ...


class Containers(Protocol):
    """The containers of this node (`lives.py`)."""

    def find(self, text: str) -> Found:
        """The container that an id, the beginning of one, or a name means; else `Missing`."""
        ...

    def ending(self, container_id: str) -> "asyncio.Future[Ended]":
        """Done when a run of it has ended, and nothing of that is left."""
        ...

    def leaving(self, container_id: str) -> Awaitable[object]:
        """Done when it has been removed."""
        ...

    def announce(self, container_id: str, action: str, attributes: Mapping[str, str]) -> None:
        """Tell of something that was done to it."""
        ...


Kill = Callable[[str, str], Awaitable[None]]


class Streams:
    """Answers `exec`, `attach` and `resize`. `kill` sends a signal to a container, by number."""

    def __init__(
        self,
        containers: Containers,
        runtime: Runtime,
        *,
        kill: Kill,
        spawn: Spawn,
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._containers = containers
        self._runtime = runtime
        self._kill = kill
        self._spawn = spawn
        self._log = log
        self._waiting: dict[str, list[Attachment]] = {}

    async def run(self, spec: ContainerSpec, attach: Attach | None = None) -> Started:
        """Start a container, before the eyes of those who wait for that."""
        viewers = tuple(self._waiting.get(spec.id, ()))
        try:
            found = await self._runtime.run(spec, attach, viewers=viewers)
        except SwarmError as err:
            self.refuse(spec.id, err)
            raise
        for each in self._waiting.pop(spec.id, ()):
            if each not in viewers:  # he came while it was being started
                with contextlib.suppress(SwarmError):
                    await self._runtime.show(each)
        return found

    def refuse(self, container_id: str, err: SwarmError) -> None:
        """A start has come to nothing, and whoever waits for it is told."""
        for each in self._waiting.pop(container_id, ()):
            each.fail(err)

    def exec(self, requests: Inputs) -> Outputs:
        """Run a program in a container that runs."""
        return _served(requests, self._exec)

    def attach(self, requests: Inputs) -> Outputs:
        """Join a container's own program."""
        return _served(requests, self._attach)

    async def resize(self, request: pb.ResizeContainerRequest) -> None:
        """Tell a container's terminal its size; one without a terminal does not mind."""
        found = self._containers.find(request.container)
        rows, columns = request.size.rows, request.size.columns
        try:
            attachment = await self._runtime.attach(found.runtime_id)
        except Missing as err:
            raise Refused(f"container {found.id} is not running") from err
        attachment.resize(rows, columns)
        attachment.close()
        self._announce(found, "resize", {"height": str(rows), "width": str(columns)})

    # --- programs -------------------------------------------------------------------------------

    async def _exec(self, caller: "_Stream") -> None:
        begin = await caller.hear()
        if begin.WhichOneof("message") != "exec":
            raise Invalid("a program begins with `exec`")
        start = begin.exec
        found = self._containers.find(start.task)
        joinable(found)
        spec = terminal(found, exec_spec(start))
        try:
            program = await self._runtime.exec(found.runtime_id, spec)
        except Missing as err:
            raise Refused(f"container {found.id} is not running") from err
        log = self._log.bind(container_id=found.id, args=list(start.args))
        log.info(
            "container.exec_started",
            pid=program.pid,
            user=start.user,
            tty=start.tty,
            privileged=start.privileged,
            detach=start.detach,
        )
        joined, words = Executed(program), " ".join(start.args)
        known = {"execID": start.exec_id} if start.exec_id else dict[str, str]()
        for action in ("exec_create", "exec_start"):
            self._announce(found, f"{action}: {words}", known)

        def told(code: int) -> None:
            self._announce(found, "exec_die", {**known, "exitCode": str(code)})

        carrying = Carrying(
            joined,
            spawn=self._spawn,
            log=log,
            ended="container.exec_ended",
            outlives=start.outlives,
            told=told,
        )
        if start.detach:
            carrying.leave()
            await caller.say(started(joined))
            await caller.conclude(ended(0))
        else:
            await carrying.carry(caller)

    # --- the container's own --------------------------------------------------------------------

    async def _attach(self, caller: "_Stream") -> None:
        begin = await caller.hear()
        if begin.WhichOneof("message") != "attach":
            raise Invalid("joining begins with `attach`")
        start = begin.attach
        found = self._containers.find(start.task)
        wanted = viewing(found, writes=start.open_stdin, logs=start.logs or start.only_logs)
        self._announce(found, "attach", {})
        if start.only_logs:
            await caller.say(_joined(found, wanted.tty, wanted.may_write))
            await _show_log(caller, found, *extent(found.log_path))
            await caller.conclude(ended(0))
            return
        settling = self._containers.ending(found.id) if found.record is not None else None
        try:
            await self._see(caller, found, wanted, start, settling)
        finally:
            if settling is not None:
                settling.cancel()

    async def _see(
        self,
        caller: "_Stream",
        found: Found,
        wanted: Viewing,
        start: control_pb2.AttachStart,
        settling: Awaitable[object] | None,
    ) -> None:
        attachment = await self._join(caller, found, wanted)
        log = self._log.bind(container_id=found.id)
        log.info("container.attach_started")
        joined = Attached(
            attachment,
            _Signalling(self._kill),
            may_write=wanted.may_write,
            may_end=wanted.may_end,
            pid=found.pid,
            settling=settling,
        )
        if start.HasField("size"):
            joined.resize(start.size.rows, start.size.columns)
        carrying = Carrying(
            joined,
            spawn=self._spawn,
            log=log,
            ended="container.attach_ended",
            knows=True,
            detached=lambda: self._announce(found, "detach", {}),
        )
        await carrying.carry(caller)

    async def _join(self, caller: "_Stream", found: Found, wanted: Viewing) -> Attachment:
        """Attach to what runs, or to what will."""
        if not found.is_running:
            return await self._await_start(caller, found, wanted)
        try:
            attachment = await self._runtime.attach(found.runtime_id, wanted.manner)
        except Missing as err:
            if found.record is None:
                raise Refused(f"container {found.id} is not running") from err
            return await self._await_start(caller, found, wanted)  # it has just ended
        try:
            may_write = wanted.may_write and attachment.stdin_fd >= 0
            await caller.say(_joined(found, attachment.tty, may_write))
            if wanted.has_log:
                until = attachment.log_inode, attachment.log_bytes, attachment.log_at
                await _show_log(caller, found, *until)
        except BaseException:
            attachment.close()
            raise
        return attachment

    async def _await_start(self, caller: "_Stream", found: Found, wanted: Viewing) -> Attachment:
        leaving = asyncio.ensure_future(self._containers.leaving(found.id))
        viewer = Attachment(found.runtime_id, wanted.manner)
        waiting = self._waiting.setdefault(found.runtime_id, [])
        waiting.append(viewer)
        try:
            await caller.say(_joined(found, wanted.tty, wanted.may_write))
            if wanted.has_log:  # nothing is added before its start, and of that we see all
                await _show_log(caller, found, *extent(found.log_path))
            seeing = asyncio.ensure_future(viewer.attached())
            # A caller who goes away closes the viewer, and nobody hears that it then fails.
            seeing.add_done_callback(lambda done: done.cancelled() or done.exception())
            await asyncio.wait({seeing, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not seeing.done():
                seeing.cancel()
                raise Missing(f"container {found.id} was removed")
            await seeing
        except BaseException:
            viewer.close()
            raise
        finally:
            leaving.cancel()
            waiting.remove(viewer)
            if self._waiting.get(found.runtime_id) == []:
                del self._waiting[found.runtime_id]
        return viewer

    def _announce(self, found: Found, action: str, attributes: Mapping[str, str]) -> None:
        if found.record is not None:
            self._containers.announce(found.id, action, attributes)


class _Signalling:
    """Signals of whoever is attached are as those of anybody else."""

    def __init__(self, kill: Kill) -> None:
        self._kill = kill

    async def kill(self, container_id: str, signal: int) -> None:
        await self._kill(container_id, str(signal))


class _Stream:
    """Somebody at the other end of a call. When he says no more, he still listens."""

    def __init__(self, requests: Inputs) -> None:
        self._requests = requests
        self._said: deque[control_pb2.StreamOutput] = deque()
        self._has_room, self._has_some = asyncio.Event(), asyncio.Event()
        self._is_over = self._has_ended = False

    async def say(self, output: control_pb2.StreamOutput) -> None:
        """Send a message, once few enough are on their way; dropped when he has gone."""
        while len(self._said) >= _AHEAD and not self._is_over:
            self._has_room.clear()
            await self._has_room.wait()
        if not self._is_over:
            self._said.append(output)
            self._has_some.set()

    async def conclude(self, output: control_pb2.StreamOutput) -> None:
        """Send the last message."""
        await self.say(output)
        self.end()

    async def hear(self) -> control_pb2.StreamInput:
        """The next thing that he says; when that was the last, that his input has ended."""
        async for message in self._requests:
            return message
        if self._has_ended:
            await asyncio.get_running_loop().create_future()
        self._has_ended = True
        return _END

    def end(self) -> None:
        """Nothing more is said."""
        self._is_over = True
        self._has_room.set()
        self._has_some.set()

    async def outputs(self) -> Outputs:
        """All that is said, to its end."""
        while True:
            while self._said:
                yield self._said.popleft()
                self._has_room.set()
            if self._is_over:
                return
            self._has_some.clear()
            await self._has_some.wait()


async def _served(requests: Inputs, serve: Callable[[_Stream], Awaitable[None]]) -> Outputs:
    """Serve one call; whoever leaves calls off what is done for him."""
    stream = _Stream(requests)
    serving = asyncio.ensure_future(serve(stream))
    serving.add_done_callback(lambda _: stream.end())
    try:
        async for output in stream.outputs():
            yield output
        if serving.done():
            serving.result()
    finally:
        stream.end()
        serving.cancel()
        await asyncio.wait((serving,))
        if not serving.cancelled():
            serving.exception()


def _joined(found: Found, tty: bool, may_write: bool) -> control_pb2.StreamOutput:
    start = control_pb2.StreamStarted(tty=tty, open_stdin=may_write, pid=found.pid)
    return control_pb2.StreamOutput(started=start)


async def _show_log(
    caller: _Stream, found: Found, inode: int, size_bytes: int, at: float = math.inf
) -> None:
    """All that was printed up to there."""
    with contextlib.closing(read_until(found.log_path, inode, size_bytes, at=at)) as lines:
        for stream, data in chunks(lines):
            if stream == "stderr":
                await caller.say(control_pb2.StreamOutput(stderr=data))
            else:
                await caller.say(control_pb2.StreamOutput(stdout=data))
