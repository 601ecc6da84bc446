"""Find out what an image's tag means now, so that a service can be stored with its digest.

Nodes that loaded the image know; otherwise its registry is asked. A node may say that it
has loaded it while the registry is still thinking: who loads an image and creates a service
in the next second should not wait for an answer from the other side of the world. When the
registry cannot answer, the image may still be on a node from an earlier pull: then the
service is stored unpinned, with a warning, rather than refused because of somebody else's
outage.
"""

import asyncio
from pathlib import Path
from typing import Any

from manager.applied import Applied
from manager.control.pinning import AskRegistry, Pinned, pin, pinned
from manager.control.preflights import eligible_nodes, have_image
from manager.io.mirror import Mirror
from manager.io.preflights import Preflights
from swarm.errors import Refused, Unavailable
from swarm.images.credentials import Credentials
from swarm.images.reference import Reference
from swarm.specs import TaskSpec

ANSWERED_WITHIN_S = 20.0


class Images:
    """Pins images. `insecure` and `ca_dir` are as in `swarm.io.registry.Registry`."""

    def __init__(
        self,
        mirror: Mirror,
        preflights: Preflights,
        *,
        insecure: tuple[str, ...],
        ca_dir: Path | None,
    ) -> None:
        self._mirror = mirror
        self._preflights = preflights
        self._insecure = insecure
        self._ca_dir = ca_dir
        self._stirred = asyncio.Event()
        mirror.listen(self._changed)

    async def pinned(self, task: TaskSpec, *, credentials: Credentials | None) -> Pinned:
        """The image of `task` with its digest.

        Raises `Missing` when its registry has no such image, and `Unavailable` or `Refused`
        when it does not say and no node has the image either.
        """
        found = pin(self._mirror.view, task.container.image)
        if isinstance(found, Pinned):
            return found
        return await self._ask(found, task, credentials)

    async def _ask(
        self, question: AskRegistry, task: TaskSpec, credentials: Credentials | None
    ) -> Pinned:
        resolving = asyncio.ensure_future(self._resolve(question.reference, credentials))
        try:
            while not resolving.done():
                found = pin(self._mirror.view, task.container.image)
                if isinstance(found, Pinned):
                    return found
                await self._either(resolving)
            return Pinned(image=pinned(question.reference, resolving.result()))
        except (Unavailable, Refused) as err:
            nodes = eligible_nodes(self._mirror.view, task)
            if not have_image(await self._preflights.ask(nodes, task)):
                raise
            image = task.container.image
            return Pinned(
                image=image,
                warnings=(f"image {image} is not pinned to a digest: {err.message}",),
            )
        finally:
            resolving.cancel()

    async def _either(self, resolving: "asyncio.Future[str]") -> None:
        """Wait for the registry, or for anything that a node has to say."""
        stirred = asyncio.ensure_future(self._stirred.wait())
        try:
            either: set[asyncio.Future[Any]] = {resolving, stirred}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stirred.cancel()

    def _changed(self, applied: Applied) -> None:
        self._stirred.set()
        self._stirred = asyncio.Event()

    async def _resolve(self, reference: Reference, credentials: Credentials | None) -> str:
        # Most services run what was loaded, or are pinned already: no registry, no HTTP client.
        from swarm.io.registry import Registry

        registry = Registry(insecure=self._insecure, ca_dir=self._ca_dir)
        try:
            async with asyncio.timeout(ANSWERED_WITHIN_S), registry:
                return await registry.resolve(reference, credentials=credentials)
        except TimeoutError as err:
            raise Unavailable(
                f"registry {reference.registry} did not answer within {ANSWERED_WITHIN_S:g} s",
                hint="check the registry, or give --no-resolve-image",
            ) from err
