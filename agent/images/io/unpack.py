"""Unpack one layer into an empty directory, touching nothing outside of it.

`agent.images.layer` has resolved every name through the links that the layer planted; here each
component is opened relative to its parent and never through a link, so that even a wrong
decision cannot leave the directory. Runs in a process of its own (`worker`): a layer of a
hundred thousand files must not cost the agent's loop a millisecond.
"""

import ctypes
import hashlib
import math
import os
import shutil
import stat
import tarfile
from collections.abc import Iterator
from typing import BinaryIO

from agent.images.answers import Mark
from agent.images.compression import MAGIC_BYTES, Decompressor, compression_of
from agent.images.io import tars
from agent.images.io.removing import remove_below
from agent.images.layer import (
    Cover,
    Describe,
    Effect,
    Entry,
    Hide,
    Kind,
    Layer,
    Make,
    MakeParent,
    Remove,
)
from swarm.errors import Invalid

CHUNK_BYTES = 256 << 10
_OPEN_DIRECTORIES = 64
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LATEST_NS = (1 << 33) * 1_000_000_000
_XATTR = "SCHILY.xattr."
_OPAQUE_XATTR = "trusted.overlay.opaque"
_KINDS = {
    tarfile.REGTYPE: Kind.FILE,
    tarfile.AREGTYPE: Kind.FILE,
    tarfile.CONTTYPE: Kind.FILE,
    tarfile.GNUTYPE_SPARSE: Kind.FILE,
    tarfile.DIRTYPE: Kind.DIRECTORY,
    tarfile.SYMTYPE: Kind.SYMLINK,
    tarfile.LNKTYPE: Kind.HARDLINK,
    tarfile.CHRTYPE: Kind.CHARACTER,
    tarfile.BLKTYPE: Kind.BLOCK,
    tarfile.FIFOTYPE: Kind.FIFO,
}


class Plain(tars.Pieces):
    """The plain bytes of a stream, whatever its compression, as a file that hashes itself.

    Some tools leave out the padding after the last file, which tarfile takes for damage: it is
    given here, but neither hashed nor counted in `length`.
    """

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        head = source.read(MAGIC_BYTES)
        self.compression = compression_of(head)
        self._decompressor = Decompressor(self.compression)
        self._hash = hashlib.sha256()
        self.length = 0
        super().__init__(self._read_all(head))

    def drain(self) -> str:
        """Read to the end and give the digest of all of it."""
        while self.read():
            pass
        return f"sha256:{self._hash.hexdigest()}"

    def _read_all(self, head: bytes) -> Iterator[bytes]:
        data = head
        while data:
            for piece in self._decompressor.feed(data):
                self._hash.update(piece)
                self.length += len(piece)
                yield piece
            data = self._source.read(CHUNK_BYTES)
        self._decompressor.finish()
        if missing := -self.length % tarfile.BLOCKSIZE:
            yield bytes(missing)


def entries_of(tar: tarfile.TarFile, plain: Plain) -> Iterator[tarfile.TarInfo]:
    """The entries of a tar that `plain` holds, each to be read before the next."""
    end, last = 0, ""
    for entry in tars.entries_of(tar):
        yield entry
        if entry.isreg() and not entry.issparse():
            end, last = entry.offset_data + entry.size, entry.name
    if end > plain.length:
        raise Invalid(f"the archive ends within {last!r}", hint=tars.AGAIN)


def unpack(source: BinaryIO, root: int, *, expected: str = "") -> Mark:
    """Unpack the layer `source` into the directory `root`, a descriptor.

    `expected` is the diff id that the layer must have; empty when nobody knows it yet. All of
    it is on disk when this returns. Raises `Invalid` and `OSError`, and then leaves rubble.
    """
    os.umask(0)
    plain, layer = Plain(source), Layer()
    tree = _Tree(root)
    size = count = 0
    try:
        with tars.reading(plain) as tar:
            for info in entries_of(tar, plain):
                count += 1
                size += info.size if info.isreg() else 0
                for effect in layer.step(_entry(info)):
                    tree.apply(effect, tar, info)
        diff_id = plain.drain()
        if expected and diff_id != expected:
            raise Invalid(
                f"layer is corrupted: expected {expected}, actual {diff_id}",
                hint="the image is damaged: build and push or save it again",
            )
        tree.finish()
    finally:
        tree.close()
    return Mark(diff_id=diff_id, size_bytes=size, entries=count, covers_root=layer.covers_root)


def sync_filesystem(descriptor: int) -> None:
    """Write everything of one file system to its disk: one call for a hundred thousand files."""
    if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _entry(info: tarfile.TarInfo) -> Entry:
    kind = _KINDS.get(info.type)
    if kind is None:
        raise Invalid(f"layer entry {info.name!r}: unknown type {info.type!r}")
    for what, number in (("uid", info.uid), ("gid", info.gid)):
        if not 0 <= number < 0xFFFFFFFF:
            raise Invalid(f"layer entry {info.name!r}: {what}: {number} is not one")
    return Entry(info.name, kind, info.linkname if info.islnk() or info.issym() else "")


