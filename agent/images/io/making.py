"""Make images here: layers of what containers wrote, and images of layers.

Whatever is made is held until the block of `Making` ends; what no image lists by then is
deleted again.
"""

import asyncio

from agent.images.answers import Collecting, Mark
from agent.images.index import Record, find, put
from agent.images.io.content import Content, Hold
from agent.images.making import Draft, Layer, Parent, made, names_of, packed_as
from swarm.errors import Missing
from swarm.images.manifest import Descriptor, Manifest, parse_document


class Making:
    """Images on their way in. `now` gives seconds since the epoch."""

    def __init__(self, content: Content, hold: Hold, *, now: float) -> None:
        self._content = content
        self._hold = hold
        self._now = now
        self._layers: dict[str, Layer] = {}

    async def add_layer(self, asked: Collecting) -> Mark:
        """Make a layer of a directory that overlayfs wrote to, or of any other.

        Nothing is mounted and nothing need stand still for it, unless what is in the layer
        should fit together. One that is the same as another is that one.
        """
        mark = await self._content.layers.collect(asked, hold=self._hold.take)
        self._layers[mark.diff_id] = Layer(
            diff_id=mark.diff_id,
            descriptor=packed_as(mark.diff_id, mark.tar_bytes),
            size_bytes=mark.size_bytes,
        )
        return mark

    async def make(self, draft: Draft) -> Record:
        """Make an image of these and of its parent's layers, and list it.

        Raises `Missing` when its parent is gone, `Invalid` when it cannot be an image.
        """
        content = self._content
        names_of(draft.references)
        parent = await self._parent(draft.parent) if draft.parent else None
        layers = tuple(self._layers[diff_id] for diff_id in draft.layers)
        image = made(draft, layers, parent, now=self._now)
        self._hold.take(image.record.digest, image.record.id)
        for document in (image.config_json, image.manifest_json):
            await asyncio.to_thread(content.blobs.write, document)
        await content.commit(lambda index: put(index, image.record))
        return image.record

    async def _parent(self, image_id: str) -> Parent:
        content = self._content
        record = find(content.index, image_id)
        self._hold.take(*record.blobs, *record.diff_ids)
        manifest = parse_document(content.blobs.read(record.manifest))
        assert isinstance(manifest, Manifest)
        if any(content.layers.mark(diff_id) is None for diff_id in record.diff_ids):
            await content.restore(record)
        return Parent(
            record=record,
            config_json=content.blobs.read(record.id),
            layers=tuple(
                self._described(diff_id, layer, record)
                for diff_id, layer in zip(record.diff_ids, manifest.layers, strict=True)
            ),
        )

    def _described(self, diff_id: str, layer: Descriptor, record: Record) -> Descriptor:
        mark = self._content.layers.mark(diff_id)
        if layer.digest not in record.blobs and not (mark and mark.tar_bytes):
            raise Missing(
                f"image {record.id} has lost layer {diff_id}", hint="remove and make it again"
            )
        return layer
