"""Keep blobs by the digest of what they hold: `blobs/sha256/<hex>`.

A blob has its name only once all of it is on disk and its digest was checked. What a broken
download left waits in `partial/<hex>` and is continued, whoever asks for that digest next.
"""

import hashlib
import os
import secrets
from contextlib import suppress
from pathlib import Path

from agent.images.io.disk import failing, sync_directory, write_atomically
from swarm.errors import Missing
from swarm.images.digest import digest_of, hex_of
from swarm.io.registry import Hash

_CHUNK_BYTES = 1 << 20


class Blobs:
    """The blobs below `root`; `temporary` is a directory on the same file system."""

    def __init__(self, root: Path, *, temporary: Path) -> None:
        self._directory = root / "blobs" / "sha256"
        self._partials = root / "partial"
        self._temporary = temporary
        for directory in (self._directory, self._partials):
            directory.mkdir(parents=True, exist_ok=True)

    def path(self, digest: str) -> Path:
        """Where the blob is, or would be."""
        return self._directory / hex_of(digest)

    def partial(self, digest: str) -> Path:
        """Where a download of the blob grows."""
        return self._partials / hex_of(digest)

    def has(self, digest: str) -> bool:
        """Whether all of the blob is here."""
        return self.path(digest).is_file()

    def all(self) -> tuple[str, ...]:
        """The digests of all blobs."""
        return tuple(f"sha256:{path.name}" for path in sorted(self._directory.iterdir()))

    def abandoned(self, *, before: float) -> tuple[str, ...]:
        """The digests of downloads that nobody continued since `before`."""
        found: list[str] = []
        for path in sorted(self._partials.iterdir()):
            # One that is complete by now was moved away meanwhile.
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < before:
                    found.append(f"sha256:{path.name}")
        return tuple(found)

    def read(self, digest: str) -> bytes:
        """A small blob's content; `Missing` when it is not here."""
        if not self.has(digest):
            raise Missing(f"blob {digest} is not on this node", hint="pull the image again")
        with failing("read blob", self.path(digest)):
            return self.path(digest).read_bytes()

    def write(self, content: bytes) -> str:
        """Keep a small blob; gives its digest."""
        digest = digest_of(content)
        if not self.has(digest):
            write_atomically(self.path(digest), content, temporary=self._temporary)
        return digest

    def adopt(self, file: Path, digest: str) -> None:
        """Take a complete file, whose digest was checked, as the blob `digest`."""
        with failing("keep blob", self.path(digest)):
            descriptor = os.open(file, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            file.rename(self.path(digest))
            sync_directory(self._directory)

    def resume(self, digest: str, size: int) -> tuple[int, Hash]:
        """How much of a download of `size` bytes is here already, and the hash of that."""
        path, seen, length = self.partial(digest), hashlib.sha256(), 0
        with failing("read partial blob", path):
            try:
                with path.open("rb") as file:
                    while chunk := file.read(_CHUNK_BYTES):
                        seen.update(chunk)
                        length += len(chunk)
            except FileNotFoundError:
                return 0, seen
            if length > size:
                path.unlink()
                return 0, hashlib.sha256()
        return length, seen

    def bury(self, digest: str) -> tuple[Path, ...]:
        """Take the blob and any part of it out of sight at once; `burn` frees their space."""
        graves: list[Path] = []
        for path in (self.path(digest), self.partial(digest)):
            grave = self._temporary / f"grave-{secrets.token_hex(8)}"
            with failing("delete blob", path):
                try:
                    path.rename(grave)
                except FileNotFoundError:
                    continue
                graves.append(grave)
        return tuple(graves)

    def burn(self, graves: tuple[Path, ...]) -> int:
        """Delete what `bury` gave; gives the bytes that were freed."""
        freed = 0
        for grave in graves:
            with failing("delete blob", grave):
                freed += grave.stat().st_size
                grave.unlink()
        return freed
