"""Do to containers what their lives call for, and tell what came of it.

What one container needs is done in the order in which it was called for; only signals wait for
nothing. Starts are bounded, for more at once than the machine has cores only makes each of
them slower. Whatever goes wrong ends in an event, a bug included: nothing hangs in a passing
state. Before a container is removed, whoever reads its files has done with them.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Coroutine
from signal import SIGKILL
from typing import Protocol, assert_never

import structlog

from agent.containers import Node
from agent.images.image import RootFs
from agent.images.io.locks import Locks
from agent.io import devices
from agent.io.hearing import choose_signal
from agent.io.volumes import Volumes
from agent.metrics import Metrics
from agent.rights import absent_devices
from agent.standalone import making, refusing
from agent.standalone.effects import (
    Announce,
    Delay,
    Effect,
    Forget,
    Kill,
    Release,
    Remove,
    Resume,
    Signal,
    Start,
    Wait,
)
from agent.standalone.events import (
    Event,
    Released,
    Removed,
    RemoveFailed,
    Started,
    StartFailed,
)
from agent.standalone.io.journal import Journal
from agent.standalone.io.lives import Lives
from agent.standalone.io.storage import Storage
from agent.standalone.lending import Lent
from agent.standalone.making import Joins
from agent.standalone.record import Record
from runtime import outcome
from runtime import spec as runtime
from runtime.spec import CONTAINER, HOST, ContainerSpec
from swarm.errors import Missing, Refused, SwarmError
from swarm.specs import MountKind
from swarm.standalone import DeviceRate
from swarm.volumes import LOCAL

STARTS_AT_ONCE = 8
REMOVES_AT_ONCE = 8
SEEN_WITHIN_S = 1.0

Attach = Callable[[int], Awaitable[None]]
Run = Callable[[ContainerSpec, Attach | None], Awaitable[outcome.Started]]
Spawn = Callable[[Coroutine[None, None, None]], asyncio.Task[None]]


class Images(Protocol):
    """Where images come from."""

    async def local(self, reference: str) -> RootFs:
        """The image if it is here; raises `Missing`."""
        ...


class Runtime(Protocol):
    """What ends containers; each has the id under which its users know it."""

    async def kill(self, container_id: str, signal: int) -> None:
        """Send a signal to process 1; raises `Missing`."""
        ...

    async def resume(self, container_id: str) -> None:
        """Let its processes go on; raises `Missing`."""
        ...

    async def delete(
        self, container_id: str, *, keep_log: bool = False, keep_layer: bool = False
    ) -> None:
        """Remove what is left of a container, and end what still runs."""
        ...


class Attaching(Protocol):
    """What gives containers their places in networks."""

    async def lend(self, record: Record) -> Lent:
        """What one is to have before it is made; raises when that cannot be."""
        ...

    async def attach(self, record: Record, lent: Lent, netns: int) -> None:
        """Connect one that is about to run; what it has got is undone by `release` only."""
        ...

    async def release(self, container_id: str) -> None:
        """Take back all that it had; content when that was nothing."""
        ...


class Performing:
    """Performs effects. `run` starts a container, with whoever wants to see all it prints, and
    `refuse` tells those that a start has come to nothing.

    Nobody is at work on a layer who does not hold `writing`.
    """

    def __init__(
        self,
        lives: Lives,
        storage: Storage,
        *,
        runtime: Runtime,
        run: Run,
        refuse: Callable[[str, SwarmError], None],
        images: Images,
        volumes: Volumes,
        attaching: Attaching,
        writing: Locks[str],
        journal: Journal,
        node: Callable[[], Node],
        spawn: Spawn,
        metrics: Metrics,
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._lives = lives
        self._storage = storage
        self._runtime = runtime
        self._run = run
        self._refuse = refuse
        self._images = images
        self._volumes = volumes
        self._attaching = attaching
        self._writing = writing
        self._journal = journal
        self._node = node
        self._spawn = spawn
        self._metrics = metrics
        self._log = log
        self._starts = asyncio.Semaphore(STARTS_AT_ONCE)
        self._removes = asyncio.Semaphore(REMOVES_AT_ONCE)
        self._work: dict[str, asyncio.Task[None]] = {}

    def perform(self, record: Record, effect: Effect) -> None:
        """Begin to do `effect`; what comes of it is told."""
        match effect:
            case Start():
                self._chain(record, self._start(record))
            case Release():
                self._chain(record, self._release(record))
            case Remove(volumes):
                self._chain(record, self._remove(record, volumes=volumes))
            case Signal(signal, is_stop):
                self._spawn(self._signal(record, signal, is_stop=is_stop))
            case Kill():
                self._spawn(self._signal(record, int(SIGKILL)))
            case Resume():
                self._spawn(self._resume(record))
            case Announce() | Forget() | Wait() | Delay():
                raise AssertionError(effect)  # `Lives` does these itself
            case _:
                assert_never(effect)

    def _chain(self, record: Record, work: Coroutine[None, None, None]) -> None:
        before = self._work.get(record.id)

        async def run() -> None:
            if before is not None:
                await asyncio.wait((before,))
            try:
                await work
            finally:
                if self._work.get(record.id) is asyncio.current_task():
                    del self._work[record.id]

        self._work[record.id] = self._spawn(run())

    def _tell(self, record: Record, event: Event, failure: SwarmError | None = None) -> None:
        self._lives.tell(record.id, event, failure)

    # --- starting -------------------------------------------------------------------------------

    async def _start(self, record: Record) -> None:
        began = time.perf_counter()
        try:
            async with self._writing.holding(record.id):
                started = await self._started(record)
        except SwarmError as err:
            reason, code = refusing.not_started(err, _argv(record))
            self._log.warning("container.not_started", container_id=record.id, reason=err.message)
            await self._not_started(record, reason, code)
            return
        except Exception as err:
            self._log.exception("container.start_crashed", container_id=record.id)
            reason = Refused(f"internal error: {err!r}", hint="look at the agent's log")
            await self._not_started(record, reason, refusing.UNKNOWN)
            return
        self._metrics.starts.inc()
        self._metrics.start_seconds.observe(time.perf_counter() - began)
        self._log.info("container.started", container_id=record.id, pid=started.pid)
        is_checked = making.is_checked(record)
        self._tell(
            record,
            Started(pid=started.pid, started_at=started.started_at, is_checked=is_checked),
        )

    async def _not_started(self, record: Record, reason: SwarmError, code: int) -> None:
        self._metrics.start_failures.inc()
        self._refuse(record.id, reason)
        await self._give_back(record)
        self._tell(record, StartFailed(reason=reason.message, exit_code=code), reason)
        await self._unmount(record)

    async def _started(self, record: Record) -> outcome.Started:
        own, node = self._storage.own(record.id), self._node()
        for problem in absent_devices(record.spec.container.devices, devices.why_not_a_device):
            raise Refused(problem)
        image = await self._images.local(record.image_id)
        placed = making.placed(record, node, own=own)
        await self._volumes.provide(placed)
        self._tell_of_volumes(record, "mount")
        lent = await self._attaching.lend(record)
        if record.life.run > 1:
            await self._runtime.delete(record.id, keep_log=True, keep_layer=True)
        made = making.made(
            record,
            tuple(str(each) for each in image.layer_dirs),
            node,
            own=own,
            mounts=placed,
            lent=lent,
            hostname=self._hostname(record, node, lent),
            joins=self._joins(record),
            rates=tuple(map(_rate, record.spec.device_rates)),
        )

        async with _Turn(self._starts) as turn:

            async def attach(netns: int) -> None:
                turn.end()  # a network may be waited for, and others need not
                await self._attaching.attach(record, lent, netns)

            return await self._run(made, attach)

    def _hostname(self, record: Record, node: Node, lent: Lent) -> str:
        """Containers that share a network share its name."""
        other = self._lives.record(lent.joins_of) if lent.joins_of else None
        return making.own_hostname(other or record, node, lent)

    def _joins(self, record: Record) -> Joins:
        return Joins(
            pid=self._joined(record.spec.pid_mode, "PID"),
            ipc=self._joined(record.spec.ipc_mode, "IPC"),
        )

    def _joined(self, mode: str, what: str) -> str:
        """Whose namespace it is to have; one that does not run has none."""
        if not mode.startswith(CONTAINER):
            return mode if mode == HOST else ""
        other = self._lives.find(mode.removeprefix(CONTAINER))
        if not other.is_running:
            raise Refused(f"cannot join {what} of a non running container: {other.id}")
        ipc = other.record.spec.ipc_mode if other.record is not None else ""
        if what == "IPC" and ipc in ("private", "none"):
            raise Refused(
                f"cannot join IPC of a container {other.id}: non-shareable IPC "
                "(hint: use IpcMode:shareable for the donor container)"
            )
        return f"{CONTAINER}{other.runtime_id}"

    # --- ending ---------------------------------------------------------------------------------

    async def _signal(self, record: Record, signal: int, *, is_stop: bool = False) -> None:
        if is_stop:
            signal = await choose_signal(record.life.pid, signal)
        with contextlib.suppress(Missing):  # it ended; its exit is on its way
            try:
                await self._runtime.kill(record.id, signal)
            except Missing:
                raise
            except SwarmError as err:
                self._log.warning(
                    "container.not_signalled", container_id=record.id, reason=err.message
                )

    async def _resume(self, record: Record) -> None:
        try:
            await self._runtime.resume(record.id)
        except SwarmError as err:
            self._log.debug("container.not_resumed", container_id=record.id, reason=err.message)

    async def _release(self, record: Record) -> None:
        await self._give_back(record)
        self._tell_of_volumes(record, "unmount")
        self._tell(record, Released())
        await self._unmount(record)

    async def _give_back(self, record: Record) -> None:
        """What cannot be taken back is taken back by the next agent, or by nobody."""
        try:
            await self._attaching.release(record.id)
        except SwarmError as err:
            self._log.warning("container.not_released", container_id=record.id, reason=err.message)
        except Exception:
            self._log.exception("container.release_crashed", container_id=record.id)

    def _tell_of_volumes(self, record: Record, action: str) -> None:
        for each in record.mounts:
            if each.kind is MountKind.VOLUME:
                told = {"container": record.id, "driver": LOCAL}
                if action == "mount":
                    told |= {
                        "destination": each.target,
                        "propagation": "",
                        "read/write": str(not each.read_only).lower(),
                    }
                self._journal.tell("volume", action, each.source, told, name=each.source)

    async def _unmount(self, record: Record) -> None:
        """Volumes that nobody needs now; nobody waits for that."""
        if names := making.volume_names(record):
            try:
                await self._volumes.release(names)
            except SwarmError as err:
                self._log.warning("volume.not_unmounted", reason=err.message)

    async def _remove(self, record: Record, *, volumes: bool) -> None:
        try:
            await self._lives.free(record.id)
            async with self._removes:
                await self._give_back(record)
                if volumes:
                    await self._remove_volumes(record)
                # What the runtime has of a container without a directory is nobody's, so
                # either may come first.
                await gathered(
                    self._runtime.delete(record.id, keep_log=True, keep_layer=True),
                    self._storage.remove(record.id),
                )
        except SwarmError as err:
            self._log.warning("container.not_removed", container_id=record.id, reason=err.message)
            self._tell(record, RemoveFailed(reason=err.message), err)
            return
        except Exception as err:
            self._log.exception("container.remove_crashed", container_id=record.id)
            failure = Refused(f"internal error: {err!r}", hint="look at the agent's log")
            self._tell(record, RemoveFailed(reason=failure.message), failure)
            return
        self._log.info("container.removed", container_id=record.id)
        self._tell(record, Removed())
        await self._unmount(record)

    async def _remove_volumes(self, record: Record) -> None:
        """Those that somebody else uses by now stay, and are his."""
        for name in record.own_volumes:
            with contextlib.suppress(Missing, Refused):
                await self._volumes.remove(name, force=True)


async def gathered(*work: Coroutine[None, None, None]) -> None:
    """Do all at once, to the end of each; the first failure is raised then."""
    for found in await asyncio.gather(*work, return_exceptions=True):
        if found is not None:
            raise found


class _Turn:
    """One of the few that may do something at once, until it has ended or says so before."""

    def __init__(self, turns: asyncio.Semaphore) -> None:
        self._turns = turns
        self._is_on = False

    def end(self) -> None:
        """Let somebody else begin."""
        if self._is_on:
            self._is_on = False
            self._turns.release()

    async def __aenter__(self) -> "_Turn":
        await self._turns.acquire()
        self._is_on = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self.end()


def _rate(asked: DeviceRate) -> runtime.DeviceRate:
    major, minor = devices.block_numbers(asked.path)
    kind = runtime.RateKind[asked.kind.name]
    return runtime.DeviceRate(major=major, minor=minor, kind=kind, rate=asked.rate)


def _argv(record: Record) -> tuple[str, ...]:
    return making.argv(record.spec.container, record.image)
