"""Copy what overlayfs wrote, so that it may go on changing: whole, or as much as was there.

Deletions and opaque marks are copied as what they are. Hard links stay links, holes stay holes,
and blocks are shared where the file system can. No link is followed. Sockets are left out.
"""

import errno
import os
import stat
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

from msgspec import Struct

from agent.images.io.packing import OPAQUE_XATTR, kept_xattrs

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_CHANGED: Final = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)
_PIECE_BYTES: Final = 1 << 26

Owner = Callable[[int, int], tuple[int, int]]


class _Level(Struct):
    source: int
    target: int
    path: str
    names: list[str]


class Copier:
    """Copies one directory; `owner` says whose a file of the source is in the copy."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._made: dict[tuple[int, int], str] = {}
        self._root = -1

    def copy(self, source: int, target: int) -> None:
        """Copy what is in the directory `source` into the empty directory `target`."""
        self._root = target
        levels = [_Level(source, target, "", os.listdir(source))]
        try:
            while levels:
                level = levels[-1]
                if level.names:
                    if (inner := self._copy(level, level.names.pop())) is not None:
                        levels.append(inner)
                    continue
                levels.pop()
                if levels:
                    self._describe(level.source, level.target, os.fstat(level.source))
                    _close(level)
        finally:
            for level in levels[1:]:
                _close(level)

    def _copy(self, level: _Level, name: str) -> _Level | None:
        try:
            status = os.stat(name, dir_fd=level.source, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                return _enter(level, name)
            if status.st_nlink < 2:
                self._copy_leaf(level, name, status)
            elif (first := self._made.get((status.st_dev, status.st_ino))) is not None:
                os.link(first, name, src_dir_fd=self._root, dst_dir_fd=level.target)
            elif self._copy_leaf(level, name, status):
                self._made[status.st_dev, status.st_ino] = f"{level.path}{name}"
        except OSError as err:
            if err.errno not in _CHANGED:
                raise
        return None

    def _copy_leaf(self, level: _Level, name: str, status: os.stat_result) -> bool:
        """Whether there was something to copy."""
        if stat.S_ISREG(status.st_mode):
            with _opened(name, level.source) as source:
                status = os.fstat(source)
                if not stat.S_ISREG(status.st_mode):
                    return False
                target = os.open(name, _NEW, 0o600, dir_fd=level.target)
                try:
                    _copy_content(source, target, status.st_size)
                    self._describe(source, target, status)
                finally:
                    os.close(target)
            return True
        if stat.S_ISSOCK(status.st_mode):
            return False
        uid, gid = self._owner(status.st_uid, status.st_gid)
        if stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(name, dir_fd=level.source), name, dir_fd=level.target)
            os.chown(name, uid, gid, dir_fd=level.target, follow_symlinks=False)
        else:
            os.mknod(name, status.st_mode, status.st_rdev, dir_fd=level.target)
            os.chown(name, uid, gid, dir_fd=level.target, follow_symlinks=False)
            os.chmod(name, stat.S_IMODE(status.st_mode), dir_fd=level.target)
        times = (status.st_mtime_ns, status.st_mtime_ns)
        os.utime(name, ns=times, dir_fd=level.target, follow_symlinks=False)
        return True

    def _describe(self, source: int, target: int, status: os.stat_result) -> None:
        """Owner first: it takes set-user-id bits and capabilities away."""
        os.fchown(target, *self._owner(status.st_uid, status.st_gid))
        os.fchmod(target, stat.S_IMODE(status.st_mode))
        names = os.listxattr(source)
        for name in (*kept_xattrs(names), *(each for each in names if each == OPAQUE_XATTR)):
            os.setxattr(target, name, os.getxattr(source, name))
        os.utime(target, ns=(status.st_mtime_ns, status.st_mtime_ns))


def _enter(level: _Level, name: str) -> _Level:
    source = os.open(name, _DIRECTORY, dir_fd=level.source)
    try:
        os.mkdir(name, 0o700, dir_fd=level.target)
        target = os.open(name, _DIRECTORY, dir_fd=level.target)
    except BaseException:
        os.close(source)
        raise
    return _Level(source, target, f"{level.path}{name}/", os.listdir(source))  # noqa: PTH208


def _copy_content(source: int, target: int, size: int) -> None:
    """Copy `size` bytes, or as much as there still is, hole by hole."""
    os.ftruncate(target, size)
    position = 0
    while position < size:
        try:
            start = os.lseek(source, position, os.SEEK_DATA)
            end = min(size, os.lseek(source, start, os.SEEK_HOLE))
        except OSError as err:
            if err.errno == errno.ENXIO:  # nothing but a hole up to its end
                return
            raise
        position = start
        while position < end:
            copied = os.copy_file_range(
                source, target, min(_PIECE_BYTES, end - position), position, position
            )
            if not copied:
                return
            position += copied


@contextmanager
def _opened(name: str, parent: int) -> Generator[int]:
    descriptor = os.open(name, _FILE, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _close(level: _Level) -> None:
    os.close(level.source)
    os.close(level.target)
