"""Bring an image from its registry, layer by layer.

Layers are downloaded and unpacked side by side, each as soon as it can be. What arrives goes
to disk as it comes, so that a pull that was cut off, by the network or by a kill, goes on from
there; only a blob whose digest is right gets its name.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from pathlib import Path

from msgspec import Struct, structs

from agent.images.archive import check_config
from agent.images.image import LayerProgress, LayerStatus, Progress
from agent.images.index import Record, name_of, put
from agent.images.io.content import Content, Hold
from agent.images.io.disk import failing, is_full
from agent.images.io.locks import together
from swarm.errors import Invalid, Unavailable
from swarm.images.config import ImageConfig
from swarm.images.credentials import Credentials
from swarm.images.manifest import Descriptor, Index, Manifest, choose, parse_document
from swarm.images.platform import Platform
from swarm.images.reference import Reference
from swarm.io.registry import Document, Hash, Registry

_WRITE_BYTES = 1 << 20


class Source(Struct, frozen=True):
    """Where one pull gets its content from."""

    registry: Registry
    reference: Reference
    credentials: Credentials | None

    async def document(self, digest: str = "") -> Document:
        """The manifest of the reference, or the one of its repository with `digest`."""
        reference = self.reference.with_digest(digest) if digest else self.reference
        return await self.registry.manifest(reference, credentials=self.credentials)


class Pull:
    """One image on its way in."""

    def __init__(
        self,
        content: Content,
        source: Source,
        *,
        platform: Platform,
        turns: asyncio.Semaphore,
        progress: Progress,
        now: float,
    ) -> None:
        self._content = content
        self._source = source
        self._platform = platform
        self._turns = turns
        self._progress = progress
        self._now = now

    async def run(self) -> str:
        """Bring the image and everything it needs; gives its digest."""
        reference = self._source.reference
        async with self._content.holding(keep=(Unavailable, asyncio.CancelledError)) as hold:
            document = None if reference.digest else await self._source.document()
            digest = document.digest if document else reference.digest
            if known := self._known(hold, digest):
                await self._finish(known, digest)
                return digest
            record = await self._bring(hold, document or await self._source.document())
            await self._finish(record, record.digest)
            return record.digest

    def _known(self, hold: Hold, digest: str) -> Record | None:
        for record in self._content.index.images:
            if digest in record.digests:
                hold.take(*record.blobs, *record.diff_ids)
                whole = all(self._content.layers.mark(diff_id) for diff_id in record.diff_ids)
                return record if whole else None
        return None

    async def _finish(self, record: Record, resolved: str) -> None:
        """Give the image its name; the registry knows it as `resolved`."""
        reference = self._source.reference
        digest = reference.digest if reference.digest in record.pushed else record.digest
        names: tuple[str, ...] = (name_of(reference, digest),)
        if record.local and not reference.digest:
            # Nobody could tell otherwise that a registry has what was made here.
            names += (str(reference.untagged().with_digest(resolved)),)
        named = structs.replace(record, names=names, tagged_at=self._now)
        await self._content.commit(lambda index: put(index, named))

    async def _bring(self, hold: Hold, document: Document) -> Record:
        manifest, documents = await self._manifest(hold, document)
        hold.take(manifest.config.digest)
        await self._fetch(manifest.config, None)
        body = self._content.blobs.read(manifest.config.digest)
        config = check_config(manifest, body, what=self._source.reference.familiar)
        hold.take(*config.diff_ids, *(layer.digest for layer in manifest.layers))
        await self._layers(manifest, config)
        marks = [self._content.layers.mark(diff_id) for diff_id in config.diff_ids]
        return Record(
            id=manifest.config.digest,
            digest=document.digest,
            manifest=documents[-1],
            blobs=tuple(
                sorted({*documents, manifest.config.digest, *(x.digest for x in manifest.layers)})
            ),
            diff_ids=config.diff_ids,
            size_bytes=sum(mark.size_bytes for mark in marks if mark),
            created_at=config.created_at,
            local=False,
        )

    async def _manifest(self, hold: Hold, document: Document) -> tuple[Manifest, tuple[str, ...]]:
        """The manifest for our platform, and the digests of what led to it, itself last."""
        what = self._source.reference.familiar
        await self._write(hold, document)
        parsed = parse_document(document.body, what=what)
        if isinstance(parsed, Manifest):
            return parsed, (document.digest,)
        chosen = choose(parsed, self._platform, what=f"image {what}")
        inner = await self._source.document(chosen.digest)
        await self._write(hold, inner)
        manifest = parse_document(inner.body, what=what)
        if isinstance(manifest, Index):
            raise Invalid(f"{what}: its index lists an index")
        return manifest, (document.digest, inner.digest)

    async def _write(self, hold: Hold, document: Document) -> None:
        hold.take(document.digest)
        await asyncio.to_thread(self._content.blobs.write, document.body)

    async def _layers(self, manifest: Manifest, config: ImageConfig) -> None:
        """Download and unpack every layer; a layer that occurs twice is brought once."""
        wanted = {
            (layer.digest, diff_id): layer
            for layer, diff_id in zip(manifest.layers, config.diff_ids, strict=True)
        }
        for layer in wanted.values():
            self._tell(layer, "waiting", 0)
        await together(self._layer(layer, diff_id) for (_, diff_id), layer in wanted.items())

    async def _layer(self, layer: Descriptor, diff_id: str) -> None:
        blobs, layers = self._content.blobs, self._content.layers
        if blobs.has(layer.digest) and layers.mark(diff_id):
            self._tell(layer, "exists", layer.size)
            return
        async with self._turns:
            await self._fetch(layer, self._progress)
        self._tell(layer, "extracting", layer.size)
        await layers.ensure(diff_id, blobs.path(layer.digest))
        self._tell(layer, "done", layer.size)

    async def _fetch(self, blob: Descriptor, progress: Progress | None) -> None:
        """Have `blob` on disk, continuing what an earlier attempt left."""
        blobs = self._content.blobs
        async with self._content.blob_locks.holding(blob.digest):
            if blobs.has(blob.digest):
                return
            start, seen = await asyncio.to_thread(blobs.resume, blob.digest, blob.size)
            try:
                await self._download(blob, start, seen, progress)
            except Invalid:
                if not start:
                    raise
                # What was here may be the damaged half: the whole blob gets one more chance.
                start, seen = await asyncio.to_thread(blobs.resume, blob.digest, blob.size)
                await self._download(blob, start, seen, progress)
            if progress:
                self._tell(blob, "verifying", blob.size)
            await asyncio.to_thread(blobs.adopt, blobs.partial(blob.digest), blob.digest)

    async def _download(
        self, blob: Descriptor, start: int, seen: Hash, progress: Progress | None
    ) -> None:
        source, path = self._source, self._content.blobs.partial(blob.digest)
        stream = source.registry.blob(
            source.reference, blob, credentials=source.credentials, start=start, seen=seen
        )
        try:
            async with aclosing(stream) as chunks:
                await self._append_all(blob, chunks, start, progress)
        except BaseException as err:
            if isinstance(err, Invalid) or is_full(err):
                with suppress(OSError):
                    path.unlink()
            raise

    async def _append_all(
        self,
        blob: Descriptor,
        chunks: AsyncIterator[bytes],
        position: int,
        progress: Progress | None,
    ) -> None:
        path, pending = self._content.blobs.partial(blob.digest), bytearray()
        try:
            async for chunk in chunks:
                if progress and not pending:
                    self._tell(blob, "downloading", position)
                pending += chunk
                position += len(chunk)
                if len(pending) >= _WRITE_BYTES:
                    await asyncio.to_thread(_append, path, bytes(pending))
                    pending.clear()
        finally:
            _append(path, bytes(pending))  # what came before the connection broke counts

    def _tell(self, layer: Descriptor, status: LayerStatus, position: int) -> None:
        self._progress(
            LayerProgress(
                layer=layer.digest,
                status=status,
                current_bytes=position,
                total_bytes=layer.size,
            )
        )


def _append(path: Path, content: bytes) -> None:
    with failing("store blob", path), path.open("ab") as file:
        file.write(content)
