"""What a worker and the agent say to each other about unpacked content.

Apart from the code that unpacks: the agent reads the answers, and never needs `tarfile`.
"""

from msgspec import Struct

from agent.images.archive import Member

MARK = "layer.json"
TREE = "fs"


class Mark(Struct, frozen=True, kw_only=True):
    """What is known of an unpacked layer: written beside it before it gets its name."""

    diff_id: str
    size_bytes: int
    entries: int
    covers_root: bool


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
    failed: Failed | None = None
