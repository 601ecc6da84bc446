"""Unpack an archive that somebody sent into a directory that takes the place of the root.

A name may pass through links that the archive planted: they lead nowhere else. Devices are
refused, and so is more than fits: a context that would fill the disk is an error before it does.
"""

import math
import os
import posixpath
import stat
import tarfile
from collections.abc import Callable
from typing import Final

from agent.build.io.rooted import NEW_FILE, Root, remove
from agent.build.io.streams import CHUNK_BYTES, Stream
from agent.images.io.packing import kept_xattrs
from agent.images.io.tars import AGAIN, entries_of, reading
from agent.images.layer import split_name
from swarm.errors import Invalid

MOST_ENTRIES: Final = 1_000_000
LARGEST_HOLE: Final = 1 << 30
_ROOM: Final = 0.95  # of what is free
_XATTR: Final = "SCHILY.xattr."
_LATEST_NS: Final = (1 << 33) * 1_000_000_000
_HIGHEST_ID: Final = 0xFFFFFFFE

Owner = Callable[[tarfile.TarInfo], tuple[int, int]]


def unpack(
    stream: Stream, root: Root, *, below: str = "", what: str, owner: Owner | None = None
) -> int:
    """Unpack all of `stream` below `below`; gives the number of entries.

    Without `owner` files belong to whom the archive says. `Invalid` names what is wrong with
    `what`, such as `the context`.
    """
    unpacker = _Unpacker(root, below, what, owner or _as_told)
    with reading(stream) as tar:
        for info in entries_of(tar):
            unpacker.add(tar, info)
    stream.drain()
    unpacker.finish()
    return unpacker.count


def _as_told(info: tarfile.TarInfo) -> tuple[int, int]:
    return info.uid, info.gid


class _Unpacker:
    def __init__(self, root: Root, below: str, what: str, owner: Owner) -> None:
        self._root = root
        self._below = below
        self._what = what
        self._owner = owner
        self._times: dict[str, int] = {}
        disk = os.statvfs(root.descriptor)
        self._block_bytes = disk.f_frsize
        self._room_bytes = int(disk.f_bavail * disk.f_frsize * _ROOM)
        self._room_entries = int(disk.f_favail * _ROOM) if disk.f_files else MOST_ENTRIES
        self.count = 0

    def add(self, tar: tarfile.TarFile, info: tarfile.TarInfo) -> None:
        """Unpack one entry."""
        self.count += 1
        if self.count > MOST_ENTRIES:
            raise Invalid(
                f"{self._what} has more than {MOST_ENTRIES} files",
                hint="name what is not needed in .dockerignore",
            )
        if self.count > self._room_entries:
            raise self._too_large("has more files", info)
        path = "/".join(split_name(info.name))
        if not path:
            if info.isdir():
                self._describe(self._root.make_directories(self._below), info, self._below)
            return
        path = posixpath.join(self._below, path)
        above, name = posixpath.split(path)
        uid, gid = self._owner(info)
        if not (0 <= uid <= _HIGHEST_ID and 0 <= gid <= _HIGHEST_ID):
            raise Invalid(f"{self._what}: {info.name!r}: {uid}:{gid} is nobody")
        if info.isdir():
            self._directory(above, name, path, info)
            return
        self._make_room(above, name)
        parent = self._root.make_directories(above)
        if info.isreg():
            self._file(parent, name, tar, info)
        elif info.issym():
            os.symlink(info.linkname, name, dir_fd=parent)
            self._own(parent, name, info)
        elif info.islnk():
            self._link(parent, name, info)
        elif info.isfifo():
            os.mkfifo(name, info.mode & 0o7777, dir_fd=parent)
            self._own(parent, name, info)
        else:
            raise Invalid(
                f"{self._what}: {info.name!r} is a device",
                hint="leave devices out: containers get their own",
            )

    def finish(self) -> None:
        """Set the times of directories, which filling them has changed."""
        for path, mtime_ns in self._times.items():
            try:
                os.utime(self._root.directory(path), ns=(mtime_ns, mtime_ns))
            except (FileNotFoundError, NotADirectoryError):
                continue  # something else took its place

    def _make_room(self, above: str, name: str) -> None:
        parent = self._root.make_directories(above)
        try:
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return
        remove(parent, name)
        if stat.S_ISDIR(status.st_mode) or stat.S_ISLNK(status.st_mode):
            self._root.forget()

    def _directory(self, above: str, name: str, path: str, info: tarfile.TarInfo) -> None:
        if not self._root.is_directory(path):
            self._make_room(above, name)
            os.mkdir(name, 0o700, dir_fd=self._root.make_directories(above))
        self._describe(self._root.directory(path), info, path)

    def _describe(self, directory: int, info: tarfile.TarInfo, path: str) -> None:
        os.fchown(directory, *self._owner(info))
        os.fchmod(directory, info.mode & 0o7777)
        _set_xattrs(directory, info)
        self._times[path] = _mtime_ns(info)

    def _file(self, parent: int, name: str, tar: tarfile.TarFile, info: tarfile.TarInfo) -> None:
        taken = -(-info.size // self._block_bytes) * self._block_bytes
        if taken > self._room_bytes:
            raise self._too_large("is larger", info)
        if info.issparse() and info.size > LARGEST_HOLE:
            raise Invalid(f"{self._what}: {info.name!r} is a hole of {info.size} bytes")
        self._room_bytes -= taken
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
            os.fchown(descriptor, *self._owner(info))
            os.fchmod(descriptor, info.mode & 0o7777)
            _set_xattrs(descriptor, info)
            os.utime(descriptor, ns=(_mtime_ns(info), _mtime_ns(info)))
        finally:
            os.close(descriptor)

    def _too_large(self, how: str, info: tarfile.TarInfo) -> Invalid:
        return Invalid(
            f"{self._what} {how} than the disk has room for, at {info.name!r}",
            hint="free space on the disk of the data root, or name less in the context",
        )

    def _link(self, parent: int, name: str, info: tarfile.TarInfo) -> None:
        source = posixpath.join(self._below, "/".join(split_name(info.linkname)))
        above, source_name = posixpath.split(source)
        try:
            directory = self._root.directory(above)
            os.link(source_name, name, src_dir_fd=directory, dst_dir_fd=parent,
                    follow_symlinks=False)  # fmt: skip
        except (FileNotFoundError, NotADirectoryError, PermissionError) as err:
            raise Invalid(
                f"{self._what}: {info.name!r} is a hard link to {info.linkname!r}, which is no file"
                " of it"
            ) from err

    def _own(self, parent: int, name: str, info: tarfile.TarInfo) -> None:
        uid, gid = self._owner(info)
        os.chown(name, uid, gid, dir_fd=parent, follow_symlinks=False)
        times = (_mtime_ns(info), _mtime_ns(info))
        os.utime(name, ns=times, dir_fd=parent, follow_symlinks=False)


def _set_xattrs(descriptor: int, info: tarfile.TarInfo) -> None:
    told = {
        key.removeprefix(_XATTR): value
        for key, value in info.pax_headers.items()
        if key.startswith(_XATTR)
    }
    for name in kept_xattrs(told):
        try:
            os.setxattr(descriptor, name, told[name].encode(errors="surrogateescape"))
        except OSError:
            continue  # a disk that knows none, as Docker has it


def _mtime_ns(info: tarfile.TarInfo) -> int:
    seconds = float(info.mtime)
    return min(max(int(seconds * 1e9), 0), _LATEST_NS) if math.isfinite(seconds) else 0
