"""Keep the images of one node.

The front of everything in this folder: names and errors are those of the API, the work is
done elsewhere. `uses` and ids `in_use` are of images that containers use or are about to use.
"""

import asyncio
import platform as machine
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from agent.images import index as images
from agent.images.image import (
    Image,
    Inspected,
    LayerProgress,
    Progress,
    PushProgress,
    RootFs,
    UnpackedLayer,
)
from agent.images.index import Index
from agent.images.io import distribution, loading, saving
from agent.images.io.building import Building
from agent.images.io.content import Content
from agent.images.io.distribution import Distribution
from agent.images.io.locks import Flights
from agent.images.io.pulling import Pull, Source
from agent.images.io.pushing import Push, Pushed
from agent.images.removal import Removal, Use, forget, layers_gone, prune, remove
from swarm.errors import Invalid, SwarmError
from swarm.images.config import parse_config
from swarm.images.credentials import Credentials
from swarm.images.endpoint import registry_of
from swarm.images.platform import Platform, platform_of
from swarm.images.reference import parse_reference
from swarm.io.registry import Registry
from swarm.io.uploading import Target, Uploads

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
        self._labels: dict[str, dict[str, str]] = {}
        self._pulls: Flights[_Key, str, LayerProgress] = Flights(lambda notice: notice.layer)

    async def load(self, chunks: AsyncIterator[bytes]) -> tuple[str, ...]:
        """Take in all images of a docker-archive or OCI layout, plain, gzip or zstd.

        Gives their familiar names, or the id of one that has none. `Invalid` for anything else,
        `KernelRefused` when the disk is full; then nothing of it stays.
        """
        return await loading.load(self._content, chunks, self._platform, now=self._clock())

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

    def building(self) -> Building:
        """What whoever makes images needs."""
        return Building(self._content)

    def list(self) -> tuple[Image, ...]:
        """All images, the youngest first; not those that stay for containers alone."""
        here = self._content.index.images
        found = [record.to_image() for record in here if not record.is_removed]
        return tuple(sorted(found, key=lambda image: (-image.created_at, image.id, image.digest)))

    def inspect(self, text: str) -> Inspected:
        """The image that a name, a digest or the start of an id means; else `Missing`."""
        record = images.find(self._content.index, text)
        config_json = self._content.blobs.read(record.id)
        marks = ((diff_id, self._content.layers.mark(diff_id)) for diff_id in record.diff_ids)
        return Inspected(
            image=record.to_image(),
            config=parse_config(config_json),
            config_json=config_json,
            manifest_json=self._content.blobs.read(record.manifest),
            layers=tuple(
                UnpackedLayer(
                    diff_id=diff_id,
                    directory=self._content.layers.tree(diff_id),
                    size_bytes=mark.size_bytes if mark else 0,
                )
                for diff_id, mark in marks
            ),
        )

    def labels(self, image: Image) -> dict[str, str]:
        """The labels of an image that `list` gave; none of one that is gone."""
        if image.id not in self._labels:
            try:
                body = self._content.blobs.read(image.id)
            except SwarmError:
                return {}
            self._labels[image.id] = parse_config(body).labels
        return self._labels[image.id]

    async def remove(
        self,
        text: str,
        *,
        force: bool = False,
        uses: Collection[Use] = (),
        keep_parents: bool = False,
    ) -> Removal:
        """Take a name away, and with the last one the image; see `agent.images.removal`."""
        removal, _ = await self._take(
            partial(remove, text=text, force=force, uses=uses, keep_parents=keep_parents), uses
        )
        return removal

    async def prune(self, texts: Collection[str], *, uses: Collection[Use]) -> tuple[Removal, int]:
        """Remove those images of `texts` that nobody needs; gives the bytes that were freed."""
        return await self._take(partial(prune, texts=texts, uses=uses), uses)

    @property
    def has_removed(self) -> bool:
        """Whether an image stays for the containers alone that were made from it."""
        return any(record.is_removed for record in self._content.index.images)

    async def forget(self, uses: Collection[Use]) -> int:
        """Delete such images as far as no container needs them any more; gives bytes."""
        _, freed = await self._take(lambda index: (index, Removal()), uses)
        return freed

    async def _take(
        self, take: Callable[[Index], tuple[Index, Removal]], uses: Collection[Use]
    ) -> tuple[Removal, int]:
        removal = Removal()

        def change(index: Index) -> Index:
            nonlocal removal
            changed, removal = take(index)
            return forget(changed, uses)

        before = self._content.index
        await self._content.commit(change)
        if len(self._content.index.images) == len(before.images):
            return removal, 0
        for image_id in removal.deleted:
            self._labels.pop(image_id, None)
        removal = replace(removal, layers=layers_gone(before, self._content.index))
        return removal, await self._content.sweep_unreferenced()

    async def push(
        self,
        reference: str,
        *,
        credentials: Credentials | None = None,
        progress: Callable[[PushProgress], None] = lambda _: None,
        insecure_registries: Collection[str] = (),
    ) -> Pushed:
        """Bring the image that is called `reference` to its registry.

        `Missing` when nothing is called so; `Refused` and `Unavailable` speak of the registry.
        """
        wanted = parse_reference(reference).with_default_tag()
        if wanted.digest:
            raise Invalid(
                f"cannot push a digest reference: {reference}", hint="push one of its tags"
            )
        async with Registry(insecure=insecure_registries, ca_dir=self._ca_dir) as registry:
            uploads = Uploads(registry.session, Target(wanted, credentials))
            return await Push(self._content, uploads, wanted, progress=progress).run()

    def save(self, texts: Collection[str]) -> AsyncGenerator[bytes]:
        """An archive of images, by name or id, that Docker and the tools of the OCI read."""
        return saving.save(self._content, texts)

    async def inspect_distribution(
        self,
        reference: str,
        *,
        credentials: Credentials | None = None,
        insecure_registries: Collection[str] = (),
    ) -> Distribution:
        """What a name means at its registry; nothing is brought here."""
        wanted = parse_reference(reference).with_default_tag()
        async with Registry(insecure=insecure_registries, ca_dir=self._ca_dir) as registry:
            return await distribution.inspect(registry, wanted, credentials)

    async def list_tags(
        self,
        reference: str,
        *,
        credentials: Credentials | None = None,
        insecure_registries: Collection[str] = (),
    ) -> tuple[str, ...]:
        """What tags a repository has at its registry."""
        async with Registry(insecure=insecure_registries, ca_dir=self._ca_dir) as registry:
            return await registry.tags(parse_reference(reference), credentials=credentials)

    async def check_credentials(
        self,
        registry: str,
        *,
        credentials: Credentials | None,
        insecure_registries: Collection[str] = (),
    ) -> None:
        """Have a registry judge a name and a password; raises `Refused`."""
        async with Registry(insecure=insecure_registries, ca_dir=self._ca_dir) as asked:
            await asked.check(registry_of(registry), credentials=credentials)

    async def tag(self, source: str, target: str) -> None:
        """Give the image `source` the further name `target`, which moves if it was taken."""
        wanted = parse_reference(target)
        if wanted.digest:
            raise Invalid(
                f"tag {target!r}: a digest cannot be given to an image",
                hint="write it as NAME[:TAG]",
            )
        name = str(wanted.with_default_tag())
        now = self._clock()
        await self._content.commit(lambda index: images.tag(index, source, name, now=now))

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
                    now=self._clock(),
                ).run()

        digest = await self._pulls.join((str(wanted), credentials, insecure), work, progress)
        return images.find(self._content.index, digest).to_image()

    async def rootfs(self, text: str) -> RootFs:
        """What a container of the image `text` mounts and how it wants to run.

        `NAME@DIGEST` means the digest alone. Answers from memory once it was asked; `Missing`
        when the image is not on this node.
        """
        return await self._content.rootfs(text, images.find_used)

    async def collect(self, in_use: Collection[str]) -> int:
        """Delete nameless images that are not `in_use` and what nothing needs; gives bytes."""
        return await self._content.sweep(in_use, abandoned_before=self._clock() - _ABANDONED_S)
