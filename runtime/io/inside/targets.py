"""Look paths up within a container's root, whatever its image or its neighbours put there.

Every path is resolved by the kernel with the container's root as its root, so a link can only
lead to another place in it. The result is a descriptor and is used as such: nobody can put
something else at a path between looking and mounting. What is missing is made one name at a
time, each in a directory that is open already.
"""

# Plain strings: pathlib would cost every start time.

import contextlib
import errno
import os
import stat

from runtime.io import kernel
from runtime.io.inside.held import Held

_MOST_LINKS = 40


def find(root: int, path: str, flags: int = os.O_PATH) -> int:
    """Open what is at `path`. Raises `OSError`."""
    return kernel.open_in_root(root, path, flags)


def find_or_make(root: int, path: str, *, is_dir: bool, strict: bool = False) -> int:
    """Open what is at `path`, or make it as a directory or an empty file.

    With `strict` it must not be a link.
    """
    try:
        found = find(root, path, os.O_PATH | (os.O_NOFOLLOW if strict else 0))
    except FileNotFoundError:
        return _make_last(root, path, is_dir=is_dir)
    if strict and stat.S_ISLNK(os.fstat(found).st_mode):
        os.close(found)
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
    return found


def _make_last(root: int, path: str, *, is_dir: bool) -> int:
    """Mostly only the last name is missing, and no link is where it should be."""
    above, _, name = path.rstrip("/").rpartition("/")
    if name not in ("", ".", ".."):
        with contextlib.suppress(OSError):
            parent = find(root, above or "/")
            try:
                return _make_entry(parent, name, is_dir=is_dir)
            finally:
                os.close(parent)
    return _Walk(root, path).make(is_dir=is_dir)


def _make_entry(parent: int, name: str, *, is_dir: bool) -> int:
    """Raises `FileExistsError` for whatever is there, a link that leads nowhere too."""
    if is_dir:
        os.mkdir(name, 0o755, dir_fd=parent)
        return os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(name, flags, 0o644, dir_fd=parent)


def directory_for(held: Held, path: str) -> tuple[int, str]:
    """The directory that `path` is in, made if need be, and the last name of `path`.

    The descriptor is kept, since what is made together lies together.
    """
    above, _, name = path.rstrip("/").rpartition("/")
    known, descriptor = held.directory
    if descriptor < 0 or known != above:
        forget_directory(held)
        descriptor = find_or_make(held.root, above or "/", is_dir=True)
        held.directory = (above, descriptor)
    return descriptor, name


def forget_directory(held: Held) -> None:
    """Look again next time: something may have been mounted over it."""
    if held.directory[1] >= 0:
        os.close(held.directory[1])
        held.directory = ("", -1)


class _Walk:
    """One walk down a path, following links within the root."""

    def __init__(self, root: int, path: str) -> None:
        self._root = root
        self._path = path
        self._left = _names(path)
        self._done: list[str] = []
        self._links = 0

    def make(self, *, is_dir: bool) -> int:
        here = os.dup(self._root)
        try:
            while self._left:
                here = self._step(here, is_dir=is_dir)
        except BaseException:
            os.close(here)
            raise
        return here

    def _step(self, here: int, *, is_dir: bool) -> int:
        name = self._left.pop()
        if name == "..":
            self._done = self._done[:-1]
            return self._replace(here, find(self._root, "/" + "/".join(self._done)))
        try:
            found = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
        except FileNotFoundError:
            found = _make_entry(here, name, is_dir=is_dir or bool(self._left))
        if stat.S_ISLNK(os.fstat(found).st_mode):
            return self._follow(here, found)
        self._done.append(name)
        return self._replace(here, found)

    def _follow(self, here: int, link: int) -> int:
        target = os.readlink("", dir_fd=link)
        os.close(link)
        self._links += 1
        if self._links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), self._path)
        self._left += _names(target)
        if not target.startswith("/"):
            return here
        self._done = []
        return self._replace(here, os.dup(self._root))

    @staticmethod
    def _replace(old: int, new: int) -> int:
        os.close(old)
        return new


def _names(path: str) -> list[str]:
    """The names in a path, the last one first."""
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]
