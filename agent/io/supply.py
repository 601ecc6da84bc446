"""Have images where tasks need them.

An image that is here is used as it is: the managers pinned its digest, so there is nothing
newer to look for. One that is not is pulled; tasks that wait for the same image share the
pull, unless their services have other logins.
"""

from collections.abc import Callable, Collection, Iterable
from typing import Protocol

import structlog

from agent.images.image import Image, LayerProgress, Progress, RootFs
from agent.metrics import Metrics
from swarm.errors import Missing, SwarmError
from swarm.images.credentials import Credentials
from swarm.objects import LocalImage


class Store(Protocol):
    """The part of the image store that tasks need."""

    async def rootfs(self, text: str) -> RootFs:
        """What a container of the image mounts; raises `Missing`."""
        ...

    async def pull(
        self,
        reference: str,
        *,
        credentials: Credentials | None,
        progress: Progress,
        insecure_registries: Collection[str],
    ) -> Image:
        """Bring an image from its registry."""
        ...


class Supply:
    """Gives tasks their images. `changed` is told when the node has another image."""

    def __init__(
        self,
        store: Store,
        *,
        insecure_registries: tuple[str, ...],
        changed: Callable[[], None],
        metrics: Metrics,
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._store = store
        self._insecure_registries = insecure_registries
        self._changed = changed
        self._metrics = metrics
        self._log = log

    async def local(self, reference: str) -> RootFs:
        """The image if it is here; raises `Missing`."""
        return await self._store.rootfs(reference)

    async def ready(self, reference: str, login: Credentials | None = None) -> RootFs:
        """The image, pulled when it is not here; raises what the registry answers."""
        try:
            return await self._store.rootfs(reference)
        except Missing:
            await self._pull(reference, login)
            return await self._store.rootfs(reference)

    async def _pull(self, reference: str, login: Credentials | None) -> None:
        self._log.info("image.pulling", image=reference)
        fetched: dict[str, int] = {}

        def progress(notice: LayerProgress) -> None:
            if notice.status == "downloading":
                fetched[notice.layer] = notice.current_bytes

        try:
            await self._store.pull(
                reference,
                credentials=login,
                progress=progress,
                insecure_registries=self._insecure_registries,
            )
        except SwarmError as err:
            self._metrics.pulls.labels("failed").inc()
            self._log.warning("image.not_pulled", image=reference, reason=err.message)
            raise
        self._metrics.pulls.labels("done").inc()
        self._metrics.pulled_bytes.inc(sum(fetched.values()))
        self._log.info("image.pulled", image=reference)
        self._changed()


def vouched(images: Iterable[Image]) -> tuple[LocalImage, ...]:
    """The names that only this node can vouch for, with the digests they mean here."""
    return tuple(
        LocalImage(reference=reference, digest=image.digest)
        for image in images
        if image.local
        for reference in image.references
        if "@" not in reference
    )
