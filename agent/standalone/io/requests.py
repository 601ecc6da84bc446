"""Do what people ask of containers: make, start, stop, change and remove them.

What was begun for somebody goes on to its end even if he goes away. Of tasks' containers only
what does not change them is done: signals, pauses and an end, after which they are replaced.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable
from pathlib import Path
from typing import Protocol, TypeVar

from msgspec.structs import replace

from agent import volumes as placing
from agent.containers import Node
from agent.images.image import RootFs
from agent.io import devices
from agent.io.sizes import size_of
from agent.io.volumes import Volumes
from agent.standalone import checking, making, memberships, naming
from agent.standalone import mounts as mounting
from agent.standalone.events import (
    KillRequested,
    Paused,
    RemoveRequested,
    RestartRequested,
    Resumed,
    StartRequested,
    StopRequested,
)
from agent.standalone.found import Found
from agent.standalone.io.lives import Lives
from agent.standalone.io.storage import Storage
from agent.standalone.io.tasks import TaskContainers
from agent.standalone.record import Record
from runtime.spec import Resources
from swarm.checks import signal_number
from swarm.errors import Invalid, Missing, Refused, SwarmError
from swarm.specs import Limits, Mount, MountKind
from swarm.standalone import ContainerRestart, ContainerState, Restarting, Shares, StandaloneSpec
from swarm.volumes import ANONYMOUS

T = TypeVar("T")


class Images(Protocol):
    """Where images come from."""

    async def local(self, reference: str) -> RootFs:
        """The image if it is here; raises `Missing`."""
        ...


class Runtime(Protocol):
    """What holds containers still, and changes what they may use."""

    async def pause(self, container_id: str) -> None:
        """Freeze all; doing it twice is fine."""
        ...

    async def resume(self, container_id: str) -> None:
        """Thaw all."""
        ...

    async def update(self, container_id: str, resources: Resources) -> None:
        """Give one that runs other limits, all or none; raises `Missing`."""
        ...


class Requests:
    """What may be asked. `check` refuses containers that could never be connected, and gives
    warnings; `renamed` has others find a container by its new name, `unlinked` has it forget what
    it called somebody, and `pruned` is told how many bytes were freed."""

    def __init__(
        self,
        lives: Lives,
        storage: Storage,
        *,
        tasks: TaskContainers,
        runtime: Runtime,
        images: Images,
        volumes: Volumes,
        check: Callable[[Record], tuple[str, ...]],
        renamed: Callable[[str], Awaitable[None]],
        unlinked: Callable[[str, str], None],
        pruned: Callable[[int], None],
        node: Callable[[], Node],
    ) -> None:
        self._lives = lives
        self._storage = storage
        self._tasks = tasks
        self._runtime = runtime
        self._images = images
        self._volumes = volumes
        self._check = check
        self._renamed = renamed
        self._unlinked = unlinked
        self._pruned = pruned
        self._node = node

    # --- making ---------------------------------------------------------------------------------

    async def create(self, spec: StandaloneSpec) -> tuple[str, tuple[str, ...]]:
        """Make a container; gives its id, and what its maker should know."""
        return await to_its_end(self._create(spec))

    async def _create(self, spec: StandaloneSpec) -> tuple[str, tuple[str, ...]]:
        checking.check(spec)
        _check_available(spec.limits, spec.shares)
        image = await self._image(spec.container.image)
        making.argv(spec.container, image.config)
        container_id = self._lives.new_id()
        with self._lives.named(spec.name, container_id) as name:
            gathered = mounting.gathered(
                spec, image.config.volumes, self._lent(spec), lambda: secrets.token_hex(32)
            )
            record = Record(
                id=container_id,
                spec=replace(spec, name=name),
                image_id=image.id,
                image=image.config,
                created_at=time.time(),
                mounts=gathered.mounts,
                own_volumes=gathered.own_volumes,
            )
            warnings = self._check(record)
            self._check_sources(record)
            await self._lives.add(record, lambda: self._make_volumes(record))
        return container_id, warnings

    async def _image(self, name: str) -> RootFs:
        try:
            return await self._images.local(name)
        except Missing as err:
            raise Missing(f"No such image: {name}") from err

    def _lent(self, spec: StandaloneSpec) -> Iterable[Mount]:
        for text in spec.volumes_from:
            name, mode = mounting.lender(text)
            try:
                lender = self._lives.own(name, to="lend volumes of")
            except Missing as err:
                # Clients who hear that something is missing here think of the image, and pull it.
                raise Invalid(err.message) from err
            yield from mounting.lent(lender.mounts, mode)

    def _check_sources(self, record: Record) -> None:
        for each in making.placed(record, self._node(), own=self._storage.own(record.id)):
            match each.needs:
                case placing.Source(path=path, create=False) if not Path(path).exists():
                    raise Invalid(placing.absent(each.needs))
                case _:
                    pass

    async def _make_volumes(self, record: Record) -> None:
        """Volumes are there with their containers, not only once those run."""
        known = self._volumes.names()
        try:
            for each in record.mounts:
                if each.kind is MountKind.VOLUME and each.source not in known:
                    is_own = each.source in record.own_volumes
                    await self._volumes.create(
                        each.source,
                        labels={ANONYMOUS: ""} if is_own else each.labels,
                        options=each.volume_options,
                    )
        except SwarmError:
            for name in record.own_volumes:
                await self._volumes.remove(name, force=True)
            raise

    # --- its life -------------------------------------------------------------------------------

    async def start(self, text: str) -> bool:
        """Have it run; whether it did not before."""
        record = self._lives.own(text, to="start")
        if record.life.is_active and not record.life.is_paused:
            return False
        outcome = self._lives.starting(record.id)
        self._lives.tell(record.id, StartRequested())
        await asyncio.shield(outcome)
        return True

    async def stop(self, text: str, *, signal: str, grace_s: float | None) -> bool:
        """Have it end; whether it ran."""
        found = self._lives.find(text)
        if found.record is None:
            return await self._tasks.stop(found, signal=signal, grace_s=grace_s)
        record = found.record
        number = _signal(signal) if signal else making.stop_signal(record)
        if not record.life.is_active:
            return False
        rest = self._lives.resting(record.id)
        grace = record.spec.container.stop_grace_s if grace_s is None else grace_s
        self._lives.tell(record.id, StopRequested(signal=number, grace_s=grace))
        await asyncio.shield(rest)
        return True

    async def restart(self, text: str, *, signal: str, grace_s: float | None) -> None:
        """Have it end, and run again; if it does not run, only that."""
        record = self._lives.own(text, to="restart")
        number = _signal(signal) if signal else making.stop_signal(record)
        grace = record.spec.container.stop_grace_s if grace_s is None else grace_s
        outcome = self._lives.starting(record.id)
        self._lives.tell(record.id, RestartRequested(signal=number, grace_s=grace))
        await asyncio.shield(outcome)

    async def kill(self, text: str, signal: str) -> None:
        """Send a signal; with SIGKILL until it has ended."""
        number = _signal(signal or "SIGKILL")
        found = self._lives.find(text)
        if found.record is None:
            await self._tasks.kill(found, number)
            return
        rest = self._lives.resting(found.id)
        event = KillRequested(signal=number, is_final=making.is_final(found.record, number))
        with _prefixed(f"cannot kill container: {text}: ", container_id=found.id):
            self._lives.tell(found.id, event)
        if number == signal_number("SIGKILL"):
            await asyncio.shield(rest)

    async def pause(self, text: str, *, paused: bool) -> None:
        """Hold all its processes still, or let them go on."""
        found = self._lives.find(text)
        if not found.is_running:
            raise Refused(f"container {found.id} is not running")
        if found.is_paused == paused:
            word = "already" if paused else "not"
            raise Refused(f"container {found.id} is {word} paused")
        await to_its_end(self._pause(found, paused=paused))

    async def _pause(self, found: Found, *, paused: bool) -> None:
        if paused:
            await self._runtime.pause(found.runtime_id)
        else:
            await self._runtime.resume(found.runtime_id)
        if found.record is not None:
            self._lives.tell(found.id, Paused() if paused else Resumed())
        else:
            self._tasks.announce(found, "pause" if paused else "unpause")

    # --- being changed --------------------------------------------------------------------------

    async def rename(self, text: str, name: str) -> None:
        """Give it another name."""
        record = self._lives.own(text, to="rename")
        plain = naming.checked(name.strip())
        if plain == record.name:
            raise Invalid("Renaming a container with the same name as its current name")
        with _prefixed("Error when allocating new name: "), self._lives.named(plain, record.id):
            await to_its_end(self._lives.change(record.id, replace(record.spec, name=plain)))
        await self._renamed(record.id)
        self._lives.announce(record.id, "rename", {"oldName": f"/{record.name}"})

    async def unlink(self, text: str, alias: str) -> None:
        """Have it be linked no longer to whom it calls `alias`."""
        record = self._lives.own(text, to="change")
        changed = memberships.unlinked(record.spec, alias)
        await to_its_end(self._lives.change(record.id, changed))
        self._unlinked(record.id, alias)

    async def update(
        self,
        text: str,
        *,
        limits: Limits | None,
        shares: Shares | None,
        restart: ContainerRestart | None,
    ) -> tuple[str, ...]:
        """Change what it may use, at once if it runs, and what follows when it ends."""
        record = self._lives.own(text, to="change")
        spec = record.spec
        if record.life.state in (ContainerState.REMOVING, ContainerState.DEAD):
            raise Refused(
                f"Cannot update container {record.id}: container is marked for removal and cannot "
                'be "update".'
            )
        changed = replace(
            spec,
            limits=limits if limits is not None else spec.limits,
            shares=shares if shares is not None else spec.shares,
            restart=restart if restart is not None else spec.restart,
        )
        checking.check_limits(changed.limits, changed.shares)
        _check_available(changed.limits, changed.shares)
        if restart is not None:
            if spec.auto_remove and restart.condition is not Restarting.NO:
                raise Invalid(
                    "Restart policy cannot be updated because AutoRemove is enabled for the "
                    "container"
                )
            checking.check_restart(changed.restart, auto_remove=spec.auto_remove)
        await to_its_end(self._update(record, changed))
        self._lives.announce(record.id, "update", {})
        return ()

    async def _update(self, record: Record, changed: StandaloneSpec) -> None:
        """The kernel says first whether it can be."""
        wanted = making.resources(changed.limits, changed.shares)
        if record.life.is_up and wanted != making.resources(record.spec.limits, record.spec.shares):
            with contextlib.suppress(Missing):  # it has just ended
                await self._runtime.update(record.id, wanted)
        await self._lives.change(record.id, changed)

    # --- going ----------------------------------------------------------------------------------

    async def remove(self, text: str, *, force: bool, volumes: bool) -> None:
        """Remove it: by force if it runs, and with the volumes that were made for it alone."""
        found = self._lives.find(text)
        if found.record is None:
            await self._tasks.remove(found, force=force)
            return
        gone = self._lives.leaving(found.id)
        with _prefixed(f'cannot remove container "{text}": '):
            self._lives.tell(found.id, RemoveRequested(force=force, volumes=volumes))
        if (ended := await asyncio.shield(gone)).error:
            raise Refused(f'cannot remove container "{text}": {ended.error}')

    async def prune(self, containers: Iterable[str]) -> tuple[tuple[str, ...], int]:
        """Remove those that do not run; gives which, and how many bytes they took."""
        removed, freed = list[str](), 0
        for text in containers:
            try:
                found = self._lives.find(text)
                if found.record is None or found.record.life.is_active:
                    continue
                size = await asyncio.to_thread(size_of, Path(found.upper))
                await self.remove(text, force=False, volumes=False)
            except SwarmError:
                continue  # it runs by now, or somebody else was faster
            removed.append(found.id)
            freed += size
        self._pruned(freed)
        return tuple(removed), freed


def _signal(text: str) -> int:
    try:
        return signal_number(text)
    except Invalid as err:
        raise Invalid(f"Invalid signal: {text}") from err


def _check_available(limits: Limits, shares: Shares) -> None:
    checking.check_available(
        limits, shares, cpus=devices.processors(), nodes=devices.memory_nodes()
    )


@contextlib.contextmanager
def _prefixed(words: str, *, container_id: str = "") -> Generator[None, None, None]:
    """What a state forbids is said with what was asked for, and of whom."""
    try:
        yield
    except Refused as err:
        reason = err.message
        if container_id:
            reason = reason.replace("container is", f"container {container_id} is", 1)
        raise Refused(f"{words}{reason}", hint=err.hint) from err


async def to_its_end(work: Coroutine[None, None, T]) -> T:
    """Do `work` even if nobody waits for it any more."""
    task = asyncio.ensure_future(work)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return await asyncio.shield(task)
