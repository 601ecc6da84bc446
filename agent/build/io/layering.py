"""Know the layers of one build: those of its bases, those from the cache, and those it makes.

New ones lie in the build's directory until `settle` moves them into the store, all at once and
after all of them are on disk.
"""

import asyncio
import os
from pathlib import Path

from agent.build import cache
from agent.build.cache import Entry, Found
from agent.build.image import ImageDocument, decode
from agent.build.io.shop import Shop
from agent.build.io.workers import Worker
from agent.build.orders import Collect, Delete, Layered, Merge
from agent.build.steps import Planned, State
from agent.images.answers import TREE, Collecting, Mark
from agent.images.io.content import Hold
from agent.images.io.disk import failing
from agent.images.io.unpack import sync_filesystem
from agent.images.stacking import stack
from runtime.spec import UserNamespace
from swarm.errors import Missing, SwarmError
from swarm.images.config import parse_time


class Layering:
    """The layers of one build, held by `hold`."""

    def __init__(
        self, shop: Shop, worker: Worker, own: Path, hold: Hold, *, uses_cache: bool
    ) -> None:
        self._shop = shop
        self.worker = worker
        self._own = own
        self.hold = hold
        self._uses_cache = uses_cache
        self._drafts: dict[str, tuple[Mark, Path]] = {}
        self._entries: dict[str, Entry] = {}
        self._found: dict[str, Found] = {}
        self._used: set[str] = set()
        self._count = 0
        self.created_at = 0.0
        self.sources: tuple[ImageDocument, ...] | None = None

    def read_sources(self, names: tuple[str, ...]) -> None:
        """Believe the history of these images alone; those that are not here say nothing."""
        found: list[ImageDocument] = []
        for name in names:
            try:
                found.append(decode(self._shop.building.document(name)))
            except SwarmError:
                continue
        self.sources = tuple(found)

    def directories(self, diff_ids: tuple[str, ...]) -> tuple[str, ...]:
        """What overlayfs mounts for these layers, the topmost first."""
        covering = {
            diff_id
            for diff_id in diff_ids
            if (mark := self._shop.building.mark(diff_id)) and mark.covers_root
        }
        return tuple(str(self._tree(diff_id)) for diff_id in stack(diff_ids, covering))

    def _tree(self, diff_id: str) -> Path:
        if diff_id in self._drafts:
            return self._drafts[diff_id][1] / TREE
        tree = self._shop.building.tree(diff_id)
        if tree is None:
            raise Missing(f"layer {diff_id} is gone", hint="build it again")
        return tree

    # --- what was done before ------------------------------------------------------------------

    def cached(self, state: State, planned: Planned, created_by: str) -> State | None:
        """What a step came to when it was done before."""
        if not self._uses_cache:
            return None
        if self.sources is not None:
            return self._reused(state, planned, created_by)
        key = cache.key_of(state.image_id, created_by, str(state.document.architecture))
        entry = self._entries.get(key) or self._shop.cache.find(key)
        if entry is None:
            return None
        self._used.add(key)
        if entry.diff_id:
            self.hold.take(entry.diff_id)
        self.created_at = entry.created
        return state.after(
            planned, created=entry.created, created_by=created_by, diff_id=entry.diff_id
        )

    def _reused(self, state: State, planned: Planned, created_by: str) -> State | None:
        found = cache.reusable(
            state.document,
            created_by,
            self.sources or (),
            has_layer=lambda diff_id: self._shop.building.mark(diff_id) is not None,
        )
        if found is None:
            return None
        deed, diff_id = found
        if diff_id:
            self.hold.take(diff_id)
        self.created_at = parse_time(deed.created)
        return state.after(planned, created=self.created_at, created_by=created_by, diff_id=diff_id)

    def done(self, state: State, planned: Planned, created_by: str, mark: Mark | None) -> State:
        """What there is after a step that was just done; `mark` is its layer."""
        now = round(self._shop.clock(), 6)
        entry = Entry(
            key=cache.key_of(state.image_id, created_by, str(state.document.architecture)),
            diff_id=mark.diff_id if mark else "",
            size_bytes=mark.size_bytes if mark else 0,
            tar_bytes=mark.tar_bytes if mark else 0,
            created=now,
            used_at=now,
            what=created_by[:200],
        )
        self._entries[entry.key] = entry
        self.created_at = now
        return state.after(planned, created=now, created_by=created_by, diff_id=entry.diff_id)

    def found(self, key: str) -> Found | None:
        """What is known of the content of an image."""
        return self._found.get(key) or self._shop.cache.index.found.get(key)

    def remember(self, found: Found) -> None:
        """Know it the next time."""
        self._found[found.key] = found

    # --- new layers ------------------------------------------------------------------------------

    def place(self) -> Path:
        """A path for a step's own directory, which is not there yet."""
        self._count += 1
        return self._own / f"step-{self._count}"

    def layered(self, state: State) -> Layered:
        """Where a step writes to, on top of what there is."""
        place = self.place()
        return Layered(
            layers=self.directories(state.document.diff_ids),
            upper=f"{place}/upper",
            work=f"{place}/work",
        )

    async def collect(
        self,
        layered: Layered,
        *,
        ignored: tuple[str, ...] = (),
        namespace: UserNamespace | None = None,
    ) -> Mark | None:
        """Make a layer of what a step wrote; None when that is nothing.

        What lies at `ignored` is the runtime's. A program wrote with the ids of `namespace`.
        """
        return await self._collect(
            Collecting(
                upper=layered.upper,
                below=layered.layers,
                ignored=ignored,
                uids=namespace.uids if namespace else (),
                gids=namespace.gids if namespace else (),
                take=True,
            )
        )

    async def _collect(self, asked: Collecting) -> Mark | None:
        self._count += 1
        draft = self._own / f"layer-{self._count}"
        answer = await self.worker.ask(Collect(asked=asked, draft=str(draft)))
        mark = answer.mark
        assert mark is not None
        if not mark.entries or mark.diff_id in self._drafts:
            await self.worker.ask(Delete(directory=str(draft)))
            return mark if mark.entries else None
        self._drafts[mark.diff_id] = mark, draft
        return mark

    async def merge(self, added: tuple[str, ...], below: tuple[str, ...]) -> str:
        """One layer of those `added`, which lie on `below`; its diff id, or nothing at all."""
        target = self._own / "merged"
        layers = tuple(str(self._tree(diff_id)) for diff_id in stack(added, ()))
        await self.worker.ask(Merge(layers=layers, target=str(target)))
        mark = await self._collect(
            Collecting(upper=str(target), below=self.directories(below), take=True)
        )
        return mark.diff_id if mark else ""

    async def settle(self) -> None:
        """Have everything on disk, in the store and remembered."""
        if not (self._drafts or self._entries or self._found or self._used):
            return
        if self._drafts:
            await asyncio.to_thread(_sync, self._own)
        self.hold.take(*self._drafts)
        for mark, draft in self._drafts.values():
            await self._shop.building.adopt(mark, draft)
        self._drafts.clear()
        await self._shop.cache.keep(self._entries.values(), self._found.values(), self._used)


def _sync(directory: Path) -> None:
    with failing("write layers to disk", directory):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            sync_filesystem(descriptor)
        finally:
            os.close(descriptor)
