"""Be thousands of nodes in one process: real agents whose containers are only told.

Each node is the agent's own `Agent` with its machines, its session and its wire, over a TLS
connection of its own. Only the executor is missing: what it would do is answered at once, as
if images were there and every process started and ended when asked. So all that a manager
can tell from real nodes is that these are fast.
"""

import asyncio
import os
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import suppress
from random import Random
from typing import assert_never

import grpc
import structlog

from agent.effects import (
    Abandon,
    Delete,
    Effect,
    Kill,
    Leave,
    Prepare,
    Report,
    Route,
    Signal,
    Start,
    Wait,
)
from agent.events import Abandoned, Event, Exited, Left, Prepared, Started
from agent.io.agent import Agent
from agent.io.link import Link
from agent.metrics import Metrics
from agent.session import Session
from agent.tasks import Tasks
from swarm.certificates import Identity
from swarm.ids import NodeId, ServiceId, TaskId
from swarm.objects import NodeDescription
from swarm.specs import Resources
from swarm.states import TaskState

ROOM = Resources(cpu_millis=64_000, memory_bytes=256 << 30)
KILLED = 137
CONNECTING_AT_ONCE = 64


class Ignored:
    """A log that nobody reads; a thousand agents would only measure it."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


class Hollows:
    """The nodes. `slots` names the task that started last in each, `lost` counts sessions."""

    def __init__(self, random: Random) -> None:
        self.nodes: dict[NodeId, Hollow] = {}
        self.metrics = Metrics()
        self.random = random
        self.running = 0
        self.lost = 0
        self.changed = asyncio.Event()
        self.slots: dict[tuple[ServiceId, int], TaskId] = {}
        self._spawned: set[asyncio.Task[None]] = set()
        self._pid = 1000

    def spawn(self, coroutine: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run a dial; a bug in one ends the benchmark."""
        task = asyncio.ensure_future(coroutine)
        self._spawned.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._spawned.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            structlog.get_logger().error("hollow.broken", error=repr(error))
            os._exit(1)

    async def connect(
        self,
        identities: Sequence[tuple[NodeId, Identity]],
        managers: tuple[str, ...],
        *,
        at_once: int = CONNECTING_AT_ONCE,
    ) -> None:
        """Have every node in session, some at a time as they would come up."""
        turn = asyncio.Semaphore(at_once)

        async def one(number: int, node_id: NodeId, identity: Identity) -> None:
            async with turn:
                node = Hollow(self, number, node_id, identity, managers)
                self.nodes[node_id] = node
                node.agent.start()
                await node.welcome.wait()

        async with asyncio.TaskGroup() as group:
            for number, (node_id, identity) in enumerate(identities):
                group.create_task(one(number, node_id, identity))

    async def until(self, condition: Callable[[], bool], *, within_s: float) -> float:
        """Wait for something to be true of the nodes; when it was, by the monotonic clock."""
        async with asyncio.timeout(within_s):
            while not condition():
                self.changed.clear()
                await self.changed.wait()
        return time.monotonic()

    def next_pid(self) -> int:
        """A process id; nobody looks at them."""
        self._pid += 1
        return self._pid

    def count(self, change: int) -> None:
        """Tasks started or ended."""
        self.running += change
        self.changed.set()

    def some_running(self, count: int) -> Iterator[tuple["Hollow", TaskId]]:
        """Running tasks, chosen by chance: one on each of so many nodes."""
        for node in self.random.sample(list(self.nodes.values()), count):
            running = [k for k, v in node.tasks.lives.items() if v.state is TaskState.RUNNING]
            if running:
                yield node, self.random.choice(running)

    async def close(self) -> None:
        """Hang up everywhere."""
        for node in self.nodes.values():
            await node.agent.close()
        for task in tuple(self._spawned):
            task.cancel()
            with suppress(asyncio.CancelledError, grpc.RpcError):
                await task


class Hollow:
    """One node."""

    def __init__(
        self,
        all_nodes: Hollows,
        number: int,
        node_id: NodeId,
        identity: Identity,
        managers: tuple[str, ...],
    ) -> None:
        self.node_id = node_id
        self.tasks = Tasks()
        self.welcome = asyncio.Event()
        self._all = all_nodes
        description = NodeDescription(
            hostname=f"hollow{number}", os="linux", arch="x86_64", resources=ROOM
        )
        self.agent = Agent(
            tasks=self.tasks,
            session=Session(managers, random=all_nodes.random),
            identity=lambda: identity,
            describe=lambda: description,
            perform=self._perform,
            answer=lambda link, asked: None,
            left=self._left,
            learned=lambda managers: None,
            changed=lambda task_id: None,
            settled=self.welcome.set,
            supplied=lambda: None,
            spawn=all_nodes.spawn,
            metrics=all_nodes.metrics,
            log=Ignored(),  # type: ignore[arg-type]  # it takes every call there is
        )

    def die(self, task_id: TaskId) -> None:
        """A container's process ends by itself, badly."""
        self._all.count(-1)
        self.agent.tell(task_id, Exited(exit_code=1, finished_at=time.time()))

    def _left(self, link: Link) -> None:
        self._all.lost += link.is_welcome

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Prepare(task_id):
                self._answer(task_id, Prepared())
            case Start(task_id):
                self._answer(task_id, self._started(task_id))
            case Abandon(task_id):
                self._answer(task_id, Abandoned())
            case Signal(task_id) | Kill(task_id):
                self._all.count(-1)
                self._answer(task_id, Exited(exit_code=KILLED, finished_at=time.time()))
            case Leave(task_id):
                self._answer(task_id, Left())
            case Route() | Wait() | Delete() | Report():
                pass
            case _:
                assert_never(effect)

    def _started(self, task_id: TaskId) -> Started:
        if (wanted := self.tasks.known(task_id)) is not None:
            self._all.slots[wanted.task.service_id, wanted.task.slot] = task_id
        self._all.count(1)
        return Started(pid=self._all.next_pid(), started_at=time.time())

    def _answer(self, task_id: TaskId, event: Event) -> None:
        """As an executor does: in a later turn of the loop, never under the machine's feet."""
        asyncio.get_running_loop().call_soon(self.agent.tell, task_id, event)
