"""Say what the directory that overlayfs wrote to changed of the layers below it.

What is below is looked up layer by layer, as overlayfs does it: the topmost name counts, unless
a deletion or an opaque directory hides it. So nothing has to be mounted, and a container
that runs can be looked at. A directory is copied up for anything that happens in it, and
counts only if something did, or if it is not what it was; its times do not matter. What the
runtime itself put there, to mount something over it, is no change (`ignored`): an empty file or
directory.

With `prune` what is no change is deleted, so that the directory holds nothing but changes and
can become a layer.
"""

import errno
import os
import stat
from collections.abc import Callable, Collection, Sequence
from typing import Final

from msgspec import Struct

from agent.images.differences import Change, Difference
from agent.images.io.packing import is_opaque, is_whiteout, kept_xattrs
from swarm.errors import Invalid, Refused

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_GONE: Final = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_OVERLAY: Final = "trusted.overlay."
_OPAQUE: Final = "trusted.overlay.opaque"
_STEERING: Final = ("trusted.overlay.redirect", "trusted.overlay.metacopy")
_DEPTH: Final = 2048  # as many names as a path can have

Owner = Callable[[int, int], tuple[int, int]]


class _Level(Struct):
    """A directory of the upper layer that is being compared with those below it."""

    directory: int
    path: str
    names: list[str]
    below: list[int]  # the same directory in the layers below, the topmost first
    is_kept: bool  # it is a change whatever is in it
    hides: bool = False  # nothing of those shows through
    is_pruned: bool = False
    mtime_ns: int = 0


