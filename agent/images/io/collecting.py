"""Make layers of directories, and tars of layers: what a worker does, in its own process.

A layer that is made here is kept unpacked only. What is packed from it is the same whenever
that is done, so its digest is known from the first time, and a blob is made when somebody
wants one.
"""

import errno
import hashlib
import os
import resource
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import msgspec

from agent.images.answers import MARK, TREE, Blob, Collecting, Mark
from agent.images.compression import MAGIC_BYTES, Decompressor, compression_of
from agent.images.differences import Change
from agent.images.io.copying import Copier
from agent.images.io.packing import Packed, Packer
from agent.images.io.unpack import CHUNK_BYTES, sync_filesystem
from agent.images.io.upper import Comparison
from runtime.io import host
from runtime.oci.config import IdMapping

GZIP_LEVEL = 6
_GZIP_HEAD = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"  # no name, no time, no system
_NOBODY = 65534

Owner = Callable[[int, int], tuple[int, int]]


def compare(asked: Collecting) -> tuple[Change, ...]:
    """What the directory changes of those below it."""
    open_many_files()
    upper = _opened(Path(asked.upper))
    try:
        comparison = Comparison(asked.below, ignored=asked.ignored, owner=owner(asked))
        return tuple(comparison.run(upper))
    finally:
        os.close(upper)


def collect(asked: Collecting, target: Path, *, is_durable: bool = True) -> Mark:
    """Make `target`/fs and its mark from a directory; all of it is on disk afterwards.

    Whoever makes many of them at once has them written to disk together, and says so.
    """
    open_many_files()
    tree = target / TREE
    if not (asked.take and not asked.uids and _moved(Path(asked.upper), tree)):
        _copy(asked, tree)
    root = _opened(tree)
    try:
        os.fchown(root, 0, 0)
        os.fchmod(root, 0o755)
        Comparison(asked.below, ignored=asked.ignored, prune=True).run(root)
        seen = hashlib.sha256()
        packed = _pack(root, seen.update)
        mark = Mark(
            diff_id=f"sha256:{seen.hexdigest()}",
            size_bytes=packed.size_bytes,
            entries=packed.entries,
            covers_root=False,
            tar_bytes=packed.tar_bytes,
        )
        (target / MARK).write_bytes(msgspec.json.encode(mark))
        if is_durable:
            sync_filesystem(root)
    finally:
        os.close(root)
    if asked.take and Path(asked.upper).exists():
        host.remove_tree(asked.upper)
    return mark


def pack(tree: Path, output: BinaryIO) -> Blob:
    """Write the layer that is unpacked at `tree`."""
    open_many_files()
    seen = hashlib.sha256()

    def write(data: bytes) -> None:
        seen.update(data)
        output.write(data)

    root = _opened(tree)
    try:
        packed = _pack(root, write)
    finally:
        os.close(root)
    output.flush()
    return Blob(digest=f"sha256:{seen.hexdigest()}", size=packed.tar_bytes)


def compress(source: Path, target: Path) -> Blob:
    """Write the layer `source`, a blob or an unpacked tree, as gzip to the new file `target`."""
    open_many_files()
    with target.open("xb", buffering=CHUNK_BYTES) as file:
        squeezed = _Gzip(file)
        if source.is_dir():
            root = _opened(source)
            try:
                _pack(root, squeezed.write)
            finally:
                os.close(root)
        else:
            _copy_plain(source, squeezed.write)
        return squeezed.finish()


def owner(asked: Collecting) -> Owner:
    """Whose a file of the host is in the container."""
    if not (asked.uids or asked.gids):
        return lambda uid, gid: (uid, gid)
    return lambda uid, gid: (_inside(uid, asked.uids), _inside(gid, asked.gids))


def _inside(number: int, mappings: tuple[IdMapping, ...]) -> int:
    for each in mappings:
        if each.host_id <= number < each.host_id + each.size:
            return number - each.host_id + each.container_id
    return _NOBODY


class _Gzip:
    """Compresses into a file, the same bytes for the same content."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._squeeze = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        self._seen = hashlib.sha256()
        self._checksum = self._plain_bytes = self._size = 0
        self._put(_GZIP_HEAD)

    def write(self, data: bytes) -> None:
        self._checksum = zlib.crc32(data, self._checksum)
        self._plain_bytes += len(data)
        self._put(self._squeeze.compress(data))

    def finish(self) -> Blob:
        self._put(self._squeeze.flush())
        self._put(self._checksum.to_bytes(4, "little"))
        self._put((self._plain_bytes % (1 << 32)).to_bytes(4, "little"))
        return Blob(digest=f"sha256:{self._seen.hexdigest()}", size=self._size)

    def _put(self, data: bytes) -> None:
        self._seen.update(data)
        self._size += len(data)
        self._file.write(data)


def _pack(root: int, write: Callable[[bytes], object]) -> Packed:
    packer = Packer(write, purpose="layer")
    packer.add_tree(root)
    packer.finish()
    return packer.packed


def _copy_plain(source: Path, write: Callable[[bytes], object]) -> None:
    with source.open("rb") as file:
        head = file.read(MAGIC_BYTES)
        plain = Decompressor(compression_of(head))
        data = head
        while data:
            for piece in plain.feed(data):
                write(piece)
            data = file.read(CHUNK_BYTES)
        plain.finish()


def _moved(upper: Path, tree: Path) -> bool:
    try:
        upper.rename(tree)
    except OSError as err:
        if err.errno != errno.EXDEV:
            raise
        return False
    return True


def _copy(asked: Collecting, tree: Path) -> None:
    tree.mkdir(mode=0o755)
    source, target = _opened(Path(asked.upper)), _opened(tree)
    try:
        Copier(owner(asked)).copy(source, target)
    finally:
        os.close(source)
        os.close(target)


def _opened(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def open_many_files() -> None:
    """One for each directory on the way down, in each layer, and trees may be deep."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
