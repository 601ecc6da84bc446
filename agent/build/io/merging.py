"""Make one layer of several, as `--squash` wants it.

Layers are put on top of each other as overlayfs would show them, in the form that overlayfs writes:
what one deletes of those below it vanishes here, and stays deleted in what lies below them all.
"""

import os
import stat
from typing import Final

from agent.build.io.copying import copy_described, copy_xattrs
from agent.build.io.rooted import DIRECTORY, remove
from agent.images.io.packing import OPAQUE_XATTR, is_opaque, is_whiteout

_INNER: Final = DIRECTORY | os.O_NOFOLLOW


def merge(layers: tuple[str, ...], target: str) -> None:
    """Fill the new directory `target` with all `layers`, the topmost of which is first."""
    os.mkdir(target, 0o755)  # noqa: PTH102
    root = os.open(target, _INNER)
    try:
        for layer in reversed(layers):
            source = os.open(layer, _INNER)
            try:
                _apply(source, root)
            finally:
                os.close(source)
    finally:
        os.close(root)


def _apply(source: int, target: int) -> None:
    """Put one directory of a layer on top of the same one of those below it."""
    levels = [(os.dup(source), os.dup(target), os.listdir(source))]
    try:
        while levels:
            here, there, names = levels[-1]
            if not names:
                os.close(here)
                os.close(there)
                levels.pop()
                continue
            name = names.pop()
            status = os.stat(name, dir_fd=here, follow_symlinks=False)
            if not stat.S_ISDIR(status.st_mode):
                remove(there, name)
                copy_described(here, name, there, status)
                continue
            inner = os.open(name, _INNER, dir_fd=here)
            levels.append((inner, _merged(inner, there, name), os.listdir(inner)))  # noqa: PTH208
    finally:
        for here, there, _ in levels:
            os.close(here)
            os.close(there)


def _merged(source: int, parent: int, name: str) -> int:
    """The directory `name`, made or emptied where the layer above hides what was there."""
    try:
        before: os.stat_result | None = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        before = None
    hides = is_opaque(source)
    is_new = before is None or not stat.S_ISDIR(before.st_mode)
    if before is not None and (is_new or hides):
        hides = hides or is_whiteout(before)
        remove(parent, name)
        is_new = True
    if is_new:
        os.mkdir(name, 0o700, dir_fd=parent)
    target = os.open(name, _INNER, dir_fd=parent)
    if hides:
        os.setxattr(target, OPAQUE_XATTR, b"y")
    status = os.fstat(source)
    os.fchown(target, status.st_uid, status.st_gid)
    copy_xattrs(source, target)
    os.fchmod(target, stat.S_IMODE(status.st_mode))
    return target
