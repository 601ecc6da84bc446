"""Find the files of containers: of those that run, of others, and of tasks.

What runs is entered as it is, so little is needed. Any other container is put together again, and
its volumes are mounted for as long as somebody is in it.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

from agent.containers import Node
from agent.images.answers import Collecting
from agent.images.image import RootFs
from agent.rights import rights
from agent.standalone import making
from agent.standalone.errands import Place
from agent.standalone.found import Found
from agent.standalone.record import Record
from agent.volumes import Placed, Volume
from runtime.io.leftovers import read_spec
from runtime.layout import ContainerDir
from runtime.spec import ContainerSpec, UserNamespace
from swarm.errors import SwarmError

# What the runtime makes in a root file system to mount something over it.
_OURS = ("/dev", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/proc", "/sys")
_TRIES, _TRY_S = 40, 0.05


class Lives(Protocol):
    """Where containers are found."""

    def find(self, text: str) -> Found:
        """The container that an id, the beginning of one, or a name means; else `Missing`."""
        ...

    def held(self, text: str) -> AbstractAsyncContextManager[Found]:
        """Find one, and keep it from being removed until we are done."""
        ...

    def own(self, text: str, *, to: str) -> Record:
        """The same, of a container that is no task's."""
        ...

    def announce(self, container_id: str, action: str, attributes: Mapping[str, str]) -> None:
        """Tell of something that was done to it."""
        ...


class Images(Protocol):
    """Where images come from."""

    async def local(self, reference: str) -> RootFs:
        """The image if it is here; raises `Missing`."""
        ...


class Volumes(Protocol):
    """What makes and mounts volumes."""

    async def provide(self, placed: Iterable[Placed]) -> None:
        """Make and mount what mounts need."""
        ...

    async def release(self, wanted: Collection[str] | None = None) -> None:
        """Unmount those that nobody needs any more."""
        ...


class Reaching:
    """Finds files. `room` is a directory that nobody misses in the process of an errand."""

    def __init__(
        self,
        lives: Lives,
        *,
        images: Images,
        volumes: Volumes,
        node: Callable[[], Node],
        run_root: str,
        room: str,
    ) -> None:
        self._lives = lives
        self._images = images
        self._volumes = volumes
        self._node = node
        self._run_root = run_root
        self._room = room

    @asynccontextmanager
    async def found(self, text: str) -> AsyncGenerator[Found]:
        """A container, which stays; of one that has just ended that is known by now."""
        async with self._lives.held(text) as held:
            now = held
            for _ in range(_TRIES):
                if not now.is_running or Path(f"/proc/{now.pid}").exists():
                    break
                await asyncio.sleep(_TRY_S)
                now = self._lives.find(held.id)
            yield now

    @asynccontextmanager
    async def place(self, found: Found, *, writes: bool = False) -> AsyncGenerator[Place]:
        """How to get to its files; volumes are mounted for as long as the block lasts."""
        spec, record = self._spec(found), found.record
        if found.is_running:
            yield Place(
                container=found.runtime_id,
                pid=found.pid,
                mounts=spec.mounts if spec else (),
                read_only=spec.read_only_rootfs if spec else False,
            )
            return
        placed = making.placed(record, self._node(), own=found.own) if record else ()
        volumes = tuple(each for each in placed if isinstance(each.needs, Volume))
        names = frozenset(
            each.needs.name
            for each in volumes
            if isinstance(each.needs, Volume) and each.needs.name
        )
        image = await self._images.local(found.image_id or found.image)
        try:
            await self._volumes.provide(volumes)
            yield Place(
                container=found.runtime_id,
                layers=tuple(str(each) for each in image.layer_dirs),
                upper=found.upper if writes or Path(found.upper).is_dir() else "",
                work=f"{found.own}/work" if writes else "",
                room=self._room,
                mounts=tuple(each.mount for each in placed)
                if record
                else spec.mounts
                if spec
                else (),
                user_namespace=self._user_namespace(found),
                read_only=record is not None and record.spec.container.read_only,
            )
        finally:
            if names:
                with contextlib.suppress(SwarmError):
                    await self._volumes.release(names)

    async def collecting(self, found: Found) -> Collecting:
        """What it wrote itself, and what lies below that."""
        mapped = self._user_namespace(found)
        image = await self._images.local(found.image_id or found.image)
        return Collecting(
            upper=found.upper,
            below=tuple(str(each) for each in image.layer_dirs),
            ignored=_OURS,
            uids=mapped.uids if mapped else (),
            gids=mapped.gids if mapped else (),
        )

    def _spec(self, found: Found) -> ContainerSpec | None:
        """What the runtime was told, by its own memory."""
        return read_spec(ContainerDir(self._run_root, found.runtime_id))

    def _user_namespace(self, found: Found) -> UserNamespace | None:
        if found.record is not None:
            return rights(found.record.spec.container, self._node().fences).user_namespace
        spec = self._spec(found)
        return spec.user_namespace if spec else None
