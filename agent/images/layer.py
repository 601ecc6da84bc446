"""Decide what each entry of a layer does to the directory that the layer is unpacked into.

Two rules differ from the obvious guess. A layer never meets the layers below it, so a deletion
(`.wh.name`, `.wh..wh..opq`) becomes what overlayfs takes for one, and it never hides what
its own layer adds, in whatever order the entries come (OCI image specification, "Whiteouts").
And every name is resolved here, through the symbolic links that the layer itself planted: the
directory started empty, so its tree is known, and nothing is left for the kernel to follow.
A link that leads out of the layer may exist, for a container will read it in its own root;
an entry that passes through one is refused.
"""

from enum import Enum
from typing import Literal, TypeAlias

from msgspec import Struct

from swarm.errors import Invalid

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"
_AUFS = ".wh..wh."  # bookkeeping of a file system that is gone; every reader skips it
_NAME_LIMIT_BYTES = 255
_PATH_LIMIT_BYTES = 4095
_LINKS_LIMIT = 40  # as many as the kernel follows


class Kind(Enum):
    """What an entry of a tar archive is."""

    DIRECTORY = "directory"
    FILE = "file"
    SYMLINK = "symbolic link"
    HARDLINK = "hard link"
    CHARACTER = "character device"
    BLOCK = "block device"
    FIFO = "fifo"


class Entry(Struct, frozen=True):
    """As much of a tar entry as decisions need; `target` is for links."""

    name: str
    kind: Kind
    target: str = ""


class Remove(Struct, frozen=True):
    """Delete what an earlier entry, or its whiteout, left at `path`."""

    path: str


class MakeParent(Struct, frozen=True):
    """Make a directory that no entry has described (yet)."""

    path: str


class Make(Struct, frozen=True):
    """Make what the entry describes; nothing is at `path`. Hard links go to `target`."""

    path: str
    target: str = ""


class Describe(Struct, frozen=True):
    """Give the directory at `path` the entry's owner, mode and times."""

    path: str


class Hide(Struct, frozen=True):
    """Make `path` hide what is below it: a character device 0/0."""

    path: str


class Cover(Struct, frozen=True):
    """Make the directory at `path` hide the content of those below it (opaque)."""

    path: str


Effect: TypeAlias = Remove | MakeParent | Make | Describe | Hide | Cover


class _Directory:
    __slots__ = ("children",)

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}


class _Symlink(Struct, frozen=True):
    target: str


_Node: TypeAlias = _Directory | _Symlink | Literal["leaf", "whiteout"]


