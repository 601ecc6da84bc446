"""Make images of containers.

What a container changed is copied, so it may go on as soon as that is done; held still, it has
nothing half written in its image. Should we not come back to let it go on, a mark beside its
layer tells the next agent to.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from msgspec.structs import replace

from agent.images.io.building import Building
from agent.images.making import names_of
from agent.standalone.committing import committed, document
from agent.standalone.found import Found
from agent.standalone.io.layering import Layering
from agent.standalone.io.reaching import Lives, Reaching
from swarm.api.v1 import containers_pb2 as pb
from swarm.errors import Missing, SwarmError

_MARK = "committing"


class Runtime(Protocol):
    """What holds containers still."""

    async def pause(self, container_id: str) -> None:
        """Freeze all; doing it twice is fine."""
        ...

    async def resume(self, container_id: str) -> None:
        """Thaw all; raises `Missing`."""
        ...


class Commits:
    """Makes images. `changed` is told when there is another one, and `named` what it is called."""

    def __init__(
        self,
        lives: Lives,
        reaching: Reaching,
        building: Callable[[], Building],
        *,
        layering: Layering,
        runtime: Runtime,
        named: Callable[[str], None],
        changed: Callable[[], None],
    ) -> None:
        self._lives = lives
        self._reaching = reaching
        self._building = building
        self._layering = layering
        self._runtime = runtime
        self._named = named
        self._changed = changed

    async def recover(self, containers: Path) -> None:
        """Let those go on that an agent held still, and died over it."""
        for mark in sorted(containers.glob(f"*/{_MARK}")):
            with contextlib.suppress(SwarmError):
                await self._runtime.resume(mark.parent.name)
            mark.unlink(missing_ok=True)

    async def commit(self, request: pb.CommitContainerRequest) -> str:
        """Make an image of a container; gives its id."""
        self._lives.own(request.container, to="make an image of")
        names_of(_references(request))
        async with self._reaching.found(request.container) as found:
            image_id = await self._make(found, request)
            told = {"comment": request.message, "imageID": image_id}
            if request.reference:
                told["imageRef"] = request.reference
                self._named(request.reference)
            self._lives.announce(found.id, "commit", told)
        self._changed()
        return image_id

    async def _make(self, found: Found, request: pb.CommitContainerRequest) -> str:
        record, building, at = found.record, self._building(), time.time()
        assert record is not None, "it is no task's"
        run = committed(record, request.config_json, tuple(request.changes))
        hold = building.hold()
        try:
            base = await building.base(found.image_id, hold)
            asked = await self._reaching.collecting(found)
            if not Path(found.upper).is_dir():  # it has never run
                asked = replace(asked, upper=str(building.nothing))
            async with self._still(found, wanted=request.pause):
                mark = await building.collect(asked, hold, by=self._layering.collect)
            made = document(
                base.document,
                run,
                record,
                at=at,
                author=request.author,
                comment=request.message,
                diff_id=mark.diff_id,
            )
            return await building.list(
                made.encode(),
                base,
                made.diff_ids,
                references=_references(request),
                created_at=at,
                now=at,
                hold=hold,
            )
        finally:
            taken = tuple(hold.digests)
            hold.release()
            await asyncio.shield(asyncio.ensure_future(building.delete_unheld(taken)))

    @asynccontextmanager
    async def _still(self, found: Found, *, wanted: bool) -> AsyncGenerator[None]:
        """Hold it still in the block, if it moves."""
        if not wanted or not found.is_running or found.is_paused:
            yield
            return
        mark = Path(found.own) / _MARK
        mark.touch()
        try:
            with contextlib.suppress(Missing):  # it has just ended, and moves no more
                await self._runtime.pause(found.runtime_id)
            yield
        finally:
            await asyncio.shield(asyncio.ensure_future(self._go_on(found)))
            mark.unlink(missing_ok=True)

    async def _go_on(self, found: Found) -> None:
        """Unless somebody has paused it meanwhile, or removed it."""
        with contextlib.suppress(Missing):
            if not self._lives.find(found.id).is_paused:
                await self._runtime.resume(found.runtime_id)


def _references(request: pb.CommitContainerRequest) -> tuple[str, ...]:
    return (request.reference,) if request.reference else ()
