"""Unpack an archive into a directory of a container, from inside of it.

What is there already is replaced, but directories, which are filled. A name in the archive may
pass through links, of the container or of the archive itself: they lead nowhere else than in the
container. `..` is taken by the letter, and nothing may leave the directory by it.
"""

import errno
import math
import os
import posixpath
import stat
import tarfile
from typing import BinaryIO

from agent.build.io.rooted import NEW_FILE, Root
from agent.build.io.streams import CHUNK_BYTES, Stream
from agent.images.io.packing import kept_xattrs
from agent.images.io.removing import remove_below
from agent.images.io.tars import AGAIN, entries_of, reading
from agent.standalone.paths import normal
from swarm.errors import Invalid

_XATTR = "SCHILY.xattr."
_LATEST_NS = (1 << 33) * 1_000_000_000
_HIGHEST_ID = 0xFFFFFFFE
_NODES = {
    tarfile.CHRTYPE: stat.S_IFCHR,
    tarfile.BLKTYPE: stat.S_IFBLK,
    tarfile.FIFOTYPE: stat.S_IFIFO,
}


class Putting:
    """Unpacks below `directory`, a path without links. `owner`: whose everything is then."""

    def __init__(
        self, root: Root, directory: str, *, keeps_kinds: bool, owner: tuple[int, int] | None
    ) -> None:
        self._root = root
        self._directory = directory
        self._keeps_kinds = keeps_kinds
        self._owner = owner
        self._times: dict[str, int] = {}

    def unpack(self, source: BinaryIO) -> None:
        """Unpack all of an archive; nothing at all is an empty one. Raises `Invalid`."""
        stream = Stream(source)
        if not stream.peek(1):
            return
        with reading(stream) as tar:
            for info in entries_of(tar):
                self._add(tar, info)
        stream.drain()
        self._finish()

    def _add(self, tar: tarfile.TarFile, info: tarfile.TarInfo) -> None:
        path = self._path(info.name)
        if path == self._directory:
            return  # it is there, and stays what it is
        above, name = posixpath.split(path)
        parent = self._root.make_directories(above)
        kept = self._make_room(parent, name, path, info)
        if not kept:
            parent = self._root.make_directories(above)
        if info.isdir():
            if not kept:
                os.mkdir(name, 0o700, dir_fd=parent)
            self._describe(self._root.directory(path), info)
            self._times[path] = _mtime_ns(info)
        elif info.isreg():
            self._file(parent, name, tar, info)
        elif info.issym():
            os.symlink(info.linkname, name, dir_fd=parent)
            self._own(parent, name, info)
        elif info.islnk():
            self._link(parent, name, info)
        elif info.type in _NODES:
            self._node(parent, name, info)
        else:
            raise Invalid(f"{info.name!r}: unknown type {info.type!r}")

    def _path(self, name: str) -> str:
        """Where an entry goes, by the letter."""
        relative = posixpath.normpath(name.lstrip("/") or ".")
        if relative == ".." or relative.startswith("../"):
            raise Invalid(
                f'"{name}" is outside of "{self._directory}"',
                hint="create the archive from inside its root: tar -C ROOT -c .",
            )
        if "\0" in name:
            raise Invalid(f"{name!r} contains a zero byte")
        return normal(f"{self._directory}/{relative}")

    def _make_room(self, parent: int, name: str, path: str, info: tarfile.TarInfo) -> bool:
        """Whether there is a directory that is to stay one; else nothing is there any more."""
        try:
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return False
        is_dir = stat.S_ISDIR(status.st_mode)
        if is_dir and info.isdir():
            return True
        if self._keeps_kinds and is_dir:
            raise Invalid(
                f'cannot overwrite directory "{path}" with non-directory "{self._directory}"'
            )
        if self._keeps_kinds and info.isdir():
            raise Invalid(
                f'cannot overwrite non-directory "{path}" with directory "{self._directory}"'
            )
        if is_dir:
            remove_below(parent, name)
        else:
            os.unlink(name, dir_fd=parent)
        if is_dir or stat.S_ISLNK(status.st_mode):
            self._root.forget()
        return False

    def _file(self, parent: int, name: str, tar: tarfile.TarFile, info: tarfile.TarInfo) -> None:
        content = tar.extractfile(info)
        assert content is not None
        descriptor = os.open(name, NEW_FILE, 0o600, dir_fd=parent)
        try:
            written = 0
            while data := content.read(CHUNK_BYTES):
                view = memoryview(data)
                while view:
                    view = view[os.write(descriptor, view) :]
                written += len(data)
            if written != info.size:
                raise Invalid(f"the archive ends within {info.name!r}", hint=AGAIN)
            self._describe(descriptor, info)
            os.utime(descriptor, ns=(_mtime_ns(info), _mtime_ns(info)))
        finally:
            os.close(descriptor)

    def _link(self, parent: int, name: str, info: tarfile.TarInfo) -> None:
        above, source = posixpath.split(self._path(info.linkname))
        directory = self._root.directory(above)
        os.link(source, name, src_dir_fd=directory, dst_dir_fd=parent, follow_symlinks=False)

    def _node(self, parent: int, name: str, info: tarfile.TarInfo) -> None:
        kind = _NODES[info.type]
        device = 0 if kind == stat.S_IFIFO else os.makedev(info.devmajor, info.devminor)
        try:
            os.mknod(name, kind | (info.mode & 0o7777), device, dir_fd=parent)
        except PermissionError:
            return  # no root but the host's can make devices, and the rest is of use without
        self._own(parent, name, info)

    def _describe(self, descriptor: int, info: tarfile.TarInfo) -> None:
        """Owner first: it takes set-user-id bits and capabilities away."""
        os.fchown(descriptor, *self._ids(info))
        os.fchmod(descriptor, info.mode & 0o7777)
        told = {
            key.removeprefix(_XATTR): value
            for key, value in info.pax_headers.items()
            if key.startswith(_XATTR)
        }
        for name in kept_xattrs(told):
            try:
                os.setxattr(descriptor, name, told[name].encode(errors="surrogateescape"))
            except OSError:
                continue  # a file system that knows none, as Docker has it

    def _own(self, parent: int, name: str, info: tarfile.TarInfo) -> None:
        uid, gid = self._ids(info)
        os.chown(name, uid, gid, dir_fd=parent, follow_symlinks=False)
        times = (_mtime_ns(info), _mtime_ns(info))
        os.utime(name, ns=times, dir_fd=parent, follow_symlinks=False)

    def _ids(self, info: tarfile.TarInfo) -> tuple[int, int]:
        if self._owner is not None:
            return self._owner
        if not (0 <= info.uid <= _HIGHEST_ID and 0 <= info.gid <= _HIGHEST_ID):
            raise Invalid(f"{info.name!r}: {info.uid}:{info.gid} is nobody")
        return info.uid, info.gid

    def _finish(self) -> None:
        """Set the times of directories, which filling them has changed."""
        for path, mtime_ns in self._times.items():
            try:
                os.utime(self._root.directory(path), ns=(mtime_ns, mtime_ns))
            except OSError as err:
                if err.errno not in (errno.ENOENT, errno.ENOTDIR):
                    raise


def _mtime_ns(info: tarfile.TarInfo) -> int:
    seconds = float(info.mtime)
    return min(max(int(seconds * 1e9), 0), _LATEST_NS) if math.isfinite(seconds) else 0
