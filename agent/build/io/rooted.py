"""Work on files below one directory, as if that were the root of everything.

Every path is resolved by the kernel with that directory as root: `..` and links, absolute ones
too, lead nowhere else. Last components are never followed where something is made or removed.
"""

import errno
import os
import posixpath
import stat
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from agent.images.io.removing import remove_below
from runtime.io import kernel
from swarm.errors import Invalid

DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_ABSENT: Final = (errno.ENOENT, errno.ENOTDIR)
_NO_FILE: Final = (errno.EINVAL, errno.ELOOP, errno.ENXIO)  # a directory, a loop, a socket
_DIRECTORIES: Final = 64
_LINKS: Final = 40


class Root:
    """A directory as root; `close` in the end. Directories that were used stay open a while."""

    def __init__(self, path: str) -> None:
        self.descriptor = os.open(path, DIRECTORY)
        self._open: dict[str, int] = {}

    def close(self) -> None:
        """Let go of everything."""
        self.forget()
        os.close(self.descriptor)

    def forget(self) -> None:
        """Believe nothing of what paths led to any more."""
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()

    def directory(self, path: str) -> int:
        """A descriptor of a directory, valid until the next few calls; links are followed."""
        found = self._open.pop(path, None)
        if found is None:
            found = kernel.open_in_root(self.descriptor, path or ".", DIRECTORY)
        self._open[path] = found
        if len(self._open) > _DIRECTORIES:
            os.close(self._open.pop(next(iter(self._open))))
        return found

    def make_directories(self, path: str, uid: int = 0, gid: int = 0) -> int:
        """The same, with all that is missing made and given to `uid` and `gid`.

        A link that leads nowhere is followed, and where it leads is made.
        """
        for _ in range(_LINKS):
            missing: list[str] = []
            above = path
            while (found := self._directory_or_none(above)) is None:
                above, name = posixpath.split(above.rstrip("/"))
                missing.append(name)
            while missing and _make(found, missing[-1], uid, gid):
                above = posixpath.join(above, missing.pop())
                found = self.directory(above)
            if not missing:
                return found
            link = os.readlink(missing.pop(), dir_fd=found)
            path = posixpath.normpath(posixpath.join("/", above, link, *reversed(missing)))
        raise Invalid(f"{path}: too many levels of symbolic links")

    def _directory_or_none(self, path: str) -> int | None:
        try:
            return self.directory(path)
        except FileNotFoundError:
            return None

    def status(self, path: str) -> os.stat_result | None:
        """What `path` leads to; None when it leads nowhere."""
        try:
            descriptor = kernel.open_in_root(self.descriptor, path or ".", os.O_PATH)
        except OSError as err:
            if err.errno in _ABSENT:
                return None
            raise
        try:
            return os.fstat(descriptor)
        finally:
            os.close(descriptor)

    def is_directory(self, path: str) -> bool:
        """Whether `path` leads to a directory."""
        status = self.status(path)
        return status is not None and stat.S_ISDIR(status.st_mode)

    @contextmanager
    def opened(self, path: str) -> Generator[int]:
        """A regular file, links followed. Raises OSError for anything else."""
        descriptor = kernel.open_in_root(self.descriptor, path, _FILE)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.EINVAL, "not a regular file", path)
            yield descriptor
        finally:
            os.close(descriptor)

    def read(self, path: str, largest: int) -> str | None:
        """The text of a file, or None without one. Raises `Invalid` for what is no file."""
        try:
            with self.opened(path) as descriptor, open(descriptor, "rb", closefd=False) as file:
                return file.read(largest).decode(errors="replace")
        except OSError as err:
            if err.errno in _ABSENT:
                return None
            if err.errno in _NO_FILE:
                raise Invalid(f"{path} is no regular file", hint="put a file in its place") from err
            raise


def _make(parent: int, name: str, uid: int, gid: int) -> bool:
    """Make a directory; whether there was not a link already."""
    try:
        os.mkdir(name, 0o755, dir_fd=parent)
    except FileExistsError:
        return False
    os.chmod(name, 0o755, dir_fd=parent)
    os.chown(name, uid, gid, dir_fd=parent, follow_symlinks=False)
    return True


def remove(parent: int, name: str) -> None:
    """Remove whatever is there, and all below it."""
    assert name not in ("", ".", "..")
    assert "/" not in name
    try:
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return
    if stat.S_ISDIR(status.st_mode):
        remove_below(parent, name)
    else:
        os.unlink(name, dir_fd=parent)


@contextmanager
def rooted(path: str) -> Generator[Root]:
    """The directory `path` as root."""
    root = Root(path)
    try:
        yield root
    finally:
        root.close()
