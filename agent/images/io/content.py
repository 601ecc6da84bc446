"""Hold a node's images together: blobs, layers and the index that says why they are there.

Every change of the index goes through `commit`, one at a time, and is on disk before anyone
sees it. Content comes before the index that lists it, so a crash between the two leaves
garbage, never an image with a hole; work in progress holds what it needs (`holding`), for
nothing else tells its content from garbage.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from agent.images.garbage import Garbage, collect
from agent.images.image import RootFs
from agent.images.index import Index, Record, decode, encode
from agent.images.io.blobs import Blobs
from agent.images.io.disk import failing, write_atomically
from agent.images.io.layers import Layers
from agent.images.io.locks import Locks
from agent.images.stacking import stack
from runtime.io import host
from swarm.errors import Invalid, Missing, Refused, SwarmError
from swarm.images.config import parse_config
from swarm.images.manifest import Manifest, parse_document

PARALLEL_UNPACKS = 2


class Hold:
    """What one piece of work needs: blobs by digest and layers by diff id."""

    def __init__(self, held: Counter[str]) -> None:
        self._held = held
        self.digests: set[str] = set()

    def take(self, *digests: str) -> None:
        """Keep `digests` from being collected; take them before looking whether they exist."""
        for digest in digests:
            if digest not in self.digests:
                self.digests.add(digest)
                self._held[digest] += 1

    def release(self) -> None:
        """Let go of everything."""
        for digest in self.digests:
            self._held[digest] -= 1
            if not self._held[digest]:
                del self._held[digest]


class Content:
    """All that is below `root`. Opening it sweeps what a crash left in `tmp`."""

    def __init__(self, root: Path) -> None:
        self.temporary = root / "tmp"
        with failing("open image store", root):
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            with suppress(OSError):
                host.remove_tree(str(self.temporary))
            self.temporary.mkdir(exist_ok=True)
            self.blobs = Blobs(root, temporary=self.temporary)
            self.layers = Layers(root, temporary=self.temporary, parallel=PARALLEL_UNPACKS)
        self.blob_locks: Locks[str] = Locks()
        self._index_path = root / "index.json"
        self._index = self._load()
        self._turn = asyncio.Lock()
        self._held: Counter[str] = Counter()
        self._rootfs: dict[str, RootFs] = {}

    @property
    def index(self) -> Index:
        """The images as of the last commit."""
        return self._index

    async def commit(self, change: Callable[[Index], Index]) -> None:
        """Replace the index by `change` of it; afterwards it is on disk and in force."""
        async with self._turn:
            changed = change(self._index)
            changed.check()
            if changed == self._index:
                return
            await asyncio.to_thread(
                write_atomically, self._index_path, encode(changed), temporary=self.temporary
            )
            self._index = changed
            self._rootfs.clear()

    def hold(self) -> Hold:
        """Protect what is taken until it is released."""
        return Hold(self._held)

    @asynccontextmanager
    async def holding(self, *, keep: tuple[type[BaseException], ...] = ()) -> AsyncGenerator[Hold]:
        """Protect what the block takes. If it fails, what it brought is deleted again.

        After failures in `keep` the work will be continued: then complete blobs and parts of
        them stay.
        """
        hold = Hold(self._held)
        try:
            yield hold
        except BaseException as err:
            hold.release()
            if not isinstance(err, keep):
                with suppress(SwarmError):  # the first failure is the one to report
                    await self.discard(hold.digests)
            raise
        else:
            hold.release()

    async def rootfs(self, text: str, find: Callable[[Index, str], Record]) -> RootFs:
        """The layers that `text` means, unpacked again should one be missing."""
        if found := self._rootfs.get(text):
            return found
        index = self._index
        record = find(index, text)
        async with self.holding() as hold:
            hold.take(*record.blobs, *record.diff_ids)
            await self.restore(record)
            config = parse_config(self.blobs.read(record.id))
        marks = {diff_id: self.layers.mark(diff_id) for diff_id in record.diff_ids}
        covering = {diff_id for diff_id, mark in marks.items() if mark and mark.covers_root}
        trees = tuple(self.layers.tree(diff_id) for diff_id in stack(record.diff_ids, covering))
        found = RootFs(
            layer_dirs=trees or (self.layers.empty,),
            config=config,
            id=record.id,
            digest=record.digest,
        )
        if index is self._index:
            self._rootfs[text] = found
        return found

    async def sweep(self, in_use: Iterable[str], *, abandoned_before: float) -> int:
        """Delete what nothing needs; gives the bytes that were freed."""
        used = frozenset(in_use)
        await self.commit(lambda index: _without_garbage(index, self._garbage(index, used)))
        garbage = self._garbage(self._index, used)
        abandoned = self.blobs.abandoned(before=abandoned_before)
        return await self._delete(garbage.layers, {*garbage.blobs, *abandoned})

    async def sweep_unreferenced(self) -> int:
        """Delete the content of images that left the index; nameless images stay.

        Gives the bytes that were freed.
        """
        garbage = self._garbage(self._index, self._everything())
        return await self._delete(garbage.layers, garbage.blobs)

    def _garbage(self, index: Index, in_use: frozenset[str]) -> Garbage:
        return collect(
            index,
            blobs=self.blobs.all(),
            layers=self.layers.all(),
            held=self._held,
            in_use=in_use,
        )

    async def discard(self, digests: Iterable[str]) -> None:
        """Delete those of `digests` that no image lists and nobody holds."""
        touched = set(digests)
        garbage = collect(
            self._index,
            blobs=touched,
            layers=touched,
            held=self._held,
            in_use=self._everything(),
        )
        await self._delete(garbage.layers, garbage.blobs)

    def _everything(self) -> frozenset[str]:
        return frozenset(record.id for record in self._index.images)

    async def _delete(self, layers: Iterable[str], blobs: Iterable[str]) -> int:
        def is_held(digest: str) -> bool:
            return digest in self._held

        freed = 0
        for diff_id in sorted(layers):
            freed += await self.layers.delete(diff_id, unless=is_held)
        for digest in sorted(blobs):
            async with self.blob_locks.holding(digest):
                graves = () if is_held(digest) else self.blobs.bury(digest)
            freed += await asyncio.to_thread(self.blobs.burn, graves)
        return freed

    async def restore(self, record: Record) -> None:
        """Unpack the layers of `record` that somebody deleted behind our back."""
        missing = [diff_id for diff_id in record.diff_ids if self.layers.mark(diff_id) is None]
        if not missing:
            return
        manifest = parse_document(self.blobs.read(record.manifest))
        assert isinstance(manifest, Manifest)
        blob_of = {
            diff_id: layer.digest
            for diff_id, layer in zip(record.diff_ids, manifest.layers, strict=True)
        }
        for diff_id in missing:
            if not self.blobs.has(blob_of[diff_id]):
                raise Missing(
                    f"image {record.id} has lost layer {diff_id}", hint="remove and pull it again"
                )
            await self.layers.ensure(diff_id, self.blobs.path(blob_of[diff_id]))

    def _load(self) -> Index:
        with failing("read image index", self._index_path):
            try:
                body = self._index_path.read_bytes()
            except FileNotFoundError:
                return Index()
        try:
            return decode(body)
        except Invalid as err:
            raise Refused(
                f"{self._index_path}: {err.message}",
                hint="restore the file, or remove it: images must then be pulled or loaded again",
            ) from err


def _without_garbage(index: Index, garbage: Garbage) -> Index:
    gone = frozenset(garbage.images)
    return Index(tuple(record for record in index.images if record.digest not in gone))
