"""What a build asks of its worker, and what it answers.

The worker touches all files of a build: it is one process with a file system of its own, where
nothing of the host is but the layers, to be read, and the build's directory.
"""

from msgspec import Struct

from agent.images.answers import Collecting, Mark

CONTEXT = "context"  # the names of directories in that of the build
MOUNT = "mount"


class Origin(Struct, frozen=True, kw_only=True):
    """Where files come from: a directory of the build, or layers, the topmost first."""

    directory: str = ""
    layers: tuple[str, ...] = ()


class Layered(Struct, frozen=True, kw_only=True):
    """What a step changes: `upper` lies over `layers`, the topmost of which is first."""

    layers: tuple[str, ...]
    upper: str
    work: str


class Unpack(Struct, frozen=True, kw_only=True, tag=True):
    """Unpack the archive on standard input, if that is one, into `directory`.

    A stream that is no archive is a Dockerfile, if one is wanted: `dockerfile` is its name.
    """

    directory: str
    dockerfile: str = ""


class Read(Struct, frozen=True, kw_only=True, tag=True):
    """Read a file of the context; content is None without one."""

    directory: str
    path: str
    largest: int


class Prune(Struct, frozen=True, kw_only=True, tag=True):
    """Delete what these patterns of an ignore file cover."""

    directory: str
    patterns: tuple[str, ...]


class Find(Struct, frozen=True, kw_only=True, tag=True):
    """Find the sources of a COPY, and tell their content by a digest.

    With `owners` the digest depends on whose they are. With `keeps_parents` patterns know `**`.
    """

    origin: Origin
    patterns: tuple[str, ...]
    excluded: tuple[str, ...] = ()
    owners: bool = False
    keeps_parents: bool = False


class Source(Struct, frozen=True, kw_only=True):
    """A file or directory to be copied; `below` is what of its path is kept (--parents)."""

    path: str
    is_directory: bool
    digest: str
    below: str = ""


class Content(Struct, frozen=True, kw_only=True):
    """A file that the Dockerfile itself holds."""

    name: str
    text: str


class Put(Struct, frozen=True, kw_only=True, tag=True):
    """Copy `sources` to `target`, which is absolute, with a slash where it is a directory.

    `owner` and `mode` are as in the flags; without `owner` files are root's, or with `owners`
    whose they were. With `unpacks` archives are unpacked instead. A `download` is a source, too.
    """

    layered: Layered
    target: str
    origin: Origin = Origin()
    sources: tuple[Source, ...] = ()
    contents: tuple[Content, ...] = ()
    excluded: tuple[str, ...] = ()
    owner: str = ""
    mode: str = ""
    owners: bool = False
    unpacks: bool = False


class MakeDirectory(Struct, frozen=True, kw_only=True, tag=True):
    """Make a directory and those above it."""

    layered: Layered
    path: str


class Extract(Struct, frozen=True, kw_only=True, tag=True):
    """Copy a source into a directory of the build, to be bound into a container."""

    origin: Origin
    path: str
    target: str


class Collect(Struct, frozen=True, kw_only=True, tag=True):
    """Make a layer of what a step wrote, in the directory `draft`."""

    asked: Collecting
    draft: str


class Merge(Struct, frozen=True, kw_only=True, tag=True):
    """Make one directory of several layers, the topmost first."""

    layers: tuple[str, ...]
    target: str


class Sync(Struct, frozen=True, kw_only=True, tag=True):
    """Have all that was written be on disk."""

    directory: str


class Delete(Struct, frozen=True, kw_only=True, tag=True):
    """Remove a directory of the build."""

    directory: str


Order = (
    Unpack | Read | Prune | Find | Put | MakeDirectory | Extract | Collect | Merge | Sync | Delete
)


class Failed(Struct, frozen=True, kw_only=True):
    """Why not; with `errno` it was the kernel."""

    message: str
    hint: str = ""
    errno: int = 0
    is_refused: bool = False


class Answer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came of an order; exactly what was asked for is there."""

    failed: Failed | None = None
    content: str | None = None
    sources: tuple[Source, ...] = ()
    mark: Mark | None = None
    is_archive: bool = False
    count: int = 0
