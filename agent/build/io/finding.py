"""Find what COPY names, and tell its content by a digest.

The digest covers names, kinds, modes, links, contents and attributes, and owners where those
are kept; never times, so that a fresh clone of the same files is the same.
"""

import hashlib
import os
import posixpath
import stat
from collections.abc import Iterator
from typing import Final

from agent.build.globbing import compile_ignored, compile_path, has_wildcards, unescaped
from agent.build.ignoring import Ignored, ignored
from agent.build.io.rooted import DIRECTORY, Root
from agent.build.orders import Find, Source
from agent.images.io.packing import kept_xattrs
from swarm.errors import Invalid, Missing

_CHUNK_BYTES: Final = 1 << 20
_DEPTH: Final = 1024
_PIVOT: Final = "/./"


def find(root: Root, order: Find) -> tuple[Source, ...]:
    """The sources, in the order of the patterns; `Invalid` and `Missing` name what is not there."""
    excluded = ignored(order.excluded)
    found: list[Source] = []
    for pattern in order.patterns:
        for path in _matching(root, pattern, excluded, order):
            found.append(_source(root, path, pattern, excluded, order))
    if not found:
        raise Invalid("no source files were specified")
    return tuple(found)


def _matching(root: Root, pattern: str, excluded: Ignored, order: Find) -> Iterator[str]:
    path = clean(pattern)
    if not has_wildcards(path):
        if not is_excluded(excluded, path, path):
            yield unescaped(path)
        return
    expression = compile_ignored(path) if order.keeps_parents else compile_path(path)
    depth = 0 if order.keeps_parents else path.count("/") + 1
    for each in walk(root, "", depth):
        if expression.match(each) and not is_excluded(excluded, each, each):
            yield each


def clean(pattern: str) -> str:
    """A source relative to the root; `Invalid` for one that would lie outside."""
    path = posixpath.normpath(pattern.lstrip("/") or ".")
    if path == ".." or path.startswith("../"):
        raise Invalid(f"forbidden path outside the build context: {pattern} ()")
    return "" if path == "." else path


def _source(root: Root, path: str, pattern: str, excluded: Ignored, order: Find) -> Source:
    is_directory = root.is_directory(path)
    seen = hashlib.sha256()
    if is_directory:
        seen.update(_told_as("dir", _told(root, path, order, follows=True)))
        for each in walk(root, path, 0, prune=_pruner(excluded, path)):
            if not is_excluded(excluded, each, posixpath.relpath(each, path or ".")):
                seen.update(
                    _told_as(posixpath.relpath(each, path or "."), _told(root, each, order))
                )
    else:
        seen.update(_told_as(posixpath.basename(path), _told(root, path, order, follows=True)))
    return Source(
        path=path,
        is_directory=is_directory,
        digest=seen.hexdigest(),
        below=_below(path, pattern, is_directory=is_directory) if order.keeps_parents else "",
    )


def _found(root: Root, path: str, order: Find) -> os.stat_result:
    """What a source leads to; `Missing` when that is nothing, as of a link that dangles."""
    status = root.status(path)
    if status is None:
        where = "file not found in build context or excluded by .dockerignore: "
        raise Missing(f"{where if order.origin.directory else ''}stat {path}: file does not exist")
    return status


def _below(path: str, pattern: str, *, is_directory: bool) -> str:
    """What of the path is kept: all above a file, behind the pivot where there is one."""
    kept = path if is_directory else posixpath.dirname(path)
    if _PIVOT in pattern:
        pivot = clean(pattern.partition(_PIVOT)[0])
        kept = posixpath.relpath(kept or ".", pivot or ".")
    return "" if kept == "." else kept


def is_excluded(excluded: Ignored, path: str, inner: str) -> bool:
    """Whether `path` is left out, or what it is in the directory that is copied."""
    return bool(excluded.rules) and (excluded.covers(path) or excluded.covers(inner))


def _pruner(excluded: Ignored, top: str) -> "Ignored | None":
    return None if excluded.has_exceptions or not excluded.rules or top else excluded


def walk(root: Root, top: str, depth: int, *, prune: Ignored | None = None) -> Iterator[str]:
    """All paths below `top`, names sorted, a directory before what is in it.

    Links are not followed. `depth` bounds how far down, unless it is 0.
    """
    base = root.directory(top)
    levels: list[tuple[int, str, list[str]]] = [(os.dup(base), top, _names(base))]
    try:
        while levels:
            directory, above, names = levels[-1]
            if not names:
                os.close(levels.pop()[0])
                continue
            name = names.pop()
            path = posixpath.join(above, name)
            if prune is not None and prune.covers(path):
                continue
            yield path
            if depth and len(levels) >= depth:
                continue
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                if len(levels) > _DEPTH:
                    raise Invalid(f"{path[:80]}...: the directories are nested too deep")
                inner = os.open(name, DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
                levels.append((inner, path, _names(inner)))
    finally:
        for directory, _, _ in levels:
            os.close(directory)


def _names(directory: int) -> list[str]:
    return sorted(os.listdir(directory), reverse=True)


def _told_as(name: str, told: bytes) -> bytes:
    encoded = os.fsencode(name)
    return b"%d %d " % (len(encoded), len(told)) + encoded + told


def _told(root: Root, path: str, order: Find, *, follows: bool = False) -> bytes:
    """Everything of one file that counts."""
    above, name = posixpath.split(path)
    if follows:
        status = _found(root, path, order)
    else:
        parent = root.directory(above)
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
    kind = stat.S_IFMT(status.st_mode)
    told = b"%o %o " % (kind, stat.S_IMODE(status.st_mode) if kind != stat.S_IFLNK else 0)
    if order.owners:
        told += b"%d %d " % (status.st_uid, status.st_gid)
    if kind == stat.S_IFREG:
        with root.opened(path) as descriptor:
            return told + _xattrs(descriptor) + _digest(descriptor)
    if kind == stat.S_IFLNK:
        return told + os.fsencode(os.readlink(name, dir_fd=root.directory(above)))
    if kind in (stat.S_IFCHR, stat.S_IFBLK):
        return told + b"%d" % status.st_rdev
    return told


def _xattrs(descriptor: int) -> bytes:
    names = kept_xattrs(os.listxattr(descriptor))
    return b"".join(each.encode() + os.getxattr(descriptor, each) for each in names)


def _digest(descriptor: int) -> bytes:
    seen = hashlib.sha256()
    while data := os.read(descriptor, _CHUNK_BYTES):
        seen.update(data)
    return seen.digest()
