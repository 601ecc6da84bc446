"""Keep unpacked layers, each once: `layers/<hex of the diff id>/fs`, and its mark beside it.

What a layer unpacks to depends on nothing but itself, so images share layers whatever lies
below them. A layer has its name only once it is whole, checked and on disk.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
from msgspec import structs

from agent.images.answers import MARK, TREE, Collecting, Mark
from agent.images.io import workers
from agent.images.io.disk import failing, remove_tree, sync_directory, write_atomically
from agent.images.io.locks import Locks
from agent.images.shipping import Elsewhere
from swarm.images.digest import hex_of


class Layers:
    """The unpacked layers below `root`; at most `parallel` are being unpacked at once."""

    def __init__(self, root: Path, *, temporary: Path, parallel: int) -> None:
        self._directory = root / "layers"
        self._temporary = temporary
        self._locks: Locks[str] = Locks()
        self._turns = asyncio.Semaphore(parallel)
        self._marks: dict[str, Mark] = {}
        self._directory.mkdir(exist_ok=True)
        self.empty = root / "empty"
        self.empty.mkdir(mode=0o755, exist_ok=True)

    def tree(self, diff_id: str) -> Path:
        """The directory that overlayfs mounts."""
        return self._directory / hex_of(diff_id) / TREE

    def mark(self, diff_id: str) -> Mark | None:
        """What is known of the layer; nothing when it is not here."""
        if not self.tree(diff_id).is_dir():
            self._marks.pop(diff_id, None)
            return None
        if diff_id not in self._marks:
            path = self._directory / hex_of(diff_id) / MARK
            with failing("read layer", path):
                self._marks[diff_id] = msgspec.json.decode(path.read_bytes(), type=Mark)
        return self._marks[diff_id]

    def all(self) -> tuple[str, ...]:
        """The diff ids of all layers."""
        return tuple(f"sha256:{path.name}" for path in sorted(self._directory.iterdir()))

    def elsewhere(self, diff_id: str) -> tuple[Elsewhere, ...]:
        """Which registries have the layer, and how it is compressed there."""
        try:
            body = self._elsewhere(diff_id).read_bytes()
            return msgspec.json.decode(body, type=tuple[Elsewhere, ...])
        except (OSError, msgspec.MsgspecError):
            return ()  # it only saves work

    def remember(self, diff_id: str, known: tuple[Elsewhere, ...]) -> None:
        """Keep what `elsewhere` tells, for as long as the layer is here."""
        if known != self.elsewhere(diff_id):
            content = msgspec.json.encode(known)
            write_atomically(self._elsewhere(diff_id), content, temporary=self._temporary)

    def _elsewhere(self, diff_id: str) -> Path:
        return self._directory / hex_of(diff_id) / "elsewhere.json"

    async def ensure(self, diff_id: str, source: Path) -> Mark:
        """Unpack `source` unless the layer is here; `Invalid` when it is not that layer."""
        async with self._locks.holding(diff_id):
            return self.mark(diff_id) or await self._unpack(source, diff_id)

    async def add(self, source: Path) -> Mark:
        """Unpack `source`, whose diff id nobody knows yet."""
        return await self._unpack(source, "")

    async def collect(
        self,
        asked: Collecting,
        *,
        hold: Callable[[str], None],
        by: Callable[[Collecting, Path], Awaitable[Mark]],
    ) -> Mark:
        """Make a layer of a directory; `hold` is told its diff id before it is there."""
        async with self._turns:
            draft = self._draft()
            with failing("make layer", draft):
                draft.mkdir(mode=0o700)
            try:
                mark = await by(asked, draft)
                hold(mark.diff_id)
                async with self._locks.holding(mark.diff_id):
                    await self._keep(mark, draft)
                return mark
            finally:
                await asyncio.shield(asyncio.to_thread(remove_tree, draft))

    @property
    def directory(self) -> Path:
        """Where all of them are."""
        return self._directory

    async def adopt(self, mark: Mark, draft: Path) -> None:
        """Keep a layer that somebody else has made at `draft`, and written to disk."""
        async with self._locks.holding(mark.diff_id):
            await self._keep(mark, draft)

    async def _keep(self, mark: Mark, draft: Path) -> None:
        """Give a layer its name. One that was here before can be packed here from now on."""
        home = self._directory / hex_of(mark.diff_id)
        with failing("keep layer", home):
            if self.mark(mark.diff_id) is None:
                # Somebody may have taken apart what was here; a layer without its tree is none.
                await asyncio.to_thread(remove_tree, home)
                draft.rename(home)
                await asyncio.to_thread(sync_directory, self._directory)
            elif self._marks[mark.diff_id].tar_bytes != mark.tar_bytes:
                whole = structs.replace(self._marks[mark.diff_id], tar_bytes=mark.tar_bytes)
                write_atomically(home / MARK, msgspec.json.encode(whole), temporary=self._temporary)
                self._marks[mark.diff_id] = whole

    async def delete(self, diff_id: str, *, unless: Callable[[str], bool]) -> int:
        """Forget the layer; gives the bytes that were freed.

        `unless` is asked in the last moment, and nothing else runs between its answer and the
        layer's disappearance.
        """
        async with self._locks.holding(diff_id):
            mark = self.mark(diff_id)
            if mark is None or unless(diff_id):
                return 0
            self._marks.pop(diff_id, None)
            grave = self._draft()
            with failing("delete layer", grave):
                (self._directory / hex_of(diff_id)).rename(grave)
        await asyncio.to_thread(remove_tree, grave)
        return mark.size_bytes

    async def _unpack(self, source: Path, expected: str) -> Mark:
        async with self._turns:
            draft = self._draft()
            with failing("unpack layer", draft):
                draft.mkdir(mode=0o700)
            try:
                mark = await workers.unpack(source, draft, expected=expected)
                home = self._directory / hex_of(mark.diff_id)
                with failing("keep layer", home):
                    if not home.exists():  # only an import comes here without a lock
                        draft.rename(home)
                        await asyncio.to_thread(sync_directory, self._directory)
                return mark
            finally:
                await asyncio.shield(asyncio.to_thread(remove_tree, draft))

    def _draft(self) -> Path:
        return self._temporary / f"layer-{secrets.token_hex(8)}"
