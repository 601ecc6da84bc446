"""Serve this node's images to swarmctl, on a socket that only root can open.

swarmd passes the calls on. What tasks of this node use is protected; what is loaded here is
told to the managers, who pin services to it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from typing import TypeVar

from agent.images.image import Image, LayerProgress, PushProgress
from agent.images.io.pushing import Pushed
from agent.images.io.store import ImageStore
from agent.images.removal import Removal, Use
from swarm.api.v1 import images_pb2 as pb
from swarm.api.v1 import images_pb2_grpc
from swarm.errors import Invalid, SwarmError
from swarm.images.credentials import parse_registry_auth
from swarm.images.reference import parse_reference
from swarm.io.rpc import Context

Tell = Callable[[str, str, str, Mapping[str, str]], None]
Uses = Callable[[], Awaitable[tuple[Use, ...]]]
L = TypeVar("L", pb.LoadImageRequest, pb.ImportImageRequest)


def _nobody(kind: str, action: str, subject: str, attributes: Mapping[str, str]) -> None:
    """Listens."""


class ImagesService(images_pb2_grpc.ImagesServicer):
    """The Images service over one store. `uses` gives the images that containers need.

    `changed` hears that there are other images or names; `tell` hears what was done, as Docker
    tells of it.
    """

    def __init__(
        self,
        store: ImageStore,
        *,
        insecure_registries: tuple[str, ...],
        uses: Uses,
        changed: Callable[[], None],
        tell: Tell = _nobody,
    ) -> None:
        self._store = store
        self._insecure_registries = insecure_registries
        self._uses = uses
        self._changed = changed
        self._journal = tell

    async def LoadImage(
        self, request_iterator: AsyncIterator[pb.LoadImageRequest], context: Context
    ) -> pb.LoadImageResponse:
        names = await self._store.load(_chunks(request_iterator))
        for name in names:
            self._tell("load", name)
        self._changed()
        return pb.LoadImageResponse(references=names)

    async def ImportImage(
        self, request_iterator: AsyncIterator[pb.ImportImageRequest], context: Context
    ) -> pb.ImportImageResponse:
        first = await anext(aiter(request_iterator), None)
        if first is None:
            raise Invalid("nothing to import", hint="send the tar of a root file system")
        image_id = await self._store.import_rootfs(
            _chunks(request_iterator, first),
            reference=first.reference,
            changes=tuple(first.changes),
            message=first.message,
        )
        if first.reference:
            tell_of_name(self._store, self._journal, first.reference)
        self._tell("import", image_id)
        self._changed()
        return pb.ImportImageResponse(id=image_id)

    async def PullImage(
        self, request: pb.PullImageRequest, context: Context
    ) -> AsyncIterator[pb.PullImageResponse]:
        notices: asyncio.Queue[LayerProgress | None] = asyncio.Queue()
        pulling = asyncio.create_task(self._pull(request, notices))
        try:
            while (notice := await notices.get()) is not None:
                yield pb.PullImageResponse(
                    layer=notice.layer,
                    status=notice.status,
                    current_bytes=notice.current_bytes,
                    total_bytes=notice.total_bytes,
                )
            yield pb.PullImageResponse(image=self._shown(await pulling))
        finally:
            pulling.cancel()

    async def ListImages(
        self, request: pb.ListImagesRequest, context: Context
    ) -> pb.ListImagesResponse:
        return pb.ListImagesResponse(images=[self._shown(each) for each in self._store.list()])

    async def InspectImage(
        self, request: pb.InspectImageRequest, context: Context
    ) -> pb.InspectImageResponse:
        found = self._store.inspect(request.name)
        return pb.InspectImageResponse(
            image=self._shown(found.image),
            config_json=found.config_json,
            manifest_json=found.manifest_json,
            layer_bytes=[layer.size_bytes for layer in found.layers],
            layer_directories=[str(layer.directory) for layer in found.layers],
            tagged_at=found.image.tagged_at,
        )

    async def RemoveImage(
        self, request: pb.RemoveImageRequest, context: Context
    ) -> pb.RemoveImageResponse:
        image = self._store.inspect(request.name).image
        told = {**self._store.labels(image), "name": image.id}
        removal = await self._store.remove(
            request.name,
            force=request.force,
            uses=await self._uses(),
            keep_parents=request.keep_parents,
        )
        is_id = image.id[7:].startswith(request.name.removeprefix("sha256:"))
        for _ in removal.untagged if is_id else removal.untagged[:1]:  # a tag takes its digests
            self._journal("image", "untag", image.id, told)
        self._tell_of_deletions(removal)
        self._changed()
        return pb.RemoveImageResponse(
            untagged=removal.untagged, deleted=(*removal.deleted, *removal.layers)
        )

    async def PruneImages(
        self, request: pb.PruneImagesRequest, context: Context
    ) -> pb.PruneImagesResponse:
        named = {name: image for image in self._store.list() for name in image.references}
        labels = {image.id: self._store.labels(image) for image in named.values()}
        removal, freed = await self._store.prune(request.names, uses=await self._uses())
        tags = [each for each in removal.untagged if "@" not in each] or removal.untagged
        for image in (named[each] for each in tags if each in named):
            self._journal("image", "untag", image.id, {**labels[image.id], "name": image.id})
        self._tell_of_deletions(removal)
        self._journal("image", "prune", "", {"reclaimed": str(freed)})
        self._changed()
        return pb.PruneImagesResponse(
            untagged=removal.untagged,
            deleted=(*removal.deleted, *removal.layers),
            reclaimed_bytes=freed,
        )

    async def PushImage(
        self, request: pb.PushImageRequest, context: Context
    ) -> AsyncIterator[pb.PushImageResponse]:
        notices: asyncio.Queue[PushProgress | None] = asyncio.Queue()
        pushing = asyncio.create_task(self._push(request, notices))
        try:
            while (notice := await notices.get()) is not None:
                yield pb.PushImageResponse(
                    layer=notice.layer,
                    status=notice.status,
                    current_bytes=notice.current_bytes,
                    total_bytes=notice.total_bytes,
                    origin=notice.origin,
                )
            pushed = await pushing
            yield pb.PushImageResponse(digest=pushed.digest, total_bytes=pushed.size)
        finally:
            pushing.cancel()

    async def SaveImages(
        self, request: pb.SaveImagesRequest, context: Context
    ) -> AsyncIterator[pb.SaveImagesResponse]:
        async with aclosing(self._store.save(request.names)) as chunks:
            async for chunk in chunks:
                yield pb.SaveImagesResponse(chunk=chunk)
        for name in request.names:
            self._tell("save", name)

    async def InspectDistribution(
        self, request: pb.InspectDistributionRequest, context: Context
    ) -> pb.InspectDistributionResponse:
        found = await self._store.inspect_distribution(
            request.reference,
            credentials=parse_registry_auth(request.registry_auth),
            insecure_registries=self._insecure_registries,
        )
        return pb.InspectDistributionResponse(
            media_type=found.media_type,
            digest=found.digest,
            size_bytes=found.size,
            platforms=[
                pb.DistributionPlatform(
                    os=each.os, architecture=each.architecture, variant=each.variant
                )
                for each in found.platforms
            ],
        )

    async def ListTags(self, request: pb.ListTagsRequest, context: Context) -> pb.ListTagsResponse:
        tags = await self._store.list_tags(
            request.reference,
            credentials=parse_registry_auth(request.registry_auth),
            insecure_registries=self._insecure_registries,
        )
        return pb.ListTagsResponse(tags=tags)

    async def CheckCredentials(
        self, request: pb.CheckCredentialsRequest, context: Context
    ) -> pb.CheckCredentialsResponse:
        await self._store.check_credentials(
            request.registry,
            credentials=parse_registry_auth(request.registry_auth),
            insecure_registries=self._insecure_registries,
        )
        return pb.CheckCredentialsResponse()

    async def TagImage(self, request: pb.TagImageRequest, context: Context) -> pb.TagImageResponse:
        await self._store.tag(request.source, request.target)
        tell_of_name(self._store, self._journal, request.target)
        self._changed()
        return pb.TagImageResponse()

    async def _pull(
        self, request: pb.PullImageRequest, notices: asyncio.Queue[LayerProgress | None]
    ) -> Image:
        try:
            image = await self._store.pull(
                request.reference,
                credentials=parse_registry_auth(request.registry_auth),
                progress=notices.put_nowait,
                insecure_registries=self._insecure_registries,
            )
        finally:
            notices.put_nowait(None)
        self._moved("pull", request.reference)
        self._changed()
        return image

    async def _push(
        self, request: pb.PushImageRequest, notices: asyncio.Queue[PushProgress | None]
    ) -> Pushed:
        try:
            pushed = await self._store.push(
                request.reference,
                credentials=parse_registry_auth(request.registry_auth),
                progress=notices.put_nowait,
                insecure_registries=self._insecure_registries,
            )
        finally:
            notices.put_nowait(None)
        self._moved("push", request.reference)
        self._changed()
        return pushed

    def _tell(self, action: str, text: str) -> None:
        """Something was done to the image that `text` means, which is told by its id."""
        with suppress(SwarmError):  # it may be gone again
            image = self._store.inspect(text).image
            told = {**self._store.labels(image), "name": image.id}
            self._journal("image", action, image.id, told)

    def _tell_of_deletions(self, removal: Removal) -> None:
        for gone in removal.deleted:
            self._journal("image", "delete", gone, {"name": gone})

    def _moved(self, action: str, text: str) -> None:
        """It came from a registry, or went there: it is told by its name."""
        reference = parse_reference(text).with_default_tag()
        told = {"name": reference.familiar_name}
        with suppress(SwarmError):
            told = {**self._store.labels(self._store.inspect(text).image), **told}
        self._journal("image", action, reference.familiar, told)

    def _shown(self, image: Image) -> pb.Image:
        return pb.Image(
            id=image.id,
            digest=image.digest,
            references=image.references,
            created_at=image.created_at,
            size_bytes=image.size_bytes,
            local=image.local,
            parent_id=image.parent,
            labels=self._store.labels(image),
            tagged_at=image.tagged_at,
        )


def tell_of_name(store: ImageStore, tell: Tell, text: str) -> None:
    """An image has just got the name `text`."""
    with suppress(SwarmError):  # it may be gone again
        image = store.inspect(text).image
        familiar = parse_reference(text).with_default_tag().familiar
        tell("image", "tag", image.id, {**store.labels(image), "name": familiar})


async def _chunks(requests: AsyncIterator[L], first: L | None = None) -> AsyncIterator[bytes]:
    if first is not None and first.chunk:
        yield first.chunk
    async for request in requests:
        if request.chunk:
            yield request.chunk
