"""Show the processes of a container as ps(1) of the node shows them."""

import asyncio
import contextlib
from collections.abc import Collection
from typing import Protocol

from agent.standalone import listing
from agent.standalone.found import Found
from agent.standalone.io.journal import Journal
from agent.standalone.io.lives import Lives
from agent.standalone.listing import Listing
from swarm.errors import Invalid, Refused, Unavailable
from swarm.standalone import ContainerState

ANSWERED_WITHIN_S = 10.0


class Runtime(Protocol):
    """What knows the processes of containers."""

    async def processes(self, container_id: str) -> list[int]:
        """The host's pids; raises `Missing`."""
        ...


class Tops:
    """Answers what `docker top` asks."""

    def __init__(self, lives: Lives, runtime: Runtime, journal: Journal) -> None:
        self._lives = lives
        self._runtime = runtime
        self._journal = journal

    async def show(self, text: str, asked: Collection[str]) -> Listing:
        """The processes of a container; `asked` are arguments of ps."""
        words = listing.arguments(asked)
        found = self._lives.find(text)
        _check(found)
        pids = await self._runtime.processes(found.runtime_id)
        shown = listing.listing(await _ps(words, pids), frozenset(pids))
        self._journal.tell_of(found, "top")
        return shown


def _check(found: Found) -> None:
    if found.record is not None and found.record.life.state is ContainerState.RESTARTING:
        raise Refused(f"Container {found.id} is restarting, wait until the container is running")
    if not found.is_running:
        raise Refused(f"container {found.id} is not running")


async def _ps(words: tuple[str, ...], pids: Collection[int]) -> str:
    """What it prints; some options do not go with a choice of processes."""
    chosen = f"-q{','.join(map(str, pids))}"
    try:
        return await _run((*words, chosen))
    except Invalid:
        return await _run(words)


async def _run(words: tuple[str, ...]) -> str:
    try:
        process = await asyncio.create_subprocess_exec(
            "ps",
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as err:
        raise Unavailable(
            f"ps cannot be run on this node: {err.strerror}", hint="install procps there"
        ) from err
    try:
        async with asyncio.timeout(ANSWERED_WITHIN_S):
            printed, said = await process.communicate()
    except TimeoutError:
        raise Unavailable("ps did not answer in time") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode:
        reason = said.decode(errors="replace").strip().split("\n", 1)[0]
        raise Invalid(f"ps: {reason or f'ended with {process.returncode}'}")
    return printed.decode(errors="replace")
