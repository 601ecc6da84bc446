"""Run a manager of a swarm of its own, and agents that do as they are scripted.

The manager is the real one, with mutual TLS and its real interceptors; the store is the fake
or a real etcd. The agents are the agent's own assignments and link, without containers.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import SystemRandom
from typing import Any

import grpc
import structlog
from msgspec import Struct

from agent.assignments import Assignments, Gap, Wanted
from agent.io.conversations import Conversations, Respond
from agent.io.link import Link
from manager import layout
from manager.bootstrap import first_commit
from manager.ca.issuing import issue
from manager.ca.vault import Founded, found
from manager.config import Config
from manager.io.process import Keys, Manager
from manager.progress import Progress, measure
from manager.store import Commit, Put, Store
from swarm.api.v1 import (
    control_pb2,
    control_pb2_grpc,
    dispatch_pb2,
    trust_pb2,
    trust_pb2_grpc,
)
from swarm.certificates import (
    Identity,
    bind,
    key_pem,
    load_certificate,
    make_key,
    read_subject,
    request,
)
from swarm.codec import pack, to_message
from swarm.dispatch import (
    CallBack,
    CallOff,
    Diff,
    FromAgent,
    FromManager,
    Heartbeat,
    Hello,
    LogSubscription,
    Preflight,
    PreflightResult,
    Snapshot,
    StatusAck,
    StatusBatch,
    Welcome,
)
from swarm.errors import SwarmError
from swarm.ids import ClusterId, NodeId, ServiceId, TaskId
from swarm.io import tls
from swarm.io.identity import IdentityFiles
from swarm.io.rpc import failure
from swarm.objects import LocalImage, Node, NodeDescription, Observation
from swarm.sealing import make_data_key
from swarm.specs import (
    ClusterSpec,
    ContainerSpec,
    NodeSpec,
    Replicated,
    Resources,
    Role,
    ServiceSpec,
    TaskSpec,
)
from swarm.states import TaskState
from swarm.tokens import JoinToken, anchor_of, join_certificate, parse_token
from tests.etcd import free_port
from tests.sim.fake_store import FakeStore

LOG = structlog.stdlib.get_logger()
RANDOM = SystemRandom()
IMAGE = LocalImage(reference="app:1", digest="sha256:" + "ab" * 32)
MEBI = 1 << 20
ROOM = Resources(cpu_millis=4000, memory_bytes=4096 * MEBI)


class Members(Struct, frozen=True):
    """What belongs to a swarm, whichever process of its manager runs."""

    founded: Founded
    keys: Keys
    identity: Identity
    node_id: NodeId


def found_swarm(root: Path, *, heartbeat_s: float = 1.0) -> Members:
    """Make a swarm with one manager, whose certificate lies below `root`."""
    data_key, node_id = make_data_key(RANDOM), NodeId("manager-1")
    spec = ClusterSpec(heartbeat_s=heartbeat_s)
    founded = found(ClusterId("cluster"), spec, data_key=data_key, now=time.time(), random=RANDOM)
    identity = certify(founded, node_id, Role.MANAGER)
    files = IdentityFiles(root / "certificates")
    files.install(identity)
    return Members(founded, Keys(files=files, data_key=data_key), identity, node_id)


def certify(founded: Founded, node_id: str, role: Role) -> Identity:
    """A certificate as the swarm's own authority would give it."""
    key = make_key(RANDOM)
    certificate = issue(
        founded.authority,
        key.public_key(),
        node_id=NodeId(node_id),
        role=role,
        expiry_s=86_400.0,
        now=time.time(),
        random=RANDOM,
        addresses=("127.0.0.1",) if role is Role.MANAGER else (),
    )
    return Identity(key=key_pem(key), certificate=certificate, root=founded.authority.pem)