class _Tree:
    """Applies effects below one directory, following no link."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._open: dict[str, int] = {}
        self._times: dict[str, int] = {}

    def apply(self, effect: Effect, tar: tarfile.TarFile, info: tarfile.TarInfo) -> None:
        match effect:
            case Remove(path):
                self._remove(path)
            case MakeParent(path):
                parent, name = self._parent(path)
                os.mkdir(name, 0o755, dir_fd=parent)
            case Hide(path):
                parent, name = self._parent(path)
                os.mknod(name, stat.S_IFCHR, os.makedev(0, 0), dir_fd=parent)
            case Cover(path):
                os.setxattr(self._directory(path), _OPAQUE_XATTR, b"y")
            case Describe(path):
                self._describe(path, info)
            case Make(path, target):
                self._make(path, target, tar, info)

    def finish(self) -> None:
        """Set the times of directories, which filling them has changed."""
        for path, mtime_ns in self._times.items():
            os.utime(self._directory(path), ns=(mtime_ns, mtime_ns))

    def close(self) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()

    def _make(self, path: str, target: str, tar: tarfile.TarFile, info: tarfile.TarInfo) -> None:
        parent, name = self._parent(path)
        if info.isdir():
            os.mkdir(name, 0o700, dir_fd=parent)
            self._describe(path, info)
        elif info.islnk():
            source, source_name = self._parent(target)
            os.link(source_name, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        elif info.issym():
            os.symlink(info.linkname, name, dir_fd=parent)
            _own(parent, name, info)
        elif info.isreg():
            self._file(parent, name, tar, info)
        else:
            _node(parent, name, info)

    def _file(self, parent: int, name: str, tar: tarfile.TarFile, info: tarfile.TarInfo) -> None:
        descriptor = os.open(name, _NEW_FILE, 0o600, dir_fd=parent)
        with open(descriptor, "wb", buffering=0) as file:
            content = tar.extractfile(info)
            assert content is not None
            with content, open(descriptor, "wb", buffering=CHUNK_BYTES, closefd=False) as buffered:
                shutil.copyfileobj(content, buffered, CHUNK_BYTES)
                if buffered.tell() != info.size:
                    raise Invalid(f"the archive ends within {info.name!r}")
            os.fchown(file.fileno(), info.uid, info.gid)
            os.fchmod(file.fileno(), info.mode & 0o7777)
            _set_xattrs(file.fileno(), info)
            os.utime(file.fileno(), ns=(_mtime_ns(info), _mtime_ns(info)))

    def _describe(self, path: str, info: tarfile.TarInfo) -> None:
        directory = self._directory(path)
        os.fchown(directory, info.uid, info.gid)
        os.fchmod(directory, info.mode & 0o7777)
        _set_xattrs(directory, info)
        self._times[path] = _mtime_ns(info)

    def _remove(self, path: str) -> None:
        parent, name = self._parent(path)
        if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            remove_below(parent, name)
        else:
            os.unlink(name, dir_fd=parent)
        self.close()
        self._times = {
            kept: mtime
            for kept, mtime in self._times.items()
            if kept != path and not kept.startswith(path + "/")
        }

    def _parent(self, path: str) -> tuple[int, str]:
        directory, _, name = path.rpartition("/")
        return self._directory(directory), name

    def _directory(self, path: str) -> int:
        """A descriptor of the directory at `path`, valid until the next few calls."""
        if not path:
            return self._root
        found = self._open.pop(path, None)
        if found is None:
            parent, name = self._parent(path)
            found = os.open(name, _DIRECTORY, dir_fd=parent)
        self._open[path] = found
        if len(self._open) > _OPEN_DIRECTORIES:
            os.close(self._open.pop(next(iter(self._open))))
        return found


def _own(parent: int, name: str, info: tarfile.TarInfo) -> None:
    os.chown(name, info.uid, info.gid, dir_fd=parent, follow_symlinks=False)
    times = (_mtime_ns(info), _mtime_ns(info))
    os.utime(name, ns=times, dir_fd=parent, follow_symlinks=False)


def _node(parent: int, name: str, info: tarfile.TarInfo) -> None:
    kinds = {tarfile.CHRTYPE: stat.S_IFCHR, tarfile.BLKTYPE: stat.S_IFBLK}
    kind = kinds.get(info.type, stat.S_IFIFO)
    device = 0 if kind == stat.S_IFIFO else os.makedev(info.devmajor, info.devminor)
    os.mknod(name, kind | (info.mode & 0o7777), device, dir_fd=parent)
    _own(parent, name, info)


def _set_xattrs(descriptor: int, info: tarfile.TarInfo) -> None:
    """Set file capabilities and user attributes; anything else could steer overlayfs itself."""
    for key, value in info.pax_headers.items():
        name = key.removeprefix(_XATTR)
        allowed = name == "security.capability" or (
            name.startswith("user.") and not name.startswith("user.overlay.")
        )
        if key.startswith(_XATTR) and allowed:
            try:
                os.setxattr(descriptor, name, value.encode(errors="surrogateescape"))
            except OSError as err:
                if err.errno != _NOT_SUPPORTED:
                    raise


_NOT_SUPPORTED = 95


def _mtime_ns(info: tarfile.TarInfo) -> int:
    seconds = float(info.mtime)
    return min(max(int(seconds * 1e9), 0), _LATEST_NS) if math.isfinite(seconds) else 0
