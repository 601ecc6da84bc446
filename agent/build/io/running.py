"""Run the program of a RUN, and pass on what it prints as it comes.

The container waits for whoever reads: nothing that it prints is lost. Whatever happens, nothing
is left of it in the end, but its layer if that is still wanted.
"""

import asyncio
import codecs
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

import structlog

from agent.build.containers import BUILD_LABEL
from agent.standalone.lending import Lent
from agent.standalone.record import Record
from runtime.io import leftovers
from runtime.io.attachment import Attachment
from runtime.io.client import Runtime
from runtime.layout import ContainerDir, containers_dir
from runtime.outcome import Exited
from runtime.spec import ContainerSpec
from runtime.wire import Manner
from swarm.errors import KernelRefused, SwarmError

LOOK_S = 0.25
RESERVE_BYTES = 512 << 20
_RESERVE_SHARE = 50  # of the disk
_PIECE_BYTES = 1 << 16

Say = Callable[[str, bool], Awaitable[None]]


class Networks(Protocol):
    """What gives containers their places in networks."""

    async def lend(self, record: Record) -> Lent:
        """What one is to have before it is made; raises when that cannot be."""
        ...

    async def attach(self, record: Record, lent: Lent, netns: int) -> None:
        """Connect one that is about to run."""
        ...

    async def release(self, container_id: str) -> None:
        """Take back all that it had; content when that was nothing."""
        ...


class Running:
    """One container of a build. `run` it, and `remove` what is left of it."""

    def __init__(
        self, runtime: Runtime, networks: Networks, record: Record, lent: Lent, *, data_root: Path
    ) -> None:
        self._runtime = runtime
        self._networks = networks
        self._record = record
        self._lent = lent
        self._data_root = data_root

    async def run(self, spec: ContainerSpec, say: Say) -> Exited:
        """How the program ended; `say` was told all that it printed, and whether as an error.

        Raises `KernelRefused` when the program cannot start, or fills the disk.
        """
        viewer = Attachment(spec.id, Manner.WAITED_FOR)

        async def attach(netns: int) -> None:
            await self._networks.attach(self._record, self._lent, netns)

        try:
            await self._runtime.run(spec, attach, viewers=(viewer,))
            reading = asyncio.gather(
                _read(viewer.stdout_fd, say, is_error=False),
                _read(viewer.stderr_fd, say, is_error=True),
            )
            watching = asyncio.ensure_future(self._watch_disk())
            try:
                await asyncio.wait((reading, watching), return_when=asyncio.FIRST_COMPLETED)
                if watching.done():
                    watching.result()
                await reading
                ending = asyncio.ensure_future(viewer.wait())
                await asyncio.wait((ending, watching), return_when=asyncio.FIRST_COMPLETED)
                if not ending.done():
                    ending.cancel()
                    watching.result()
                return ending.result()
            finally:
                for each in (reading, watching):
                    each.cancel()
                await asyncio.gather(reading, watching, return_exceptions=True)
        finally:
            viewer.close()

    async def remove(self) -> None:
        """End it if it still runs, and remove all that is left."""
        await self._runtime.delete(self._record.id)
        await self._networks.release(self._record.id)

    async def _watch_disk(self) -> None:
        """Raise before a program takes the room that the node itself lives in."""
        status = os.statvfs(self._data_root)
        size, free = status.f_blocks * status.f_frsize, status.f_bavail * status.f_frsize
        reserve = min(RESERVE_BYTES, size // _RESERVE_SHARE, free // 2)
        while True:
            await asyncio.sleep(LOOK_S)
            status = os.statvfs(self._data_root)
            if status.f_bavail * status.f_frsize < reserve:
                raise disk_full(self._data_root)


def disk_full(data_root: Path) -> KernelRefused:
    """The error of a step that fills the disk."""
    return KernelRefused(
        "run",
        28,
        f"the step was ended because it fills the disk under {data_root}",
        hint="free space on that disk, or write less",
    )


async def _read(descriptor: int, say: Say, *, is_error: bool) -> None:
    """Pass on what can be read until its end."""
    if descriptor < 0:
        return
    loop = asyncio.get_running_loop()
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    while True:
        try:
            piece = os.read(descriptor, _PIECE_BYTES)
        except BlockingIOError:
            readable = loop.create_future()
            loop.add_reader(descriptor, _set, readable)
            try:
                await readable
            finally:
                loop.remove_reader(descriptor)
            continue
        text = decoder.decode(piece, final=not piece)
        if text:
            await say(text, is_error)
        if not piece:
            return


def _set(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


async def sweep(runtime: Runtime, run_root: Path, log: structlog.stdlib.BoundLogger) -> None:
    """Remove the containers of builds that an earlier agent left when it was killed."""
    place = Path(containers_dir(str(run_root)))
    for path in sorted(place.iterdir()) if place.is_dir() else ():
        spec = leftovers.read_spec(ContainerDir(str(run_root), path.name))
        if spec is None or BUILD_LABEL not in spec.annotations:
            continue
        try:
            await runtime.delete(path.name)
            log.info("build.swept", container=path.name)
        except SwarmError as err:
            log.warning("build.not_swept", container=path.name, reason=err.message)