class Remote:
    """A manager somewhere, and what can be asked of it."""

    def __init__(self, members: Members, address: str) -> None:
        self.members = members
        self.address = address
        self.agents: list[Agent] = []

    def dial(self, identity: Identity | None = None):
        """A channel to the manager, as another manager unless told otherwise."""
        return tls.channel(self.address, identity or self.members.identity, dial_s=20.0)

    async def call(self, method: str, request: Any, *, identity: Identity | None = None) -> Any:
        """One call of the cluster's API."""
        async with self.dial(identity) as channel:
            try:
                stub = control_pb2_grpc.ControlStub(channel)
                return await getattr(stub, method)(request, timeout=20)
            except grpc.RpcError as err:
                raise failure(err) from err

    async def ask(self, method: str, request: Any) -> list[Any]:
        """One call of the cluster's API, of any kind; all that it answers."""
        async with self.dial() as channel:
            call = getattr(control_pb2_grpc.ControlStub(channel), method)(request, timeout=20)
            try:
                if hasattr(call, "__aiter__"):
                    return [each async for each in call]
                return [await call]
            except grpc.RpcError as err:
                raise failure(err) from err

    async def remove(self, service_id: str) -> list[control_pb2.ServiceProgress]:
        """Remove a service; how that went, watched from before it to its end."""
        async with self.dial() as channel:
            stub = control_pb2_grpc.ControlStub(channel)
            watch = stub.WatchService(control_pb2.WatchServiceRequest(service_id=service_id))
            told = [await watch.read()]
            request = control_pb2.RemoveServiceRequest(service_id=service_id)
            await self.call("RemoveService", request)
            while (progress := await watch.read()) is not grpc.aio.EOF:
                told.append(progress)
            return told

    async def create(self, spec: ServiceSpec, **fields: Any) -> control_pb2.CreateServiceResponse:
        """Create a service."""
        message = control_pb2.CreateServiceRequest(spec=to_message(spec), **fields)
        return await self.call("CreateService", message)

    async def scale(self, service_id: str, replicas: int) -> None:
        """Change the number of a service's replicas."""
        (found,) = (await self.services(service_id)).services
        found.service.spec.replicated.replicas = replicas
        await self.call(
            "UpdateService",
            control_pb2.UpdateServiceRequest(
                service_id=service_id, version=found.version, spec=found.service.spec
            ),
        )

    async def remove_node(self, node_id: str, *, force: bool = False) -> None:
        """Remove a node."""
        message = control_pb2.RemoveNodeRequest(node_id=node_id, force=force)
        await self.call("RemoveNode", message)

    async def services(self, *names: str) -> control_pb2.ListServicesResponse:
        """Some or all services."""
        return await self.call("ListServices", control_pb2.ListServicesRequest(services=names))

    async def nodes(self) -> Mapping[str, control_pb2.NodeView]:
        """All nodes, by id."""
        listed = await self.call("ListNodes", control_pb2.ListNodesRequest())
        return {each.node.id: each for each in listed.nodes}

    async def token(self, role: Role = Role.WORKER, *, rotate: bool = False) -> JoinToken:
        """A join token, as it is now."""
        message = control_pb2.GetJoinTokenRequest(role=int(role), rotate=rotate)
        return parse_token((await self.call("GetJoinToken", message)).token)

    async def joiner(self, token: JoinToken, key: Any = None) -> Identity:
        """What a host with a token shows before it is a node."""
        key = key or make_key(RANDOM)
        leaf = join_certificate(anchor_of(token), key.public_key(), now=time.time())
        root = self.members.founded.authority.pem
        return Identity(key=key_pem(key), certificate=leaf, root=root)

    async def enroll(
        self, token: JoinToken, *, hostname: str = "host", key: Any = None
    ) -> tuple[Identity, Any]:
        """Join with a token; the new node's identity and the manager's answer."""
        key = key or make_key(RANDOM)
        async with self.dial(await self.joiner(token, key)) as channel:
            try:
                answer = await trust_pb2_grpc.TrustStub(channel).Enroll(
                    trust_pb2.EnrollRequest(csr=request(key), hostname=hostname), timeout=20
                )
            except grpc.RpcError as err:
                raise failure(err) from err
        return bind(key, answer.certificate, answer.root_certificate), answer

    async def join(self, hostname: str = "host", **fields: Any) -> "Agent":
        """A new worker with an agent, connected."""
        identity, answer = await self.enroll(await self.token(), hostname=hostname)
        agent = Agent(NodeId(answer.node_id), identity, hostname, **fields)
        self.agents.append(agent)
        await agent.connect(self.address)
        return agent


class Swarm(Remote):
    """A manager in this process, and a look inside."""

    def __init__(self, members: Members, manager: Manager, store: Store) -> None:
        super().__init__(members, "")
        self.manager = manager
        self.store = store
        self.running = asyncio.ensure_future(manager.run())

    @property
    def fake(self) -> FakeStore:
        assert isinstance(self.store, FakeStore)
        return self.store

    @property
    def view(self):
        return self.manager.mirror.view

    def progress(self, service_id: str) -> Progress:
        """How far a service has come."""
        return measure(self.view, ServiceId(service_id))

    async def run(self, spec: ServiceSpec) -> str:
        """Create a service and wait until it runs as wanted; its id."""
        service_id = (await self.create(spec)).service.service.id
        await until(lambda: self.progress(service_id).is_converged)
        return service_id

    async def kill(self) -> None:
        """End the manager as `kill -9` does: nothing is said to anyone."""
        self.running.cancel()
        with suppress(asyncio.CancelledError):
            await self.running


