"""Give makers of images what they need of the store: images to begin with, and a place for more.

A build makes its layers beside the store, in a directory below `temporary`, and moves them in
when all of them are on disk. What it uses and what its cache remembers is held.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from msgspec import Struct, structs

from agent.images.answers import Collecting, Mark
from agent.images.archive import make_manifest
from agent.images.index import Record, find, find_used, put
from agent.images.io import workers
from agent.images.io.content import Content, Hold
from agent.images.making import names_of, packed_as
from swarm.errors import Invalid, Missing
from swarm.images.digest import digest_of
from swarm.images.manifest import LAYERS_LIMIT, Descriptor, Manifest, parse_document

Collect = Callable[[Collecting, Path], Awaitable[Mark]]


class Base(Struct, frozen=True, kw_only=True):
    """An image that a build begins with. `descriptors` are its manifest's, the lowest first."""

    id: str
    document: bytes
    diff_ids: tuple[str, ...]
    descriptors: tuple[Descriptor, ...]


class Building:
    """The image store, as builds see it."""

    def __init__(self, content: Content) -> None:
        self._content = content

    @property
    def temporary(self) -> Path:
        """Where work in progress lies; it is swept when the store is opened."""
        return self._content.temporary

    @property
    def layers(self) -> Path:
        """Where all layers are."""
        return self._content.layers.directory

    @property
    def empty(self) -> Path:
        """A directory with nothing in it, for images without a layer."""
        return self._content.layers.empty

    @property
    def nothing(self) -> Path:
        """A directory that is always empty."""
        return self._content.layers.empty

    def hold(self, digests: Iterable[str] = ()) -> Hold:
        """Keep content until it is released, or for as long as this process lives."""
        made = self._content.hold()
        made.take(*digests)
        return made

    def find(self, text: str) -> str:
        """The id of the image that `text` means; raises `Missing`."""
        return find(self._content.index, text).id

    def document(self, text: str) -> bytes:
        """The configuration of the image that `text` means; raises `Missing`."""
        return self._content.blobs.read(find(self._content.index, text).id)

    async def base(self, text: str, hold: Hold) -> Base:
        """The image `text` with all its layers unpacked; raises `Missing`."""
        content = self._content
        record = find_used(content.index, text)
        hold.take(*record.blobs, *record.diff_ids)
        await content.restore(record)
        manifest = parse_document(content.blobs.read(record.manifest))
        assert isinstance(manifest, Manifest)
        return Base(
            id=record.id,
            document=content.blobs.read(record.id),
            diff_ids=record.diff_ids,
            descriptors=manifest.layers,
        )

    def tree(self, diff_id: str) -> Path | None:
        """Where a layer is unpacked, if it is here."""
        return self._content.layers.tree(diff_id) if self.mark(diff_id) else None

    def mark(self, diff_id: str) -> Mark | None:
        """What is known of a layer that is here."""
        return self._content.layers.mark(diff_id)

    async def collect(
        self, asked: Collecting, hold: Hold, *, by: Collect = workers.collect
    ) -> Mark:
        """Make a layer of a directory that overlayfs wrote to, or of any other.

        Nothing is mounted and nothing need stand still for it, unless what is in the layer
        should fit together. One that is the same as another is that one. `by` does the work.
        """
        return await self._content.layers.collect(asked, hold=hold.take, by=by)

    def listed_layers(self) -> frozenset[str]:
        """The layers that images have."""
        return frozenset(
            diff_id for record in self._content.index.images for diff_id in record.diff_ids
        )

    async def adopt(self, mark: Mark, draft: Path) -> None:
        """Take a layer that is unpacked in `draft`, and on disk; hold it before."""
        await self._content.layers.adopt(mark, draft)

    async def delete_unheld(self, diff_ids: Iterable[str]) -> None:
        """Delete those of these layers that no image lists and nobody holds."""
        await self._content.discard(diff_ids)

    async def name(self, image_id: str, references: tuple[str, ...], now: float) -> None:
        """Give an image that is here more names."""
        record = find(self._content.index, image_id)
        named = structs.replace(record, names=names_of(references), tagged_at=now)
        await self._content.commit(lambda index: put(index, named))

    async def list(
        self,
        document: bytes,
        base: Base | None,
        diff_ids: tuple[str, ...],
        *,
        references: tuple[str, ...],
        created_at: float,
        now: float,
        hold: Hold,
    ) -> str:
        """Make an image known, whose layers are here; gives its id.

        `diff_ids` are all it has, those of `base` first.
        """
        if len(diff_ids) > LAYERS_LIMIT:
            raise Invalid(
                f"the image would have {len(diff_ids)} layers, more than {LAYERS_LIMIT}",
                hint="start from an image with fewer layers, or do more in one step",
            )
        content = self._content
        begun = base.descriptors if base else ()
        marks = [self._marked(diff_id) for diff_id in diff_ids]
        made = tuple(packed_as(m.diff_id, m.tar_bytes) for m in marks[len(begun) :])
        manifest = make_manifest(document, (*begun, *made))
        digest, image_id = digest_of(manifest), digest_of(document)
        hold.take(digest, image_id)
        kept = {each.digest for each in begun if content.blobs.has(each.digest)}
        record = Record(
            id=image_id,
            digest=digest,
            manifest=digest,
            blobs=tuple(sorted({digest, image_id, *kept})),
            diff_ids=diff_ids,
            size_bytes=sum(mark.size_bytes for mark in marks),
            created_at=created_at,
            local=True,
            names=names_of(references),
            parent=base.id if base and base.id != image_id else "",
            tagged_at=now if references else 0.0,
        )
        for body in (document, manifest):
            await asyncio.to_thread(content.blobs.write, body)
        await content.commit(lambda index: put(index, record))
        return image_id

    def _marked(self, diff_id: str) -> Mark:
        mark = self.mark(diff_id)
        if mark is None:
            raise Missing(f"layer {diff_id} is gone", hint="build it again")
        return mark