class Layer:
    """The tree of one layer, as far as its entries have come.

    `covers_root` says that the layer hides everything below it; overlayfs ignores the mark
    on a root, so whoever stacks layers has to stop there.
    """

    def __init__(self) -> None:
        self._root = _Directory()
        self.covers_root = False

    def step(self, entry: Entry) -> tuple[Effect, ...]:
        """Advance by one entry; after an `Invalid` entry the layer is of no more use."""
        parts = split_name(entry.name)
        if parts and parts[0].startswith(_AUFS) and parts[0] != OPAQUE:
            return ()
        if not parts:
            if entry.kind is not Kind.DIRECTORY:
                raise Invalid(f"layer entry {entry.name!r}: the root must be a directory")
            return (Describe(""),)
        _check_whiteout_parents(entry, parts)
        if entry.kind is Kind.SYMLINK:
            _check_target(entry)
        source = self._hardlink_source(entry) if entry.kind is Kind.HARDLINK else None
        path, effects = self._enter(entry, parts[:-1])
        if parts[-1].startswith(WHITEOUT):
            return (*effects, *self._whiteout(entry, path, parts[-1]))
        return (*effects, *self._add(entry, (*path, parts[-1]), source))

    def _add(
        self, entry: Entry, path: tuple[str, ...], source: tuple[str, ...] | None
    ) -> tuple[Effect, ...]:
        siblings = self._at(path[:-1]).children
        old, joined = siblings.get(path[-1]), "/".join(path)
        if entry.kind is Kind.DIRECTORY:
            if isinstance(old, _Directory):
                return (Describe(joined),)
            siblings[path[-1]] = _Directory()
            if old == "whiteout":
                return (Remove(joined), Make(joined), Cover(joined))
        elif source == path:
            return ()
        elif source is not None:
            if source[: len(path)] == path:
                raise Invalid(f"layer entry {entry.name!r}: replaces what holds its link's target")
            siblings[path[-1]] = self._at(source[:-1]).children[source[-1]]
        else:
            is_link = entry.kind is Kind.SYMLINK
            siblings[path[-1]] = _Symlink(entry.target) if is_link else "leaf"
        made = Make(joined, "/".join(source or ()))
        return (made,) if old is None else (Remove(joined), made)

    def _whiteout(self, entry: Entry, parent: tuple[str, ...], marker: str) -> tuple[Effect, ...]:
        joined = "/".join(parent)
        if marker == OPAQUE:
            self.covers_root = self.covers_root or not parent
            return (Cover(joined),)
        if marker.startswith(_AUFS):
            return ()
        name = marker.removeprefix(WHITEOUT)
        if name in ("", ".", ".."):
            raise Invalid(f"layer entry {entry.name!r}: the whiteout names nothing")
        siblings = self._at(parent).children
        path = "/".join((*parent, name))
        if isinstance(siblings.get(name), _Directory):
            return (Cover(path),)
        if name in siblings:
            return ()
        siblings[name] = "whiteout"
        return (Hide(path),)

    def _enter(self, entry: Entry, parts: tuple[str, ...]) -> tuple[tuple[str, ...], list[Effect]]:
        """Resolve a parent directory, making what is missing of it."""
        path, missing = self._resolve(entry, parts)
        effects: list[Effect] = []
        here = self._root
        for depth, name in enumerate(path, start=1):
            child = here.children.get(name)
            if not isinstance(child, _Directory):
                joined = "/".join(path[:depth])
                assert missing
                effects.append(MakeParent(joined))
                if child == "whiteout":
                    effects[-1:] = [Remove(joined), MakeParent(joined), Cover(joined)]
                child = here.children[name] = _Directory()
            here = child
        return path, effects

    def _resolve(self, entry: Entry, parts: tuple[str, ...]) -> tuple[tuple[str, ...], bool]:
        """Where `parts` lead, through links, and whether some of it does not exist yet."""
        pending = list(reversed(parts))
        path: list[str] = []
        followed, missing = 0, False
        while pending:
            name = pending.pop()
            if name == "..":
                if not path:
                    raise Invalid(
                        f"layer entry {entry.name!r} leaves the layer through a symbolic link"
                    )
                path.pop()
                continue
            child = None if missing else self._at(tuple(path)).children.get(name)
            if isinstance(child, _Symlink):
                followed += 1
                pending += reversed(_through(entry, "/".join((*path, name)), child, followed))
                continue
            if child == "leaf":
                raise Invalid(
                    f"layer entry {entry.name!r}: {'/'.join((*path, name))!r} is not a directory"
                )
            path.append(name)
            missing = self._lookup(tuple(path)) is None
        return tuple(path), missing

    def _hardlink_source(self, entry: Entry) -> tuple[str, ...]:
        parts = split_name(entry.target, of=entry)
        if not parts:
            raise Invalid(f"layer entry {entry.name!r}: a hard link to the root")
        path, missing = self._resolve(entry, parts[:-1])
        node = None if missing else self._at(path).children.get(parts[-1])
        if not isinstance(node, _Symlink) and node != "leaf":
            raise Invalid(
                f"layer entry {entry.name!r}: hard link to {entry.target!r}, which is not a file"
                " of this layer",
                hint="the layer is damaged, or means a file outside of it",
            )
        return (*path, parts[-1])

    def _at(self, path: tuple[str, ...]) -> _Directory:
        found = self._lookup(path)
        assert found is not None
        return found

    def _lookup(self, path: tuple[str, ...]) -> _Directory | None:
        here = self._root
        for name in path:
            child = here.children.get(name)
            if not isinstance(child, _Directory):
                return None
            here = child
        return here


def split_name(name: str, *, of: Entry | None = None) -> tuple[str, ...]:
    """The components of a name in an archive; the root is `()`.

    A leading slash means the root of the archive, as every other reader has it. `..` and names
    that no file system can hold are `Invalid`.
    """
    shown = f"{of.name!r}: link target {name!r}" if of else repr(name)
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        raise Invalid(
            f"archive entry {shown} leaves the archive with '..'",
            hint="create the archive from inside its root: tar -C ROOT -c .",
        )
    if "\0" in name:
        raise Invalid(f"archive entry {shown} contains a zero byte")
    if not name:
        raise Invalid(f"archive entry {shown} has no name" if of is None else f"{shown} is empty")
    sizes = [len(part.encode(errors="surrogateescape")) for part in parts]
    if (
        any(size > _NAME_LIMIT_BYTES for size in sizes)
        or sum(sizes) + len(sizes) > _PATH_LIMIT_BYTES
    ):
        raise Invalid(f"layer entry {shown[:60]}...: the name is too long for a file system")
    return parts


def _through(entry: Entry, path: str, link: _Symlink, followed: int) -> list[str]:
    if link.target.startswith("/"):
        raise Invalid(
            f"layer entry {entry.name!r} passes through the absolute symbolic link"
            f" {path!r} -> {link.target!r}",
            hint="the layer is malicious, or was packed through a link: pack real paths",
        )
    if followed > _LINKS_LIMIT:
        raise Invalid(f"layer entry {entry.name!r}: too many symbolic links")
    return [part for part in link.target.split("/") if part not in ("", ".")]


def _check_whiteout_parents(entry: Entry, parts: tuple[str, ...]) -> None:
    if any(part.startswith(WHITEOUT) for part in parts[:-1]):
        raise Invalid(f"layer entry {entry.name!r}: a whiteout cannot hold files")


def _check_target(entry: Entry) -> None:
    size = len(entry.target.encode(errors="surrogateescape"))
    if not 0 < size <= _PATH_LIMIT_BYTES or "\0" in entry.target:
        raise Invalid(f"layer entry {entry.name!r}: its link target is not a path")
