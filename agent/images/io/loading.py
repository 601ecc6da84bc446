"""Take in images that come as files: saved archives and tars of root file systems."""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from agent.build.changes import changed
from agent.build.image import RunConfig, imported
from agent.images.answers import Staged
from agent.images.archive import Contents, Found, find_images, layer_type, make_manifest
from agent.images.compression import MAGIC_BYTES, compression_of
from agent.images.index import Index, Record, put
from agent.images.io import workers
from agent.images.io.content import Content, Hold
from agent.images.io.disk import failing, remove_tree
from agent.images.io.locks import together
from agent.images.making import names_of
from swarm.images.digest import digest_of
from swarm.images.manifest import Descriptor
from swarm.images.platform import Platform
from swarm.images.reference import parse_reference

_CHUNK_BYTES = 1 << 20


async def load(
    content: Content, chunks: AsyncIterator[bytes], platform: Platform, *, now: float
) -> tuple[str, ...]:
    """Take in every image of an archive, or none; gives familiar names, or ids of nameless ones."""
    async with _directory(content) as staging:
        staged = await workers.stage(chunks, staging)
        documents = await asyncio.to_thread(_documents, staged, staging)
        found = find_images(
            Contents(members=staged.members, links=staged.links, documents=documents), platform
        )
        async with content.holding() as hold:
            records: list[Record] = []
            for image in found:
                hold.take(*image.documents, *image.config.diff_ids)
                await _keep_blobs(content, hold, image, staged, staging)
                await _unpack(content, image)
                records.append(_record(content, image, now))
            await content.commit(lambda index: _put_all(index, records))
    return tuple(name for record in records for name in _shown(record))


async def import_rootfs(
    content: Content,
    chunks: AsyncIterator[bytes],
    *,
    reference: str,
    changes: tuple[str, ...],
    message: str,
    platform: Platform,
    now: float,
) -> str:
    """Make an image of one layer; gives its id. Nothing is read when `changes` are wrong."""
    names = names_of((reference,)) if reference else ()
    run = changed(RunConfig(), changes)
    async with _directory(content) as staging, content.holding() as hold:
        layer = await _receive(chunks, staging / "layer")
        hold.take(layer.digest)
        async with content.blob_locks.holding(layer.digest):
            await asyncio.to_thread(content.blobs.adopt, staging / "layer", layer.digest)
        mark = await content.layers.add(content.blobs.path(layer.digest))
        hold.take(mark.diff_id)
        await content.layers.ensure(mark.diff_id, content.blobs.path(layer.digest))
        body = imported(
            run, platform, diff_id=mark.diff_id, comment=message, created_at=now
        ).encode()
        manifest = make_manifest(body, (layer,))
        digest, image_id = digest_of(manifest), digest_of(body)
        hold.take(digest, image_id)
        record = Record(
            id=image_id,
            digest=digest,
            manifest=digest,
            blobs=tuple(sorted({digest, image_id, layer.digest})),
            diff_ids=(mark.diff_id,),
            size_bytes=mark.size_bytes,
            created_at=now,
            local=True,
            names=names,
            tagged_at=now if names else 0.0,
        )
        for document in (body, manifest):
            await asyncio.to_thread(content.blobs.write, document)
        await content.commit(lambda index: put(index, record))
    return image_id


@asynccontextmanager
async def _directory(content: Content) -> AsyncGenerator[Path]:
    path = content.temporary / f"stage-{secrets.token_hex(8)}"
    with failing("store archive", path):
        path.mkdir(mode=0o700)
    try:
        yield path
    finally:
        await asyncio.shield(asyncio.to_thread(remove_tree, path))


def _documents(staged: Staged, staging: Path) -> dict[str, bytes]:
    return {
        member.digest: (staging / staged.files[member.digest]).read_bytes()
        for member in staged.members.values()
        if member.is_document
    }


async def _keep_blobs(
    content: Content, hold: Hold, image: Found, staged: Staged, staging: Path
) -> None:
    for body in image.documents.values():
        await asyncio.to_thread(content.blobs.write, body)
    for layer in image.layers:
        hold.take(layer.digest)
        async with content.blob_locks.holding(layer.digest):
            if not content.blobs.has(layer.digest):
                file = staging / staged.files[layer.digest]
                await asyncio.to_thread(content.blobs.adopt, file, layer.digest)


async def _unpack(content: Content, image: Found) -> None:
    await together(
        content.layers.ensure(diff_id, content.blobs.path(layer.digest))
        for diff_id, layer in zip(image.config.diff_ids, image.layers, strict=True)
    )


def _record(content: Content, image: Found, now: float) -> Record:
    marks = [content.layers.mark(diff_id) for diff_id in image.config.diff_ids]
    return Record(
        id=image.config_digest,
        digest=image.digest,
        manifest=image.manifest,
        blobs=tuple(sorted({*image.documents, *(layer.digest for layer in image.layers)})),
        diff_ids=image.config.diff_ids,
        size_bytes=sum(mark.size_bytes for mark in marks if mark),
        created_at=image.config.created_at,
        local=True,
        names=image.names,
        tagged_at=now if image.names else 0.0,
    )


def _put_all(index: Index, records: list[Record]) -> Index:
    for record in records:
        index = put(index, record)
    return index


def _shown(record: Record) -> tuple[str, ...]:
    return tuple(parse_reference(name).familiar for name in record.names) or (record.id,)


async def _receive(chunks: AsyncIterator[bytes], path: Path) -> Descriptor:
    """Write what arrives to `path`, and describe it."""
    seen, size, head = hashlib.sha256(), 0, b""
    with failing("store archive", path):
        file = path.open("xb", buffering=_CHUNK_BYTES)
    try:
        async for chunk in chunks:
            if len(head) < MAGIC_BYTES:
                head += chunk[:MAGIC_BYTES]
            seen.update(chunk)
            size += len(chunk)
            with failing("store archive", path):
                await asyncio.to_thread(file.write, chunk)
    finally:
        with failing("store archive", path):
            file.close()
    media_type = layer_type(compression_of(head))
    return Descriptor(media_type=media_type, digest=f"sha256:{seen.hexdigest()}", size=size)
