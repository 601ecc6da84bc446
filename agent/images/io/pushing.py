"""Bring an image to a registry, layer by layer.

A layer is looked for in the repository first, then in others of the same registry, and only
then sent. One that is to be compressed is written to a file for that, and how it came out is
remembered with the layer: the next push need not compress it to know that it is there.
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path

from msgspec import Struct

from agent.images.image import PushProgress, PushStatus
from agent.images.index import Record
from agent.images.io import workers
from agent.images.io.content import Content, Hold
from agent.images.io.disk import failing
from agent.images.io.locks import together
from agent.images.shipping import (
    Elsewhere,
    compressed,
    is_to_compress,
    origins,
    pushed,
    remembered,
    with_layers,
)
from swarm.errors import Invalid, Missing
from swarm.images.digest import digest_of
from swarm.images.manifest import OCI_MANIFEST, Descriptor, Manifest, parse_document
from swarm.images.reference import Reference
from swarm.io.uploading import Source, Uploads

_PARALLEL_UPLOADS = 4
_READ_BYTES = 1 << 20


class Pushed(Struct, frozen=True, kw_only=True):
    """What the registry has now."""

    digest: str
    size: int


class Push:
    """One image on its way out. `uploads` goes to the repository of `reference`."""

    def __init__(
        self,
        content: Content,
        uploads: Uploads,
        reference: Reference,
        *,
        progress: Callable[[PushProgress], None],
    ) -> None:
        self._content = content
        self._uploads = uploads
        self._reference = reference
        self._progress = progress
        self._turns = asyncio.Semaphore(_PARALLEL_UPLOADS)

    async def run(self) -> Pushed:
        """Send the image that the reference means here, and everything it needs."""
        async with self._content.holding() as hold:
            record = self._found(hold)
            body = self._content.blobs.read(record.manifest)
            manifest = parse_document(body, what=self._reference.familiar)
            assert isinstance(manifest, Manifest)
            sent: dict[str, Descriptor] = {}
            wanted = dict(zip(record.diff_ids, manifest.layers, strict=True))
            for diff_id in wanted:
                self._tell(diff_id, "preparing", 0, 0)
            await together(
                self._layer(record, diff_id, layer, sent) for diff_id, layer in wanted.items()
            )
            config = self._content.blobs.path(manifest.config.digest)
            if not await self._uploads.has(manifest.config.digest):
                await self._uploads.send(manifest.config, _file(config), lambda _: None)
            body = with_layers(body, tuple(sent[diff_id] for diff_id in record.diff_ids))
            media_type = manifest.media_type or OCI_MANIFEST
            await self._uploads.put_manifest(self._reference.tag, body, media_type)
            digest = digest_of(body)
            name = str(self._reference)
            await self._content.commit(lambda index: pushed(index, record.digest, name, digest))
            return Pushed(digest=digest, size=len(body))

    def _found(self, hold: Hold) -> Record:
        name = str(self._reference)
        for record in self._content.index.images:
            if name in record.names:
                hold.take(*record.blobs, *record.diff_ids)
                return record
        raise Missing(
            f"An image does not exist locally with the tag: {self._reference.familiar_name}",
            hint="tag an image with this name first",
        )

    async def _layer(
        self, record: Record, diff_id: str, layer: Descriptor, sent: dict[str, Descriptor]
    ) -> None:
        if self._turns.locked():
            self._tell(diff_id, "waiting", 0, 0)
        async with self._turns:
            if not is_to_compress(record, layer):
                if not await self._is_there(diff_id, layer, ()):
                    await self._send(diff_id, layer, self._blob(record, layer))
                sent[diff_id] = layer
                return
            known = self._content.layers.elsewhere(diff_id)
            for each in known:
                if await self._is_there(diff_id, each.descriptor, known):
                    sent[diff_id] = each.descriptor
                    break
            else:
                sent[diff_id] = await self._compress_and_send(diff_id, layer)
            self._remember(diff_id, sent[diff_id])

    async def _is_there(
        self, diff_id: str, layer: Descriptor, known: tuple[Elsewhere, ...]
    ) -> bool:
        if await self._uploads.has(layer.digest):
            self._tell(diff_id, "exists", layer.size, layer.size)
            return True
        for origin in origins(self._content.index, layer.digest, self._reference, known):
            if await self._uploads.mount(layer.digest, origin):
                self._tell(diff_id, "mounted", layer.size, layer.size, origin)
                return True
        return False

    async def _compress_and_send(self, diff_id: str, layer: Descriptor) -> Descriptor:
        blobs, path = self._content.blobs, self._content.temporary / f"blob-{secrets.token_hex(8)}"
        source = blobs.path(layer.digest)
        if not blobs.has(layer.digest):
            source = self._content.layers.tree(diff_id)
        try:
            made = await workers.compress(source, path)
            squeezed = compressed(made.digest, made.size)
            if not await self._is_there(diff_id, squeezed, ()):
                await self._send(diff_id, squeezed, path)
        finally:
            with failing("delete blob", path):
                path.unlink(missing_ok=True)
        return squeezed

    async def _send(self, diff_id: str, layer: Descriptor, path: Path) -> None:
        self._tell(diff_id, "pushing", 0, layer.size)
        await self._uploads.send(
            layer, _file(path), lambda done: self._tell(diff_id, "pushing", done, layer.size)
        )
        self._tell(diff_id, "pushed", layer.size, layer.size)

    def _blob(self, record: Record, layer: Descriptor) -> Path:
        if not self._content.blobs.has(layer.digest):
            raise Invalid(
                f"image {record.id} has lost blob {layer.digest}", hint="remove and pull it again"
            )
        return self._content.blobs.path(layer.digest)

    def _remember(self, diff_id: str, sent: Descriptor) -> None:
        layers = self._content.layers
        known = remembered(layers.elsewhere(diff_id), sent.digest, sent.size, self._reference.name)
        layers.remember(diff_id, known)

    def _tell(
        self, diff_id: str, status: PushStatus, position: int, total: int, origin: str = ""
    ) -> None:
        self._progress(
            PushProgress(
                layer=diff_id,
                status=status,
                current_bytes=position,
                total_bytes=total,
                origin=origin,
            )
        )


def _file(path: Path) -> Source:
    async def read(position: int) -> AsyncGenerator[bytes]:
        with failing("read blob", path), path.open("rb", buffering=0) as file:
            file.seek(position)
            while chunk := await asyncio.to_thread(file.read, _READ_BYTES):
                yield chunk

    def source(position: int) -> AsyncIterator[bytes]:
        return read(position)

    return source
