"""Keep the build cache on disk: its index, and directories of `RUN --mount=type=cache`.

The layers that it remembers are in the image store, and held there. An index that cannot be read
is forgotten: then everything is built anew.
"""

import asyncio
import hashlib
import shutil
from collections.abc import AsyncGenerator, Callable, Collection, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import structlog
from msgspec import Struct

from agent.build import cache
from agent.build.cache import Entry, Found, Index
from agent.build.mounts import Mount, Sharing
from agent.images.io.building import Building
from agent.images.io.content import Hold
from agent.images.io.disk import failing, remove_tree, write_atomically
from agent.images.io.locks import Locks
from agent.io.sizes import size_of
from swarm.errors import Invalid

_SHARE = 10  # of the disk
_MOST_BYTES = 50 << 30
_MOST_FOUND = 5000
_USE_S = 3600.0


class Pruned(Struct, frozen=True):
    """What was removed, and what that gave back."""

    removed: tuple[str, ...] = ()
    reclaimed_bytes: int = 0


class Volume(Struct, frozen=True):
    """The directory of a cache that a step may write to; `is_new` is empty."""

    path: Path
    is_new: bool


class Cache:
    """The cache below `root`. `clock` gives seconds since the epoch."""

    def __init__(
        self,
        root: Path,
        building: Building,
        *,
        clock: Callable[[], float],
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._root = root
        self._path = root / "cache.json"
        self._volumes = root / "mounts"
        self._building = building
        self._clock = clock
        self._log = log
        self._turn = asyncio.Lock()
        self._locks: Locks[str] = Locks()
        self._in_use: dict[str, int] = {}
        with failing("open build cache", root):
            self._volumes.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._index = self._load()
        self._written_at = 0.0
        self._hold: Hold = building.hold(self._index.diff_ids)

    @property
    def index(self) -> Index:
        """What is remembered."""
        return self._index

    def find(self, key: str) -> Entry | None:
        """What a step came to, if that is still here."""
        entry = self._index.entries.get(key)
        if entry is None or (entry.diff_id and self._building.mark(entry.diff_id) is None):
            return None
        return entry

    async def keep(
        self, entries: Iterable[Entry], found: Iterable[Found], used: Iterable[str]
    ) -> None:
        """Remember what one build did, and what was of use to it; their layers are here."""
        now, new, more = self._clock(), tuple(entries), tuple(found)
        async with self._turn:
            index = self._index
            for entry in new:
                index = index.with_entry(entry)
            for each in more:
                index = index.with_found(each)
            index = _bounded(index.used(frozenset(used), now))
            if not new and not more and now < self._written_at + _USE_S:
                self._index = index  # the last uses of an hour may be forgotten in a crash
                return
            gone = cache.overdue(index, now=now, keep_bytes=self._room())
            await self._replace(index.without(gone))

    async def prune(
        self,
        *,
        everything: bool,
        unused_since: float,
        keep_bytes: int,
        only: Collection[str] = (),
    ) -> Pruned:
        """Forget what is not needed.

        With `everything`, what images that are here consist of, too, which gives nothing back, and
        directories of mounts, unless it is about `only` some.
        """
        listed = self._building.listed_layers()
        async with self._turn:
            before = self._index
            gone = cache.prune(
                before,
                unused_since=unused_since,
                keep_bytes=keep_bytes,
                only=only,
                spared=() if everything else listed,
            )
            left = before.without(gone)
            kept = left.diff_ids | listed
            sizes = {each.diff_id: each.size_bytes for each in before.entries.values()}
            freed = sum(size for diff_id, size in sizes.items() if diff_id not in kept)
            await self._replace(left)
        if everything and not only:
            freed += await asyncio.to_thread(self._drop_volumes)
        return Pruned(gone, freed)

    @asynccontextmanager
    async def volume(self, mount: Mount) -> AsyncGenerator[Volume]:
        """The directory of a cache for as long as a step uses it."""
        name = hashlib.sha256((mount.cache_id or mount.target).encode()).hexdigest()
        if mount.sharing is Sharing.LOCKED:
            async with self._locks.holding(name):
                with self._using(name):
                    yield self._make(name, mount)
            return
        if mount.sharing is Sharing.PRIVATE:
            number = 0
            while self._in_use.get(f"{name}-{number}"):
                number += 1
            name = f"{name}-{number}"
        with self._using(name):
            yield self._make(name, mount)

    def _using(self, name: str) -> "_Use":
        return _Use(self._in_use, name)

    def _make(self, name: str, mount: Mount) -> Volume:
        path = self._volumes / name
        with failing("make cache directory", path):
            if path.is_dir():
                return Volume(path, is_new=False)
            path.mkdir()
            path.chmod(mount.mode)
            shutil.chown(path, mount.uid, mount.gid)
        return Volume(path, is_new=True)

    def _drop_volumes(self) -> int:
        freed = 0
        for path in self._volumes.iterdir():
            if not self._in_use.get(path.name):
                freed += size_of(path)
                remove_tree(path)
        return freed

    async def _replace(self, index: Index) -> None:
        """Write `index`, and let go of what it does not name any more."""
        before = self._index
        await asyncio.to_thread(
            write_atomically, self._path, cache.encode(index), temporary=self._building.temporary
        )
        self._index, self._written_at = index, self._clock()
        hold, self._hold = self._hold, self._building.hold(index.diff_ids)
        hold.release()
        await self._building.delete_unheld(before.diff_ids - index.diff_ids)

    def _room(self) -> int:
        return min(_MOST_BYTES, shutil.disk_usage(self._root).total // _SHARE)

    def _load(self) -> Index:
        try:
            return cache.decode(self._path.read_bytes())
        except FileNotFoundError:
            return Index()
        except (OSError, Invalid) as err:
            self._log.warning("build.cache_forgotten", reason=str(err))
            return Index()


class _Use:
    """Counts who uses a directory."""

    def __init__(self, counts: dict[str, int], name: str) -> None:
        self._counts = counts
        self._name = name

    def __enter__(self) -> None:
        self._counts[self._name] = self._counts.get(self._name, 0) + 1

    def __exit__(self, *_: object) -> None:
        self._counts[self._name] -= 1
        if not self._counts[self._name]:
            del self._counts[self._name]


def _bounded(index: Index) -> Index:
    if len(index.found) <= _MOST_FOUND:
        return index
    latest = sorted(index.found.values(), key=lambda each: -each.used_at)[:_MOST_FOUND]
    return Index(entries=index.entries, found={each.key: each for each in latest})
