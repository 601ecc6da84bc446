"""Serve this node's images to swarmctl, on a socket that only root can open.

swarmd passes the calls on. What tasks of this node use is protected; what is loaded here is
told to the managers, who pin services to it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from agent.images.image import Image, LayerProgress
from agent.images.io.store import ImageStore
from swarm.api.v1 import images_pb2 as pb
from swarm.api.v1 import images_pb2_grpc
from swarm.errors import Invalid
from swarm.images.credentials import parse_registry_auth
from swarm.io.rpc import Context

InUse = Callable[[], Awaitable[frozenset[str]]]
L = TypeVar("L", pb.LoadImageRequest, pb.ImportImageRequest)


class ImagesService(images_pb2_grpc.ImagesServicer):
    """The Images service over one store. `in_use` gives the ids of images that tasks need."""

    def __init__(
        self,
        store: ImageStore,
        *,
        insecure_registries: tuple[str, ...],
        in_use: InUse,
        changed: Callable[[], None],
    ) -> None:
        self._store = store
        self._insecure_registries = insecure_registries
        self._in_use = in_use
        self._changed = changed

    async def LoadImage(
        self, request_iterator: AsyncIterator[pb.LoadImageRequest], context: Context
    ) -> pb.LoadImageResponse:
        names = await self._store.load(_chunks(request_iterator))
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
            yield pb.PullImageResponse(image=_shown(await pulling))
        finally:
            pulling.cancel()

    async def ListImages(
        self, request: pb.ListImagesRequest, context: Context
    ) -> pb.ListImagesResponse:
        return pb.ListImagesResponse(images=[_shown(each) for each in self._store.list()])

    async def InspectImage(
        self, request: pb.InspectImageRequest, context: Context
    ) -> pb.InspectImageResponse:
        found = self._store.inspect(request.name)
        return pb.InspectImageResponse(
            image=_shown(found.image),
            config_json=found.config_json,
            manifest_json=found.manifest_json,
        )

    async def RemoveImage(
        self, request: pb.RemoveImageRequest, context: Context
    ) -> pb.RemoveImageResponse:
        removal = await self._store.remove(
            request.name, force=request.force, in_use=await self._in_use()
        )
        self._changed()
        return pb.RemoveImageResponse(untagged=removal.untagged, deleted=removal.deleted)

    async def TagImage(self, request: pb.TagImageRequest, context: Context) -> pb.TagImageResponse:
        await self._store.tag(request.source, request.target)
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
        self._changed()
        return image


async def _chunks(requests: AsyncIterator[L], first: L | None = None) -> AsyncIterator[bytes]:
    if first is not None and first.chunk:
        yield first.chunk
    async for request in requests:
        if request.chunk:
            yield request.chunk


def _shown(image: Image) -> pb.Image:
    return pb.Image(
        id=image.id,
        digest=image.digest,
        references=image.references,
        created_at=image.created_at,
        size_bytes=image.size_bytes,
        local=image.local,
    )
