"""Show what is in a container, from inside of it.

The kernel resolves every path in the container's root, which is ours by now, and passes through
nothing that only the kernel itself could have put there. A link at the end of a path is shown and
not followed, unless a slash after it says otherwise.
"""

import errno
import os
import stat
from typing import BinaryIO

from msgspec import Struct

from agent.images.io.packing import Packer
from agent.standalone.errands import Failed, Missed, PathStat
from agent.standalone.paths import absolute, go_mode, shown_name, split
from runtime.io.inside.targets import find
from swarm.errors import Invalid

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_LINKS = 255  # as many as Docker follows to say where a link leads


class Here(Struct, frozen=True, kw_only=True):
    """What was found: `name` in the open `directory`, or that itself if there is no name."""

    directory: int
    name: str
    stat: PathStat


class Looking:
    """Looks below `root`, an open directory."""

    def __init__(self, root: int) -> None:
        self._root = root

    def find(self, path: str) -> Here | Missed | Failed:
        """What is at a path, to be told or packed."""
        wanted = absolute(path)
        above, name = split(wanted)
        try:
            parent = find(self._root, above, os.O_PATH | os.O_DIRECTORY)
        except OSError as err:
            return absent(err, path)
        try:
            # An empty name means the directory itself.
            status = os.stat(name or ".", dir_fd=parent, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                entered = os.open(name or ".", _DIRECTORY, dir_fd=parent)
                os.close(parent)
                parent, name = entered, ""
        except OSError as err:
            os.close(parent)
            return absent(err, path)
        return Here(
            directory=parent,
            name=name,
            stat=PathStat(
                name=shown_name(wanted),
                size_bytes=status.st_size,
                mode=go_mode(status.st_mode),
                modified_at=status.st_mtime,
                link_target=self.resolved(wanted) if stat.S_ISLNK(status.st_mode) else "",
            ),
        )

    def export(self, output: BinaryIO) -> None:
        """Pack everything."""
        packer = Packer(output.write, purpose="copy")
        packer.add_tree(self._root)
        packer.finish()

    def resolved(self, path: str) -> str:
        """Where `path` leads, as far as anything is there, and by the letter from then on."""
        left, done, links = _names(path), list[str](), 0
        while left:
            name = left.pop()
            if name == "..":
                done = done[:-1]
                continue
            target = self._target("/".join(("", *done, name)))
            if target is None:
                done.append(name)
                continue
            links += 1
            if links > _LINKS:
                raise Invalid(f"{path}: too many links")
            left += _names(target)
            done = [] if target.startswith("/") else done
        return "/" + "/".join(done)

    def _target(self, path: str) -> str | None:
        try:
            found = find(self._root, path, os.O_PATH | os.O_NOFOLLOW)
        except OSError:
            return None
        try:
            return os.readlink("", dir_fd=found)
        except OSError:
            return None  # it is no link
        finally:
            os.close(found)


def pack(here: Here, output: BinaryIO) -> None:
    """Pack what was found, under the last name of its path."""
    packer = Packer(output.write, purpose="copy")
    shown = os.fsencode(here.stat.name)
    if here.name:
        packer.add(here.directory, os.fsencode(here.name), shown)
    else:
        below = shown.rstrip(b"/") + b"/"
        packer.add_directory(here.directory, below)
        packer.add_tree(here.directory, below)
    packer.finish()


def absent(err: OSError, path: str) -> Missed | Failed:
    """What is said of a path that cannot be reached."""
    if err.errno == errno.ENOENT:
        return Missed()
    if err.errno in (errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG):
        return Failed(f"{path}: {os.strerror(err.errno).lower()}")
    raise err


def _names(path: str) -> list[str]:
    """The names in a path, the last one first."""
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]
