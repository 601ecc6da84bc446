"""Do to containers what was decided, and tell what came of it.

Each task has one chain of work at a time, so its deletion never overtakes its start. Starts
are bounded: more at once than the machine has cores only makes each of them slower. Whatever
goes wrong ends in an event, a bug included: a task must not hang in a passing state.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import Protocol, assert_never

import structlog
from msgspec import Struct

from agent import contents as given
from agent.assignments import Wanted
from agent.attachments import Connection, connection
from agent.claims import granted
from agent.containers import Container, Node, container, own_directory, stop_signal
from agent.effects import (
    Abandon,
    Connect,
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
from agent.events import (
    Abandoned,
    Delayed,
    Event,
    GraceExpired,
    Left,
    Prepared,
    PrepareFailed,
    Started,
    StartFailed,
)
from agent.images.image import RootFs
from agent.io import devices
from agent.io.contents import Contents
from agent.io.hearing import choose_signal
from agent.io.volumes import Volumes
from agent.logins import login_for, refused
from agent.metrics import Metrics
from agent.rights import absent_devices
from agent.templates import names
from agent.topology import Changes
from runtime import outcome
from runtime.io import host
from runtime.spec import ContainerSpec
from swarm.errors import Missing, Refused, SwarmError
from swarm.ids import TaskId
from swarm.images.config import ImageConfig
from swarm.images.credentials import Credentials, Unrecognized
from swarm.objects import Attachment
from swarm.specs import Port

STARTS_AT_ONCE = 8
DELETES_AT_ONCE = 8
DELETE_AGAIN_S = (0.2, 1.0, 5.0, 30.0)


class Images(Protocol):
    """Where images come from."""

    async def ready(self, reference: str, login: Credentials | None = None) -> RootFs:
        """The image, pulled when it is not here."""
        ...

    async def local(self, reference: str) -> RootFs:
        """The image if it is here; raises `Missing`."""
        ...


class Runtime(Protocol):
    """What runs containers."""

    async def run(
        self, spec: ContainerSpec, attach: Callable[[int], Awaitable[None]] | None = None
    ) -> outcome.Started:
        """Run a container, or find it running; one that awaits its network is attached first."""
        ...

    async def kill(self, container_id: str, signal: int) -> None:
        """Send a signal to process 1; raises `Missing`."""
        ...

    async def delete(self, container_id: str) -> None:
        """Remove what is left of a container, and end what still runs."""
        ...


class Connections(Protocol):
    """What connects containers to networks."""

    def follow(self, changes: Changes) -> None:
        """The topology has changed."""
        ...

    def lend(self, wanted: Wanted) -> tuple[Attachment, ...]:
        """The interfaces that a container is to have; raises when there is no address for it."""
        ...

    async def attach(self, task_id: TaskId, netns: int, wanted: Connection) -> tuple[Port, ...]:
        """Connect a container that is about to run; gives its ports of the node."""
        ...

    async def amend(self, wanted: Wanted, pid: int) -> None:
        """Have a container that runs be in the networks that its task is in now."""
        ...

    def leaving_s(self, task_id: TaskId) -> float:
        """How long a container should go on answering although it is to end."""
        ...


class Ready(Struct, frozen=True, kw_only=True):
    """All that a start takes."""

    container: Container
    connection: Connection
    files: given.Files = given.Files()


Spawn = Callable[[Coroutine[None, None, None]], asyncio.Task[None]]
Tell = Callable[[TaskId, Event], None]


class Executor:
    """Performs effects. `find` gives what was last wanted of a task, if that is known."""

    def __init__(
        self,
        *,
        runtime: Runtime,
        images: Images,
        node: Callable[[], Node],
        containers: Path,
        contents: Contents,
        volumes: Volumes,
        connections: Connections,
        find: Callable[[TaskId], Wanted | None],
        pid_of: Callable[[TaskId], int],
        tell: Tell,
        spawn: Spawn,
        metrics: Metrics,
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._runtime = runtime
        self._images = images
        self._node = node
        self._containers = str(containers)
        self._contents = contents
        self._volumes = volumes
        self._connections = connections
        self._find = find
        self._pid_of = pid_of
        self._tell = tell
        self._spawn = spawn
        self._metrics = metrics
        self._log = log
        self._starts = asyncio.Semaphore(STARTS_AT_ONCE)
        self._deletes = asyncio.Semaphore(DELETES_AT_ONCE)
        self._ready: dict[TaskId, Ready] = {}
        self._image_ids: dict[TaskId, str] = {}
        self._work: dict[TaskId, asyncio.Task[None]] = {}
        self._waiting: set[TaskId] = set()
        self._deleting: set[TaskId] = set()
        self._orders: set[asyncio.Task[None]] = set()

    def image_id(self, task_id: TaskId) -> str:
        """The image that a task was prepared from; empty when an earlier agent did that."""
        return self._image_ids.get(task_id, "")

    def perform(self, effect: Effect) -> None:
        """Begin to do `effect`; what comes of it is told."""
        match effect:
            case Route(changes):
                self._connections.follow(changes)
            case Prepare(task_id):
                self._chain(task_id, self._prepare(task_id))
            case Start(task_id):
                self._chain(task_id, self._start(task_id))
            case Connect(task_id):
                self._order(self._connect(task_id))
            case Abandon(task_id):
                if task_id in self._waiting:
                    self._work[task_id].cancel()
            case Leave(task_id):
                delay_s = self._connections.leaving_s(task_id)
                asyncio.get_running_loop().call_later(delay_s, self._tell, task_id, Left())
            case Signal(task_id):
                self._order(self._signal(task_id))
            case Kill(task_id):
                self._order(self._kill(task_id, int(SIGKILL)))
            case Wait(task_id, delay_s):
                loop = asyncio.get_running_loop()
                loop.call_later(delay_s, self._tell, task_id, GraceExpired())
            case Delete(task_id):
                self._order(self._delete(task_id))
            case Report():
                pass
            case _:
                assert_never(effect)

    async def rest(self) -> None:
        """Give up what did nothing yet and let the rest end; no order may follow."""
        for task_id in self._waiting:
            self._work[task_id].cancel()
        if work := {*self._work.values(), *self._orders}:
            await asyncio.wait(work)

    def sweep(self, kept: Collection[TaskId]) -> None:
        """Delete what tasks left on disk that nobody remembers."""
        for path in Path(self._containers).iterdir():
            task_id = TaskId(path.name)
            if task_id not in kept and task_id not in self._deleting:
                self._order(self._delete(task_id))

    def _chain(self, task_id: TaskId, work: Coroutine[None, None, Event]) -> None:
        before = self._work.get(task_id)

        async def run() -> None:
            if before is not None:
                await asyncio.wait((before,))
            event = await work
            if self._work.get(task_id) is asyncio.current_task():
                del self._work[task_id]
            self._tell(task_id, event)

        self._work[task_id] = self._spawn(run())

    def _order(self, order: Coroutine[None, None, None]) -> None:
        task = self._spawn(order)
        self._orders.add(task)
        task.add_done_callback(self._orders.discard)

    async def _prepare(self, task_id: TaskId) -> Event:
        wanted = self._find(task_id)
        if wanted is None:
            return Abandoned()
        self._waiting.add(task_id)
        try:
            image = await self._image(wanted)
            layers = tuple(str(each) for each in image.layer_dirs)
            node = self._node()
            attachments = self._connections.lend(wanted)
            made = container(wanted, image.config, layers, node, attachments)
            asked = granted(wanted.spec.container, wanted.spec.reservations, wanted.task)
            for problem in absent_devices(asked.devices, devices.why_not_a_device):
                raise Refused(problem, hint="add the device to this node, or a constraint")
            await self._volumes.provide(made.mounts)
            files = await self._given(wanted, made, node)
        except asyncio.CancelledError:
            if task_id not in self._waiting:
                raise  # the agent stops, not the task
            return Abandoned()
        except SwarmError as err:
            self._metrics.rejections.inc()
            self._log.warning("task.rejected", task_id=task_id, reason=err.message)
            return PrepareFailed(reason=err.message)
        except Exception as err:
            self._log.exception("task.prepare_crashed", task_id=task_id)
            return PrepareFailed(reason=f"internal error: {err!r}")
        finally:
            self._waiting.discard(task_id)
        self._ready[task_id] = Ready(
            container=made,
            connection=connection(wanted, attachments, made.spec.hostname),
            files=files,
        )
        self._image_ids[task_id] = image.id
        return Prepared()

    async def _image(self, wanted: Wanted) -> RootFs:
        """The image; one that is not here is pulled with the login that its service was given."""
        login = await self._login(wanted) if wanted.spec.registry_login else None
        try:
            return await self._images.ready(wanted.spec.container.image, login)
        except Unrecognized as err:
            raise refused(err, wanted.task, login) from err

    async def _login(self, wanted: Wanted) -> Credentials | None:
        """Who an image is fetched as, once that has come; nobody waits when the image is here."""
        reference = wanted.spec.container.image
        with contextlib.suppress(Missing):
            await self._images.local(reference)
            return None
        if self._contents.login(wanted) is None:
            self._tell(wanted.task.id, Delayed(reason="waiting for the login of its registry"))
        return login_for(reference, await self._contents.login_ready(wanted))

    async def _given(self, wanted: Wanted, made: Container, node: Node) -> given.Files:
        """The files of secrets and configs, once all of them have come."""
        task_id = wanted.task.id
        if absent := self._contents.missing(wanted):
            self._log.info("task.waits_for_contents", task_id=task_id, contents=absent)
            what = ", ".join(given.described(wanted, absent))
            self._tell(task_id, Delayed(reason=f"waiting for {what}"))
        held = await self._contents.ready(wanted)
        filling = given.Filling(
            names=names(wanted.task, wanted.labels, node.host), env=made.spec.env
        )
        return given.files(wanted.spec.container, held, filling, made.spec.user_namespace)

    async def _start(self, task_id: TaskId) -> Event:
        ready = self._ready.pop(task_id)
        self._waiting.add(task_id)
        try:
            async with self._starts:
                self._waiting.discard(task_id)
                return await self._run(task_id, ready)
        except asyncio.CancelledError:
            if task_id not in self._waiting:
                raise
            return Abandoned()
        finally:
            self._waiting.discard(task_id)

    async def _run(self, task_id: TaskId, ready: Ready) -> Event:
        began, made, ports = time.perf_counter(), ready.container, tuple[Port, ...]()

        async def attach(netns: int) -> None:
            nonlocal ports
            ports = await self._connections.attach(task_id, netns, ready.connection)

        try:
            self._contents.write(task_id, ready.files)
            started = await self._runtime.run(made.spec, attach)
        except SwarmError as err:
            self._metrics.start_failures.inc()
            self._log.warning("container.not_started", task_id=task_id, reason=err.message)
            return StartFailed(reason=err.message)
        except Exception as err:
            self._log.exception("container.start_crashed", task_id=task_id)
            return StartFailed(reason=f"internal error: {err!r}")
        self._metrics.starts.inc()
        self._metrics.start_seconds.observe(time.perf_counter() - began)
        self._log.info("container.started", task_id=task_id, pid=started.pid)
        return Started(
            pid=started.pid,
            started_at=started.started_at,
            is_checked=made.spec.health is not None,
            ports=ports,
        )

    async def _connect(self, task_id: TaskId) -> None:
        """Once it runs, if it does then: what is under way may be making it with its old ones."""
        while (work := self._work.get(task_id)) is not None:
            await asyncio.wait((work,))
        wanted, pid = self._find(task_id), self._pid_of(task_id)
        if wanted is None or not pid:
            return
        try:
            await self._connections.amend(wanted, pid)
        except SwarmError as err:
            self._log.warning("container.not_connected", task_id=task_id, reason=err.message)

    async def _signal(self, task_id: TaskId) -> None:
        asked = await self._stop_signal(task_id)
        number = await choose_signal(self._pid_of(task_id), asked)
        await self._kill(task_id, number)

    async def _stop_signal(self, task_id: TaskId) -> int:
        wanted = self._find(task_id)
        if wanted is None:
            return int(SIGTERM)  # it was replaced while no agent was here to know it
        asked, image = wanted.spec.container, ImageConfig()
        with contextlib.suppress(SwarmError):
            image = (await self._images.local(asked.image)).config
        return stop_signal(asked, image)

    async def _kill(self, task_id: TaskId, number: int) -> None:
        try:
            await self._runtime.kill(task_id, number)
            self._log.debug("container.signalled", task_id=task_id, signal=number)
        except Missing:
            pass  # it ended; its exit is on its way
        except SwarmError as err:
            self._log.warning("container.not_signalled", task_id=task_id, reason=err.message)

    async def _delete(self, task_id: TaskId) -> None:
        self._deleting.add(task_id)
        try:
            await self._delete_all(task_id)
        finally:
            self._deleting.discard(task_id)

    async def _delete_all(self, task_id: TaskId) -> None:
        self._ready.pop(task_id, None)
        self._image_ids.pop(task_id, None)
        if (work := self._work.get(task_id)) is not None:
            await asyncio.wait((work,))
        for delay_s in (*DELETE_AGAIN_S, None):
            try:
                async with self._deletes:
                    await self._runtime.delete(task_id)
                    self._contents.remove(task_id)
                    await _remove(Path(own_directory(self._containers, task_id)))
                self._log.debug("container.deleted", task_id=task_id)
                return
            except (SwarmError, OSError) as err:
                self._log.warning("container.not_deleted", task_id=task_id, reason=str(err))
            if delay_s is not None:
                await asyncio.sleep(delay_s)


async def _remove(own: Path) -> None:
    """Remove a task's own directory; anonymous volumes may be large, so they get a thread."""
    if (own / "volumes").exists():
        await asyncio.to_thread(host.remove_tree, str(own))
    elif own.exists():
        host.remove_tree(str(own))
