"""Keep the images of one node.

The front of everything in this folder: names and errors are those of the API, the work is
done elsewhere. Ids in `in_use` are of images that tasks use or are about to use; they survive
removal and collection.
"""

import asyncio
import platform as machine
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from pathlib import Path

from agent.images import index as images
from agent.images.answers import Collecting
from agent.images.differences import Change
from agent.images.image import Image, Inspected, LayerProgress, Progress, RootFs
from agent.images.index import Index
from agent.images.io import loading, workers
from agent.images.io.content import Content
from agent.images.io.locks import Flights
from agent.images.io.making import Making
from agent.images.io.pulling import Pull, Source
from agent.images.removal import Removal, remove
from swarm.errors import Invalid
from swarm.images.config import parse_config
from swarm.images.credentials import Credentials
from swarm.images.platform import Platform, platform_of
from swarm.images.reference import parse_reference
from swarm.io.registry import Registry

_PARALLEL_DOWNLOADS = 3
_ABANDONED_S = 24 * 3600.0

_Key = tuple[str, Credentials | None, tuple[str, ...]]


class ImageStore:
    """The images below `root`, which belongs to this object alone.

    `platform` is what images must run on, this machine unless given; certificates in `ca_dir`
    vouch for registries besides the system's; `clock` gives seconds since the epoch.
    """

    def __init__(
        self,
        root: Path,
        *,
        platform: Platform | None = None,
        ca_dir: Path | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._content = Content(root)
        self._platform = platform or platform_of(machine.machine())
        self._ca_dir = ca_dir
        self._clock = clock
        self._turns = asyncio.Semaphore(_PARALLEL_DOWNLOADS)
        self._pulls: Flights[_Key, str, LayerProgress] = Flights(lambda notice: notice.layer)

    async def load(self, chunks: AsyncIterator[bytes]) -> tuple[str, ...]:
        """Take in all images of a docker-archive or OCI layout, plain, gzip or zstd.

        Gives their familiar names, or the id of one that has none. `Invalid` for anything else,
        `KernelRefused` when the disk is full; then nothing of it stays.
        """
        return await loading.load(self._content, chunks, self._platform)

    async def import_rootfs(
        self,
        chunks: AsyncIterator[bytes],
        *,
        reference: str = "",
        changes: tuple[str, ...] = (),
        message: str = "",
        architecture: str = "",
    ) -> str:
        """Make an image of a tar of a root file system; gives its id.

        `changes` are Dockerfile instructions such as `CMD ["sh"]`.
        """
        platform = Platform("linux", architecture) if architecture else self._platform
        return await loading.import_rootfs(
            self._content,
            chunks,
            reference=reference,
            changes=changes,
            message=message,
            platform=platform,
            now=self._clock(),
        )

    @asynccontextmanager
    async def making(self) -> AsyncGenerator[Making]:
        """Make layers and images in the block; what no image lists at its end is deleted."""
        async with self._content.holding() as hold:
            yield Making(self._content, hold, now=self._clock())

    async def compare(self, asked: Collecting) -> tuple[Change, ...]:
        """What a directory that overlayfs wrote to changes of those below it."""
        return await workers.compare(asked)

    def list(self) -> tuple[Image, ...]:
        """All images, the youngest first."""
        found = [record.to_image() for record in self._content.index.images]
        return tuple(sorted(found, key=lambda image: (-image.created_at, image.id, image.digest)))

    def inspect(self, text: str) -> Inspected:
        """The image that a name, a digest or the start of an id means; else `Missing`."""
        record = images.find(self._content.index, text)
        config_json = self._content.blobs.read(record.id)
        return Inspected(
            image=record.to_image(),
            config=parse_config(config_json),
            config_json=config_json,
            manifest_json=self._content.blobs.read(record.manifest),
        )

    async def remove(
        self, text: str, *, force: bool = False, in_use: frozenset[str] = frozenset()
    ) -> Removal:
        """Take a name away, and with the last tag the image; see `agent.images.removal`."""
        removal = Removal()

        def change(index: Index) -> Index:
            nonlocal removal
            changed, removal = remove(index, text, force=force, in_use=in_use)
            return changed

        await self._content.commit(change)
        if removal.deleted:
            await self._content.sweep_unreferenced()
        return removal

    async def tag(self, source: str, target: str) -> None:
        """Give the image `source` the further name `target`, which moves if it was taken."""
        wanted = parse_reference(target)
        if wanted.digest:
            raise Invalid(
                f"tag {target!r}: a digest cannot be given to an image",
                hint="write it as NAME[:TAG]",
            )
        name = str(wanted.with_default_tag())
        await self._content.commit(lambda index: images.tag(index, source, name))

    async def pull(
        self,
        reference: str,
        *,
        credentials: Credentials | None = None,
        progress: Progress = lambda _: None,
        insecure_registries: Collection[str] = (),
    ) -> Image:
        """Bring an image from its registry, or what is missing of it.

        Callers that want the same image share one pull. `Missing`, `Refused` and `Unavailable`
        speak of the registry, `Invalid` of damaged content, `KernelRefused` of our disk; after
        `Unavailable` the next pull goes on where this one stopped.
        """
        wanted = parse_reference(reference).with_default_tag()
        insecure = tuple(sorted(insecure_registries))

        async def work(publish: Progress) -> str:
            async with Registry(insecure=insecure, ca_dir=self._ca_dir) as registry:
                return await Pull(
                    self._content,
                    Source(registry, wanted, credentials),
                    platform=self._platform,
                    turns=self._turns,
                    progress=publish,
                ).run()

        digest = await self._pulls.join((str(wanted), credentials, insecure), work, progress)
        return images.find(self._content.index, digest).to_image()

    async def rootfs(self, text: str) -> RootFs:
        """What a container of the image `text` mounts and how it wants to run.

        `NAME@DIGEST` means the digest alone. Answers from memory once it was asked; `Missing`
        when the image is not on this node.
        """
        return await self._content.rootfs(text, images.find)

    async def collect(self, in_use: Collection[str]) -> int:
        """Delete nameless images that are not `in_use` and what nothing needs; gives bytes."""
        return await self._content.sweep(in_use, abandoned_before=self._clock() - _ABANDONED_S)
