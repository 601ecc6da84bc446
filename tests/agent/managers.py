"""A manager for tests: the agent's sessions over real mTLS, with a plain list of assignments."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping

import grpc.aio
from msgspec.structs import replace

from manager.io.wire import read_agent, write_agent
from swarm.api.v1 import control_pb2, dispatch_pb2, dispatch_pb2_grpc
from swarm.assignments import digest
from swarm.dispatch import (
    Assignment,
    Content,
    Diff,
    FromAgent,
    FromManager,
    Goodbye,
    Heartbeat,
    HeartbeatAck,
    Hello,
    LogSubscription,
    Preflight,
    PreflightResult,
    Snapshot,
    StatusAck,
    StatusBatch,
    Welcome,
)
from swarm.ids import NodeId, ServiceId, TaskId
from swarm.io.tls import SERVER_OPTIONS, server_credentials
from swarm.objects import Attachment, NodeDescription, Observation, SpecVersion, Task
from swarm.specs import NONE, ContainerSpec, Limits, TaskSpec
from swarm.states import TaskState
from swarm.topology import Record, Topology, key_of, topology_of
from tests.networks import attached
from tests.trust import Swarm

SERVICE = ServiceId("s1")
NODE = NodeId("node1")


class FakeManager(dispatch_pb2_grpc.DispatcherServicer):
    """Assigns what it is told to, remembers what it hears, and can go away and come back."""

    def __init__(self, *, heartbeat_s: float = 1.0, host: str = "127.0.0.1") -> None:
        self.swarm = Swarm(time.time())
        self.heartbeat_s = heartbeat_s
        self.host = host
        self.port = 0
        self.is_mute = False
        self.assignments: dict[TaskId, Assignment] = {}
        self.specs: dict[int, SpecVersion] = {}
        self.records: dict[str, Record] = {}
        self.contents: dict[str, Content] = {}
        self.seen: dict[TaskId, Observation] = {}
        self.heard: list[FromAgent] = []
        self.batches: list[StatusBatch] = []
        self.hellos: list[Hello] = []
        self.lines: dict[str, list[control_pb2.LogLine]] = {}
        self.subscribed: set[str] = set()
        self.ended: set[str] = set()
        self._sequence = 0
        self._revision = 0
        self._outbox: asyncio.Queue[FromManager | None] | None = None
        self._server: grpc.aio.Server | None = None
        self._heard = asyncio.Event()

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    async def start(self) -> None:
        self._server = grpc.aio.server(options=SERVER_OPTIONS)
        dispatch_pb2_grpc.add_DispatcherServicer_to_server(self, self._server)
        credentials = server_credentials(self.swarm.serving)
        self.port = self._server.add_secure_port(self.address, credentials)
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(0)
            self._server, self._outbox = None, None

    def say(self, value: FromManager) -> None:
        assert self._outbox is not None, "no agent is connected"
        self._outbox.put_nowait(value)

    def version(self, **container: object) -> int:
        """Make a version of the service's spec; gives its number.

        Unless it names `networks` it has none: most tests share the machine's own.
        """
        limits = container.pop("limits", Limits())
        networks = container.pop("networks", attached(NONE))
        ports = container.pop("ports", ())
        number = len(self.specs) + 1
        self.specs[number] = SpecVersion(
            service_id=SERVICE,
            version=number,
            task=TaskSpec(
                container=ContainerSpec(**container),  # type: ignore[arg-type]
                limits=limits,  # type: ignore[arg-type]
                networks=networks,  # type: ignore[arg-type]
            ),
            ports=ports,  # type: ignore[arg-type]
        )
        return number

    def describe(self, *records: Record) -> None:
        """Say what has changed of the networks, now and at the beginning of every session."""
        self.records.update({key_of(each): each for each in records})
        self._change((), (), topology_of(records, data_path_port=4789))

    def assign(
        self,
        *names: str,
        version: int = 1,
        attachments: Mapping[str, tuple[Attachment, ...]] = {},
    ) -> None:
        """Give the agent new tasks."""
        tasks = [
            Task(
                id=TaskId(name),
                service_id=SERVICE,
                service_name="web",
                slot=slot,
                node_id=NODE,
                spec_version=version,
                desired=TaskState.RUNNING,
                attachments=attachments.get(name, ()),
            )
            for slot, name in enumerate(names, 1)
        ]
        self._change([Assignment(task=each, revision=self._next()) for each in tasks], ())

    def give(self, *contents: Content) -> None:
        """Send secrets and configs, now and at the beginning of every session."""
        self.contents.update({each.id: each for each in contents})
        if self._outbox is not None:
            self._say_contents(self._outbox, contents)

    def connect(self, name: str, *attachments: Attachment) -> None:
        """Have a task be in these networks from now on."""
        before = self.assignments[TaskId(name)]
        task = replace(before.task, attachments=attachments)
        self._change([replace(before, task=task, revision=self._next())], ())

    def shut_down(self, *names: str) -> None:
        """Ask the agent to stop tasks and to say how they ended."""
        changed = [self.assignments[TaskId(name)] for name in names]
        self._change(
            [
                replace(
                    each,
                    task=replace(each.task, desired=TaskState.SHUTDOWN),
                    revision=self._next(),
                )
                for each in changed
            ],
            (),
        )

    def withdraw(self, *names: str) -> None:
        """Forget tasks."""
        self._change((), tuple(TaskId(name) for name in names))

    def states(self) -> dict[str, TaskState]:
        return {task_id: each.state for task_id, each in self.seen.items()}

    def are(self, state: TaskState, *names: str) -> bool:
        return all(self.states().get(TaskId(name)) is state for name in names)

    async def until(self, done: Callable[[], object], *, within_s: float = 30.0) -> None:
        """Wait until what was heard makes `done` true."""
        try:
            async with asyncio.timeout(within_s):
                while not done():
                    self._heard.clear()
                    await self._heard.wait()
        except TimeoutError:
            raise AssertionError(f"not within {within_s} s; heard {self.states()}") from None

    async def ask(self, spec: TaskSpec, **more: object) -> tuple[str, ...]:
        self.say(Preflight(preflight_id="p1", task=spec, **more))  # type: ignore[arg-type]
        await self.until(lambda: any(isinstance(each, PreflightResult) for each in self.heard))
        return next(each.problems for each in self.heard if isinstance(each, PreflightResult))

    async def read(self, subscription: LogSubscription, *, within_s: float = 30.0) -> list[str]:
        """Subscribe, and give the lines once the agent ended the stream."""
        self.say(subscription)
        name = subscription.subscription_id
        await self.until(lambda: name in self.ended, within_s=within_s)
        return self.text(name)

    def text(self, subscription_id: str) -> list[str]:
        return [each.data.decode().rstrip("\n") for each in self.lines.get(subscription_id, [])]

    async def Session(  # noqa: N802
        self, request_iterator: AsyncIterator[dispatch_pb2.AgentMessage], context: object
    ) -> AsyncIterator[dispatch_pb2.ManagerMessage]:
        outbox: asyncio.Queue[FromManager | None] = asyncio.Queue()
        listening = asyncio.create_task(self._listen(request_iterator, outbox))
        try:
            while (value := await outbox.get()) is not None:
                yield write_agent(value)
        finally:
            listening.cancel()

    async def PublishLogs(  # noqa: N802
        self, request_iterator: AsyncIterator[dispatch_pb2.PublishedLogs], context: object
    ) -> dispatch_pb2.PublishLogsResponse:
        name = ""
        async for request in request_iterator:
            name = request.subscription_id
            self.subscribed.add(name)
            self.lines.setdefault(name, []).extend(request.lines)
            self._heard.set()
        self.ended.add(name)
        self._heard.set()
        return dispatch_pb2.PublishLogsResponse()

    async def _listen(
        self,
        requests: AsyncIterator[dispatch_pb2.AgentMessage],
        outbox: asyncio.Queue[FromManager | None],
    ) -> None:
        async for request in requests:
            value = read_agent(request)
            self.heard.append(value)
            if not self.is_mute:
                self._answer(value, outbox)
            self._heard.set()

    def _answer(self, value: FromAgent, outbox: asyncio.Queue[FromManager | None]) -> None:
        match value:
            case Hello():
                self.hellos.append(value)
                self._welcome(value, outbox)
            case StatusBatch():
                self.batches.append(value)
                for each in value.statuses:
                    known = self.seen.get(each.task_id)
                    if known is None or each.state >= known.state:
                        self.seen[each.task_id] = each
                outbox.put_nowait(StatusAck(sequence=value.sequence))
            case Goodbye():
                outbox.put_nowait(None)
            case Heartbeat():
                outbox.put_nowait(HeartbeatAck())
            case NodeDescription() | PreflightResult():
                pass

    def _welcome(self, hello: Hello, outbox: asyncio.Queue[FromManager | None]) -> None:
        held = digest({each.task.id: each.revision for each in self.assignments.values()})
        welcome = Welcome(
            session_id=f"session{len(self.hellos)}",
            heartbeat_s=self.heartbeat_s,
            managers=(self.address,),
            in_sync=held == hello.digest,
        )
        outbox.put_nowait(welcome)
        self._sequence, self._outbox = 0, outbox
        if not welcome.in_sync:
            outbox.put_nowait(
                Snapshot(
                    assignments=tuple(self._with_observed(x) for x in self.assignments.values()),
                    specs=self._versions(),
                    topology=self._all(),
                )
            )
        elif self.records:
            self._change((), (), self._all())
        if self.contents:
            self._say_contents(outbox, self.contents.values())

    def _say_contents(
        self, outbox: asyncio.Queue[FromManager | None], contents: Iterable[Content]
    ) -> None:
        self._sequence += 1
        outbox.put_nowait(Diff(sequence=self._sequence, contents=tuple(contents)))

    def _with_observed(self, assignment: Assignment) -> Assignment:
        seen = self.seen.get(assignment.task.id)
        return replace(assignment, observed=seen.state) if seen else assignment

    def _versions(self) -> tuple[SpecVersion, ...]:
        return tuple(self.specs.values())

    def _all(self) -> Topology:
        return topology_of(self.records.values(), data_path_port=4789, is_complete=True)

    def _change(
        self,
        changed: object,
        removed: tuple[TaskId, ...],
        topology: Topology = Topology(),  # noqa: B008
    ) -> None:
        assignments: list[Assignment] = list(changed)  # type: ignore[call-overload]
        self.assignments.update({each.task.id: each for each in assignments})
        for task_id in removed:
            self.assignments.pop(task_id, None)
        if self._outbox is not None:
            self._sequence += 1
            self.say(
                Diff(
                    sequence=self._sequence,
                    changed=tuple(assignments),
                    removed=removed,
                    specs=self._versions(),
                    topology=topology,
                )
            )

    def _next(self) -> int:
        self._revision += 1
        return self._revision