async def until(condition: Callable[[], Any], *, within_s: float = 30.0) -> Any:
    """Wait for something to be true, which is nobody's event."""
    deadline = asyncio.get_running_loop().time() + within_s
    while not (found := condition()):
        assert asyncio.get_running_loop().time() < deadline, "it did not come true in time"
        await asyncio.sleep(0.002)
    return found


@asynccontextmanager
async def swarming(
    store: Store, members: Members, *, is_new: bool = True, other: Identity | None = None
) -> AsyncIterator[Swarm]:
    """A manager that serves; everything is stopped afterwards.

    `other` is the certificate of a further manager beside the first.
    """
    node_id, keys = members.node_id, members.keys
    if other is not None:
        node_id = read_subject(load_certificate(other.certificate)).node_id
        files = IdentityFiles(members.keys.files.bundle.parent.with_name(node_id))
        files.install(other)
        keys = Keys(files=files, data_key=members.keys.data_key)
        node = Node(id=node_id, spec=NodeSpec(role=Role.MANAGER))
        await store.commit(Commit((), (Put(layout.node_key(node_id), pack(node)),)))
    elif is_new:
        node = Node(
            id=members.node_id,
            spec=NodeSpec(role=Role.MANAGER),
            description=NodeDescription(hostname="leader"),
        )
        await store.commit(first_commit(members.founded.cluster, node))
    config = Config(
        node_id=node_id,
        cluster_id=members.founded.cluster.id,
        certificates_dir="",
        data_key_path="",
        etcd_endpoints=(),
        listen_addr=f"127.0.0.1:{free_port()}",
        advertise_addr="127.0.0.1:2377",
        data_root="",
        run_root="",
    )
    swarm = Swarm(members, Manager(config, store, keys, LOG), store)
    serving = asyncio.ensure_future(swarm.manager.is_serving.wait())
    try:
        await asyncio.wait({swarm.running, serving}, return_when=asyncio.FIRST_COMPLETED)
        assert not swarm.running.done(), await swarm.running
        swarm.address = f"127.0.0.1:{swarm.manager.port}"
        yield swarm
    finally:
        serving.cancel()
        for agent in swarm.agents:
            await agent.disconnect()
        swarm.manager.stop()
        if not swarm.running.done():
            async with asyncio.timeout(30):
                await swarm.running


Answer = Callable[["Agent", Wanted], TaskState | None]


def obedient(agent: "Agent", wanted: Wanted) -> TaskState | None:
    """Run what is wanted and stop what is not."""
    seen = agent.states.get(wanted.task.id, TaskState.NEW)
    if seen.is_terminal:
        return None
    if wanted.task.desired > TaskState.RUNNING:
        return TaskState.SHUTDOWN
    return TaskState.RUNNING if seen < TaskState.RUNNING else None


def idle(agent: "Agent", wanted: Wanted) -> TaskState | None:
    """Report nothing."""
    return None


