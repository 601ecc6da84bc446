"""Have a worker ready for the next build, for a while after the last one.

Whoever builds again and again waits for no interpreter to start: the next one does while a build
goes on. A spare has a directory of its own like any other worker, with nothing in it yet.
"""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from secrets import token_hex

from agent.build.io import workers
from agent.build.io.workers import Worker
from agent.images.io.disk import failing, remove_tree
from runtime.io import host
from swarm.errors import SwarmError


class Workers:
    """Workers whose directories are below `place`, and who can read `readable`.

    One that is ready is kept for `kept_s` after the last build; 0 keeps none.
    """

    def __init__(self, place: Path, readable: Path, *, kept_s: float) -> None:
        self._place = place
        self._readable = readable
        self._kept_s = kept_s
        self._spare: asyncio.Task[tuple[Path, Worker]] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def taken(self) -> AsyncGenerator[tuple[Path, Worker]]:
        """A worker and its directory, which end with the block.

        The directory may be large, so nobody waits until it is removed. But what failed may have
        taken all the room that another try needs.
        """
        own, worker = await self._take()
        try:
            yield own, worker
        except BaseException:
            await asyncio.shield(await self._end(own, worker))
            raise
        await self._end(own, worker)

    async def _take(self) -> tuple[Path, Worker]:
        spare, self._spare = self._spare, None
        if spare is not None:
            with suppress(SwarmError, OSError):
                own, worker = await spare
                if worker.is_alive:
                    return own, worker
                await self._end(own, worker)
        return await self._start()

    def prepare(self) -> None:
        """Have one ready, from now on for a while."""
        if not self._kept_s:
            return
        if self._spare is None:
            self._spare = asyncio.ensure_future(self._start())
            self._spare.add_done_callback(_look_at)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(self._kept_s, self._drop)

    async def _end(self, own: Path, worker: Worker) -> asyncio.Task[None]:
        """End a worker; gives the removal of its directory."""
        await worker.close()
        return self._aside(asyncio.to_thread(host.discard_tree, str(own)))

    async def settled(self) -> None:
        """Wait until nothing is left of those that have ended."""
        while self._ending:
            await asyncio.gather(*self._ending, return_exceptions=True)

    async def close(self) -> None:
        """End the one that is ready."""
        if self._timer is not None:
            self._timer.cancel()
        self._drop()
        await self.settled()

    def _drop(self) -> None:
        spare, self._spare = self._spare, None
        if spare is not None:
            self._aside(self._end_spare(spare))

    async def _end_spare(self, spare: asyncio.Task[tuple[Path, Worker]]) -> None:
        with suppress(SwarmError, OSError):
            await self._end(*await spare)

    def _aside(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        return task

    async def _start(self) -> tuple[Path, Worker]:
        own = self._place / f"build-{token_hex(16)}"
        with failing("make build directory", own):
            own.mkdir(mode=0o700)
        try:
            return own, await workers.start(own, self._readable)
        except BaseException:
            await asyncio.shield(asyncio.to_thread(remove_tree, own))
            raise


def _look_at(spare: asyncio.Task[tuple[Path, Worker]]) -> None:
    if not spare.cancelled():
        spare.exception()
