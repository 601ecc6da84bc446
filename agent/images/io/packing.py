"""Turn a directory into a tar, in one order and with nothing in it that only this host knows.

Names are sorted, times are whole seconds, each file is read once however many names it has.
The directory may change meanwhile: what vanished is left out, and what shrank is filled up with
zeros, for its size has been told by then. No link is followed, and nothing is opened that
could answer late. Of a layer (`LAYER`), deletions are told in the words of the OCI.
"""

import errno
import os
import stat
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Literal

from msgspec import Struct

from agent.images import headers
from agent.images.headers import Header
from agent.images.layer import OPAQUE, WHITEOUT
from swarm.errors import Invalid

CHUNK_BYTES = 1 << 18
OPAQUE_XATTR = "trusted.overlay.opaque"
_PATH_BYTES = 4095
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CHANGED = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)  # while we looked at it

Owner = Callable[[int, int], tuple[int, int]]
Write = Callable[[bytes], object]
Purpose = Literal["layer", "copy"]


class Packed(Struct):
    """What has been packed: `size_bytes` is what its files hold, each counted once."""

    entries: int = 0
    size_bytes: int = 0
    tar_bytes: int = 0


class _Level(Struct):
    """A directory that is being read: `names` are still to come, the last one first."""

    descriptor: int
    path: bytes
    names: list[bytes]


class Packer:
    """Writes one tar by calls of `write`; `owner` says whose a file of this host is in it."""

    def __init__(self, write: Write, *, purpose: Purpose, owner: Owner = lambda u, g: (u, g)):
        self.packed = Packed()
        self._write = write
        self._owner = owner
        self._is_layer = purpose == "layer"
        self._seen: dict[tuple[int, int], bytes] = {}

    def add_tree(self, root: int, path: bytes = b"") -> None:
        """Add all that is in the directory `root`, below `path` (which ends with a slash)."""
        levels = [_Level(root, path, _names(root))]
        try:
            while levels:
                level = levels[-1]
                if not level.names:
                    levels.pop()
                    if levels:
                        os.close(level.descriptor)
                    continue
                name = level.names.pop()
                below = self._add(level.descriptor, name, level.path + name)
                if below >= 0:
                    levels.append(_Level(below, level.path + name + b"/", _names(below)))
        finally:
            for level in levels[1:]:
                os.close(level.descriptor)

    def add(self, parent: int, name: bytes, path: bytes) -> None:
        """Add what `name` is in the directory `parent`, as `path`, with all that is in it."""
        below = self._add(parent, name, path)
        if below >= 0:
            try:
                self.add_tree(below, path + b"/")
            finally:
                os.close(below)

    def add_directory(self, directory: int, path: bytes) -> None:
        """Add an open directory itself, without what is in it."""
        status = os.fstat(directory)
        self._put(status, Header(name=path, kind=headers.DIRECTORY), xattrs=_xattrs(directory))

    def finish(self) -> None:
        """Write the end of the archive."""
        self._emit(headers.END)

    def _add(self, parent: int, name: bytes, path: bytes) -> int:
        """Add one entry; gives the descriptor of a directory, whose content is to follow."""
        if len(path) > _PATH_BYTES:
            raise Invalid(f"{_shown(path)}: its path is too long for an archive")
        try:
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if self._is_layer and name.startswith(WHITEOUT.encode()):
                raise Invalid(
                    f"{_shown(path)}: a layer cannot hold names that begin with {WHITEOUT}",
                    hint="rename or remove it first",
                )
            if stat.S_ISDIR(status.st_mode):
                return self._add_directory(parent, name, path)
            self._add_leaf(parent, name, path, status)
        except OSError as err:
            if err.errno not in _CHANGED:
                raise
        return -1

    def _add_directory(self, parent: int, name: bytes, path: bytes) -> int:
        descriptor = os.open(name, _DIRECTORY, dir_fd=parent)
        try:
            self.add_directory(descriptor, path + b"/")
            if self._is_layer and is_opaque(descriptor):
                self._emit(headers.encode(Header(name=path + b"/" + OPAQUE.encode(), mode=0)))
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _add_leaf(self, parent: int, name: bytes, path: bytes, status: os.stat_result) -> None:
        if self._is_layer and is_whiteout(status):
            above, slash, last = path.rpartition(b"/")
            marker = above + slash + WHITEOUT.encode() + last
            self._emit(headers.encode(Header(name=marker, mode=0)))
            self.packed.entries += 1
            return
        inode = status.st_dev, status.st_ino
        if status.st_nlink > 1 and inode in self._seen:
            self._put(status, Header(name=path, kind=headers.HARDLINK, link=self._seen[inode]))
            return
        if stat.S_ISREG(status.st_mode):
            self._add_file(parent, name, path)
        elif stat.S_ISLNK(status.st_mode):
            link = os.readlink(name, dir_fd=parent)
            self._put(status, Header(name=path, kind=headers.SYMLINK, link=link))
        elif kind := _node_kind(status.st_mode):
            self._put(status, Header(name=path, kind=kind))
        else:
            return  # a socket means nothing without who listens
        if status.st_nlink > 1:
            self._seen[inode] = path

    def _add_file(self, parent: int, name: bytes, path: bytes) -> None:
        with _opened(name, parent) as descriptor:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return
            self._put(status, Header(name=path, size=status.st_size), xattrs=_xattrs(descriptor))
            self.packed.size_bytes += status.st_size
            left = status.st_size
            while left:
                chunk = os.read(descriptor, min(left, CHUNK_BYTES))
                if not chunk:
                    break
                self._emit(chunk)
                left -= len(chunk)
            for piece in zeros(left + -status.st_size % headers.BLOCK_BYTES):
                self._emit(piece)

    def _put(
        self, status: os.stat_result, header: Header, xattrs: tuple[tuple[str, bytes], ...] = ()
    ) -> None:
        uid, gid = self._owner(status.st_uid, status.st_gid)
        is_device = header.kind in (headers.CHARACTER, headers.BLOCK)
        self._emit(
            headers.encode(
                Header(
                    name=header.name, kind=header.kind, mode=stat.S_IMODE(status.st_mode),
                    uid=uid, gid=gid, size=header.size, mtime=max(0, int(status.st_mtime)),
                    link=header.link, xattrs=xattrs,
                    major=os.major(status.st_rdev) if is_device else 0,
                    minor=os.minor(status.st_rdev) if is_device else 0,
                )
            )
        )  # fmt: skip
        self.packed.entries += 1

    def _emit(self, data: bytes) -> None:
        self.packed.tar_bytes += len(data)
        self._write(data)


