"""Read paths of containers as Docker does: from the root, with `..` resolved by the letter.

A slash or a dot at the end still counts after that. They say that a directory is meant, even if
it is found through a link, and a dot that its content is.
"""

import posixpath
import stat
from collections.abc import Iterable

from runtime.spec import Mount

_DIRECTORY, _SYMLINK, _DEVICE, _FIFO, _SOCKET = 1 << 31, 1 << 27, 1 << 26, 1 << 25, 1 << 24
_SETUID, _SETGID, _CHARACTER, _STICKY = 1 << 23, 1 << 22, 1 << 21, 1 << 20
_KINDS = {
    stat.S_IFDIR: _DIRECTORY,
    stat.S_IFLNK: _SYMLINK,
    stat.S_IFBLK: _DEVICE,
    stat.S_IFCHR: _DEVICE | _CHARACTER,
    stat.S_IFIFO: _FIFO,
    stat.S_IFSOCK: _SOCKET,
}
_BITS = {stat.S_ISUID: _SETUID, stat.S_ISGID: _SETGID, stat.S_ISVTX: _STICKY}


def absolute(path: str) -> str:
    """`path` from the root, with what its end says."""
    clean = normal(path)
    last = path.rpartition("/")[2]
    if last == ".":
        return f"{clean.rstrip('/')}/."
    return f"{clean.rstrip('/')}/" if path.endswith("/") else clean


def normal(path: str) -> str:
    """`path` from the root, by the letter."""
    return posixpath.normpath(f"/{path}").replace("//", "/", 1)


def split(path: str) -> tuple[str, str]:
    """An absolute path's directory and last name, which a slash at its end leaves empty."""
    above, _, name = path.rpartition("/")
    return above or "/", name


def shown_name(path: str) -> str:
    """What archives call that which is at an absolute path."""
    return path.rstrip("/").rpartition("/")[2] or "/"


def go_mode(mode: int) -> int:
    """A mode as Go's `os.FileMode` has it: what it is in the upper bits."""
    bits = sum(go for unix, go in _BITS.items() if mode & unix)
    return _KINDS.get(stat.S_IFMT(mode), 0) | bits | (mode & 0o777)


def objection(path: str, mounts: Iterable[Mount], *, read_only: bool) -> str:
    """Why nothing may be written at `path`, where its links have led; empty if it may."""
    covering = [each for each in mounts if is_below(path, normal(each.target))]
    if covering:
        last = max(covering, key=lambda each: len(normal(each.target)))
        return "mounted volume is marked read-only" if last.read_only else ""
    return "container rootfs is marked read-only" if read_only else ""


def is_below(path: str, directory: str) -> bool:
    """Whether `path` is `directory` or in it; both are normal."""
    return path == directory or path.startswith(f"{directory.rstrip('/')}/")
