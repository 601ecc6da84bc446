"""Find out what an image's tag means now, so that a service can be stored with its digest.

Nodes that loaded the image know; otherwise its registry is asked. When that cannot answer,
the image may still be on a node from an earlier pull: then the service is stored unpinned,
with a warning, rather than refused because of somebody else's outage.
"""

import asyncio
from pathlib import Path

from manager.control.pinning import AskRegistry, Pinned, pin, pinned
from manager.control.preflights import eligible_nodes, have_image
from manager.io.mirror import Mirror
from manager.io.preflights import Preflights
from swarm.errors import Refused, Unavailable
from swarm.images.credentials import Credentials, parse_registry_auth
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

    async def pinned(self, task: TaskSpec, *, registry_auth: str) -> Pinned:
        """The image of `task` with its digest.

        Raises `Missing` when its registry has no such image, and `Unavailable` or `Refused`
        when it does not say and no node has the image either.
        """
        credentials = parse_registry_auth(registry_auth)
        found = pin(self._mirror.view, task.container.image)
        if isinstance(found, Pinned):
            return found
        return await self._ask(found, task, credentials)

    async def _ask(
        self, question: AskRegistry, task: TaskSpec, credentials: Credentials | None
    ) -> Pinned:
        try:
            digest = await self._resolve(question.reference, credentials)
        except (Unavailable, Refused) as err:
            nodes = eligible_nodes(self._mirror.view, task)
            if not have_image(await self._preflights.ask(nodes, task)):
                raise
            image = task.container.image
            return Pinned(
                image=image,
                warnings=(f"image {image} is not pinned to a digest: {err.message}",),
            )
        return Pinned(image=pinned(question.reference, digest))

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