class Agent:
    """A node's agent without containers: `answer` says what becomes of each task."""

    def __init__(
        self,
        node_id: NodeId,
        identity: Identity,
        hostname: str,
        *,
        answer: Answer = obedient,
        images: tuple[LocalImage, ...] = (IMAGE,),
        resources: Resources = ROOM,
    ) -> None:
        self.node_id = node_id
        self.identity = identity
        self.assignments = Assignments()
        self.states: dict[TaskId, TaskState] = {}
        self.heard: list[FromManager] = []
        self.acknowledged = 0
        self.problems: tuple[str, ...] = ()
        self.lines: dict[TaskId, list[bytes]] = {}
        self.respond: dict[str, Respond] = {}
        self.error: SwarmError | None = None
        self.welcome: Welcome | None = None
        self._answer = answer
        self._beating: asyncio.Task[None] | None = None
        self._sequence = 0
        self._link: Link | None = None
        self._running: asyncio.Task[None] | None = None
        self._publishing: set[asyncio.Task[Any]] = set()
        self._conversations = Conversations(self.respond, spawn=self._spawn, log=LOG)
        self.description = NodeDescription(
            hostname=hostname, os="linux", arch="x86_64", resources=resources, images=images,
            public_key=node_id.encode(),
        )  # fmt: skip

    @property
    def tasks(self) -> dict[TaskId, Wanted]:
        """What the manager assigned."""
        return self.assignments.wanted

    @property
    def is_connected(self) -> bool:
        return self._running is not None and not self._running.done()

    async def connect(self, address: str) -> Welcome:
        """Open a session and wait for its welcome."""
        self.start(address)
        return await until(lambda: self.welcome or self._reraise())

    def start(self, address: str) -> None:
        """Open a session."""
        self.welcome = self.error = None
        self.assignments.restart()
        self._link = Link(address, 1)
        self._running = asyncio.ensure_future(self._run(self._link))

    async def disconnect(self) -> None:
        """End the session without a word."""
        for task in {self._running, *self._publishing} - {None}:
            assert task is not None
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task

    def fall_silent(self) -> None:
        """Let the heart of this session stop; its stream stands."""
        assert self._beating is not None
        self._beating.cancel()

    def say(self, message: FromAgent) -> None:
        """Say anything."""
        assert self._link is not None
        self._link.say(message)

    def report(self, task_id: TaskId, state: TaskState, **fields: Any) -> int:
        """Report a state of a task; the number of the batch."""
        self.states[task_id] = state
        seen = Observation(task_id=task_id, state=state, at=time.time(), **fields)
        self._sequence += 1
        self.say(StatusBatch(sequence=self._sequence, statuses=(seen,)))
        return self._sequence

    async def _run(self, link: Link) -> None:
        try:
            await link.run(self.identity, self._hello, self._hear)
        except SwarmError as err:
            self.error = err

    def _hello(self) -> Hello:
        return Hello(description=self.description, digest=self.assignments.digest())

    def _reraise(self) -> None:
        if self.error is not None:
            raise self.error

    def _hear(self, message: FromManager) -> None:
        self.heard.append(message)
        match message:
            case Welcome():
                self.welcome = message
                self._beating = self._spawn(self._beat(message.heartbeat_s))
            case Snapshot() | Diff():
                change = self.assignments.take(message)
                assert not isinstance(change, Gap), change
                self._follow()
            case StatusAck(sequence=sequence):
                self.acknowledged = max(self.acknowledged, sequence)
            case Preflight(preflight_id=preflight_id):
                self.say(PreflightResult(preflight_id=preflight_id, problems=self.problems))
            case LogSubscription():
                self._spawn(self._publish(message))
            case CallBack():
                assert self._link is not None
                self._conversations.call_back(self._link, message)
            case CallOff():
                assert self._link is not None
                self._conversations.call_off(self._link, message)
            case _:
                pass

    def _follow(self) -> None:
        for wanted in list(self.tasks.values()):
            state = self._answer(self, wanted)
            if state is not None:
                self.report(wanted.task.id, state)

    def _spawn(self, job: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(job)
        self._publishing.add(task)
        task.add_done_callback(self._publishing.discard)
        return task

    async def _beat(self, period_s: float) -> None:
        link = self._link
        while self._link is link and self.is_connected:
            self.say(Heartbeat())
            await asyncio.sleep(period_s)

    async def _publish(self, wanted: LogSubscription) -> None:
        assert self._link is not None
        await self._link.dispatcher.PublishLogs(self._written(wanted))

    async def _written(self, wanted: LogSubscription) -> AsyncIterator[dispatch_pb2.PublishedLogs]:
        yield dispatch_pb2.PublishedLogs(subscription_id=wanted.subscription_id)
        for task_id in wanted.task_ids:
            lines = [
                control_pb2.LogLine(task_id=task_id, at=time.time(), data=each)
                for each in self.lines.get(task_id, [])
            ]
            yield dispatch_pb2.PublishedLogs(subscription_id=wanted.subscription_id, lines=lines)
        while wanted.follow and any(not self.states[each].is_terminal for each in wanted.task_ids):
            await asyncio.sleep(0.005)


def service(name: str = "web", *, replicas: int = 1, **container: Any) -> ServiceSpec:
    """A service of the image that agents have."""
    made_of = ContainerSpec(image=IMAGE.reference, **container)
    return ServiceSpec(
        name=name, mode=Replicated(replicas=replicas), task=TaskSpec(container=made_of)
    )
