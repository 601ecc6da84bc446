"""Write images into one archive, as a stream: nothing of it is ever on disk here."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing

from agent.images import headers
from agent.images.headers import Header
from agent.images.index import Record
from agent.images.io import workers
from agent.images.io.content import Content
from agent.images.io.disk import failing
from agent.images.saving import BLOBS, Choice, Saved, choose, documents
from swarm.errors import Missing, Unavailable
from swarm.images.digest import hex_of
from swarm.images.manifest import OCI_INDEX, OCI_MANIFEST, Descriptor, Manifest, parse_document

_READ_BYTES = 1 << 20


class _Described:
    """What is read of an image before any of it is written."""

    def __init__(self, content: Content, choice: Choice) -> None:
        record = choice.record
        body = content.blobs.read(record.digest)
        entry = parse_document(body, what=record.digest)
        manifest = parse_document(content.blobs.read(record.manifest), what=record.manifest)
        assert isinstance(manifest, Manifest)
        default = OCI_MANIFEST if isinstance(entry, Manifest) else OCI_INDEX
        self.saved = Saved(
            names=choice.names,
            entry=Descriptor(
                media_type=entry.media_type or default, digest=record.digest, size=len(body)
            ),
            config=record.id,
            layers=tuple(layer.digest for layer in manifest.layers),
            top=record.diff_ids[-1] if record.diff_ids else record.id,
        )
        self.documents = {record.digest, record.manifest, record.id}
        self.layers = dict(zip(record.diff_ids, manifest.layers, strict=True))


async def save(content: Content, texts: Iterable[str]) -> AsyncGenerator[bytes]:
    """The archive of what `texts` mean; raises `Missing` before its first byte."""
    chosen = choose(content.index, texts)
    async with content.holding() as hold:
        for choice in chosen:
            hold.take(*choice.record.blobs, *choice.record.diff_ids)
        images = [_Described(content, choice) for choice in chosen]
        for choice, image in zip(chosen, images, strict=True):
            _check(content, choice.record, image)
        for name in ("blobs/", f"{BLOBS}/"):
            yield headers.encode(Header(name=name.encode(), kind=headers.DIRECTORY, mode=0o755))
        small = {digest for image in images for digest in image.documents}
        large = {
            layer.digest: (diff_id, layer)
            for image in images
            for diff_id, layer in image.layers.items()
        }
        for digest in sorted({*small, *large}):
            if digest in small:
                yield _file(f"{BLOBS}/{hex_of(digest)}", content.blobs.read(digest))
                continue
            diff_id, layer = large[digest]
            stream = _layer(content, diff_id, layer)
            async with aclosing(stream) as chunks:
                async for chunk in chunks:
                    yield chunk
        for name, body in documents(image.saved for image in images).items():
            yield _file(name, body)
        yield headers.END


def _check(content: Content, record: Record, image: _Described) -> None:
    """Once the first byte is out, nobody can be told politely."""
    for diff_id, layer in image.layers.items():
        mark = content.layers.mark(diff_id)
        if not content.blobs.has(layer.digest) and not (mark and mark.tar_bytes):
            raise Missing(
                f"image {record.id} has lost layer {diff_id}", hint="remove and pull it again"
            )


async def _layer(content: Content, diff_id: str, layer: Descriptor) -> AsyncGenerator[bytes]:
    yield _head(f"{BLOBS}/{hex_of(layer.digest)}", layer.size)
    done = 0
    if content.blobs.has(layer.digest):
        path = content.blobs.path(layer.digest)
        with failing("read blob", path), path.open("rb", buffering=0) as file:
            while chunk := await asyncio.to_thread(file.read, _READ_BYTES):
                done += len(chunk)
                yield chunk
    else:
        packed = workers.pack(content.layers.tree(diff_id), diff_id)
        async with aclosing(packed) as chunks:
            async for chunk in chunks:
                done += len(chunk)
                yield chunk
    if done != layer.size:
        raise Unavailable(f"layer {layer.digest} has {done} bytes instead of {layer.size}")
    yield headers.padding(layer.size)


def _head(name: str, size: int) -> bytes:
    return headers.encode(Header(name=name.encode(), size=size))


def _file(name: str, content: bytes) -> bytes:
    return _head(name, len(content)) + content + headers.padding(len(content))
