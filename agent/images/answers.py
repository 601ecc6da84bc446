"""What a worker and the agent say to each other about unpacked content.

Apart from the code that does the work: the agent reads the answers, and never needs `tarfile`.
"""

from msgspec import Struct

from agent.images.archive import Member
from agent.images.differences import Change
from runtime.oci.config import IdMapping

MARK = "layer.json"
TREE = "fs"


class Mark(Struct, frozen=True, kw_only=True):
    """What is known of an unpacked layer: written beside it before it gets its name.

    One that was made here has no blob: packed again, it is the same `tar_bytes` bytes. These are
    0 of all others.
    """

    diff_id: str
    size_bytes: int
    entries: int
    covers_root: bool
    tar_bytes: int = 0


class Collecting(Struct, frozen=True, kw_only=True):
    """Make a layer of the directory `upper`, which lies over the directories `below`.

    `below` has the topmost first. Paths of the container in `ignored` are the runtime's, as
    long as they are empty. Ids of the directory become those that `uids` and `gids` give them.
    With `take` the directory is no more afterwards, whatever comes of it.
    """

    upper: str
    below: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    uids: tuple[IdMapping, ...] = ()
    gids: tuple[IdMapping, ...] = ()
    take: bool = False


class Blob(Struct, frozen=True, kw_only=True):
    """A file that was written: what it holds, by digest."""

    digest: str
    size: int


class Staged(Struct, frozen=True, kw_only=True):
    """What an archive holds: files by name, where each content lies, and links by name."""

    members: dict[str, Member]
    files: dict[str, str]  # digest -> file name in the staging directory
    links: dict[str, str]


class Failed(Struct, frozen=True, kw_only=True):
    """Why it did not work: `errno` is 0 when the archive is to blame."""

    message: str
    hint: str = ""
    errno: int = 0


class Answer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Exactly one of them is set."""

    mark: Mark | None = None
    staged: Staged | None = None
    blob: Blob | None = None
    changes: tuple[Change, ...] | None = None
    failed: Failed | None = None