class Comparison:
    """Compares one upper directory. `owner` says whose a file of the upper directory is."""

    def __init__(
        self,
        layers: Sequence[str],
        *,
        ignored: Collection[str] = (),
        owner: Owner = lambda uid, gid: (uid, gid),
        prune: bool = False,
    ) -> None:
        self._layers = layers
        self._ignored = frozenset(ignored)
        self._around = {above for path in ignored for above in _ancestors(path)}
        self._owner = owner
        self._prune = prune
        self._found: list[tuple[str, Difference]] = []

    def run(self, upper: int) -> list[Change]:
        """All changes, each directory before what is in it, names sorted."""
        below = [os.open(layer, _DIRECTORY) for layer in self._layers]
        status = os.fstat(upper)
        top = _Level(upper, "", _names(upper), below, is_kept=True, mtime_ns=status.st_mtime_ns)
        levels = [top]
        try:
            while levels:
                level = levels[-1]
                if level.names:
                    if (inner := self._look(level, level.names.pop())) is not None:
                        levels.append(inner)
                    if len(levels) > _DEPTH:
                        raise Invalid(f"{level.path[:80]!r}...: its path is too long for a layer")
                else:
                    self._leave(levels)
        finally:
            for level in levels:
                _close(level, keep=upper)
        return [Change(os.fsencode(path), kind) for path, kind in self._found]

    def _look(self, level: _Level, name: str) -> _Level | None:
        path = f"{level.path}/{name}"
        try:
            status = os.stat(name, dir_fd=level.directory, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                directory = os.open(name, _DIRECTORY, dir_fd=level.directory)
                return self._enter(level, path, directory)
        except OSError as err:
            if err.errno in _GONE:
                return None  # it was here a moment ago
            raise
        lower, _ = _lookup(level.below, name, enter=False)
        if is_whiteout(status):
            if lower is not None:
                self._found.append((path, Difference.DELETED))
            else:
                self._drop(level, name)
        elif self._is_no_change(path, status, lower):
            self._drop(level, name)
        else:
            self._clean(level, name, status)
            kind = Difference.ADDED if lower is None else Difference.MODIFIED
            self._found.append((path, kind))
        return None

    def _is_no_change(
        self, path: str, status: os.stat_result, lower: os.stat_result | None
    ) -> bool:
        """What the runtime put there, and sockets, which no archive has."""
        if stat.S_ISSOCK(status.st_mode):
            return self._prune
        return lower is None and path in self._ignored and _is_empty_file(status)

    def _enter(self, level: _Level, path: str, directory: int) -> _Level:
        inner = _Level(directory, path, [], [], is_kept=False)
        try:
            lower, inner.below = _lookup(level.below, path.rpartition("/")[2])
            is_ours = path in self._ignored or path in self._around
            inner.is_kept = not is_ours
            if lower is not None:
                inner.is_kept = self._differs(directory, lower, inner.below)
            kind = Difference.ADDED if lower is None else Difference.MODIFIED
            self._found.append((path, kind))
            inner.hides = level.hides or is_opaque(directory)
            if inner.hides and inner.below:
                self._found += _hidden(path, directory, inner.below)
                inner.is_kept = True
            self._strip(directory)
            inner.names = _names(directory)
            inner.mtime_ns = os.fstat(directory).st_mtime_ns
        except BaseException:
            _close(inner, keep=-1)
            raise
        return inner

    def _leave(self, levels: list[_Level]) -> None:
        """All of a directory has been looked at: it counts if something in it does."""
        level = levels.pop()
        parent = levels[-1] if levels else None
        is_last = bool(self._found) and self._found[-1][0] == level.path
        if level.is_pruned:
            os.utime(level.directory, ns=(level.mtime_ns, level.mtime_ns))
        _close(level, keep=level.directory if parent is None else -1)
        if parent is not None and is_last and not level.is_kept:
            self._found.pop()
            self._drop(parent, level.path.rpartition("/")[2], is_directory=True)

    def _differs(self, directory: int, lower: os.stat_result, below: list[int]) -> bool:
        """Whether a directory is another than the one below it, its times aside."""
        if not below:
            return True  # it replaced something else
        here = os.fstat(directory)
        return (
            stat.S_IMODE(here.st_mode) != stat.S_IMODE(lower.st_mode)
            or self._owner(here.st_uid, here.st_gid) != (lower.st_uid, lower.st_gid)
            or _xattrs(directory) != _xattrs(below[0])
        )

    def _drop(self, level: _Level, name: str, *, is_directory: bool = False) -> None:
        if not self._prune:
            return
        level.is_pruned = True
        if is_directory:
            os.rmdir(name, dir_fd=level.directory)
        else:
            os.unlink(name, dir_fd=level.directory)

    def _clean(self, level: _Level, name: str, status: os.stat_result) -> None:
        if self._prune and stat.S_ISREG(status.st_mode):
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(name, flags, dir_fd=level.directory)
            try:
                self._strip(descriptor)
            finally:
                os.close(descriptor)

    def _strip(self, descriptor: int) -> None:
        """Take away what steers overlayfs in the upper layer only."""
        for name in os.listxattr(descriptor):
            if name in _STEERING:
                raise Refused(
                    f"the layer has {name}, which no archive can tell",
                    hint="switch redirect_dir and metacopy of the overlay module off",
                )
            if self._prune and name.startswith(_OVERLAY) and name != _OPAQUE:
                os.removexattr(descriptor, name)


def _hidden(path: str, directory: int, below: list[int]) -> list[tuple[str, Difference]]:
    """What was in a directory that was removed and made anew."""
    here, there = set(os.listdir(directory)), set[str]()
    for each in below:
        there.update(os.listdir(each))  # noqa: PTH208
    gone = [name for name in there - here if _lookup(below, name, enter=False)[0] is not None]
    return [(f"{path}/{name}", Difference.DELETED) for name in sorted(gone, key=os.fsencode)]


def _names(directory: int) -> list[str]:
    return sorted(os.listdir(directory), key=os.fsencode, reverse=True)


def _lookup(
    directories: list[int], name: str, *, enter: bool = True
) -> tuple[os.stat_result | None, list[int]]:
    """What `name` is in the layers below, and where it goes on if it is a directory.

    The descriptors are the caller's to close; without `enter` there are none.
    """
    found: os.stat_result | None = None
    inner: list[int] = []
    for directory in directories:
        try:
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            continue
        if is_whiteout(status) or (found is not None and not stat.S_ISDIR(status.st_mode)):
            break
        found = found or status
        if not enter or not stat.S_ISDIR(status.st_mode):
            break
        inner.append(os.open(name, _DIRECTORY, dir_fd=directory))
        if is_opaque(inner[-1]):
            break
    return found, inner


def _xattrs(descriptor: int) -> dict[str, bytes]:
    return {name: os.getxattr(descriptor, name) for name in kept_xattrs(os.listxattr(descriptor))}


def _is_empty_file(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and not status.st_size


def _ancestors(path: str) -> list[str]:
    names = path.strip("/").split("/")
    return ["/" + "/".join(names[:depth]) for depth in range(1, len(names))]


def _close(level: _Level, *, keep: int) -> None:
    for descriptor in (*level.below, level.directory):
        if descriptor != keep:
            os.close(descriptor)