def is_whiteout(status: os.stat_result) -> bool:
    """Whether overlayfs takes it for a deletion."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def is_opaque(directory: int) -> bool:
    """Whether the directory hides what is below it in other layers."""
    try:
        return os.getxattr(directory, OPAQUE_XATTR) == b"y"
    except OSError:
        return False


def kept_xattrs(names: Iterable[str]) -> list[str]:
    """Those that mean the same on every host, sorted."""
    return sorted(
        name
        for name in names
        if name == "security.capability"
        or (name.startswith("user.") and not name.startswith("user.overlay."))
    )


def zeros(size: int) -> Generator[bytes]:
    """`size` zero bytes, in pieces."""
    while size > 0:
        yield bytes(min(size, CHUNK_BYTES))
        size -= CHUNK_BYTES


def _names(directory: int) -> list[bytes]:
    return sorted((os.fsencode(name) for name in os.listdir(directory)), reverse=True)


def _xattrs(descriptor: int) -> tuple[tuple[str, bytes], ...]:
    try:
        names = os.listxattr(descriptor)
    except OSError:
        return ()  # the file system knows none
    found: list[tuple[str, bytes]] = []
    for name in kept_xattrs(names):
        try:
            found.append((name, os.getxattr(descriptor, name)))
        except OSError:
            continue
    return tuple(found)


def _node_kind(mode: int) -> bytes:
    if stat.S_ISCHR(mode):
        return headers.CHARACTER
    if stat.S_ISBLK(mode):
        return headers.BLOCK
    return headers.FIFO if stat.S_ISFIFO(mode) else b""


def _shown(path: bytes) -> str:
    return repr(os.fsdecode(path[:80]))


@contextmanager
def _opened(name: bytes, parent: int) -> Generator[int]:
    descriptor = os.open(name, _FILE, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
