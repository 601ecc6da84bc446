"""Remember what steps came to, so that the same step on the same image need not be done again.

A key covers the image that the step began with (by its id, which covers all that came before), what
the history says of it, and the content that it copies. What it came to is a layer, or none. An
entry whose layer is gone means nothing.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from agent.build.image import History, ImageDocument
from swarm.errors import Invalid

KEPT_S = 30 * 24 * 3600.0
MOST_ENTRIES = 20_000
_VERSION = "1"


class Entry(Struct, frozen=True, kw_only=True):
    """What a step came to. `diff_id` is empty when it changed no file; `uses` counts builds."""

    key: str
    diff_id: str = ""
    size_bytes: int = 0
    tar_bytes: int = 0
    created: float = 0.0
    used_at: float = 0.0
    what: str = ""
    uses: int = 1


class Found(Struct, frozen=True, kw_only=True):
    """The digest of what an image holds at some paths; it never changes."""

    key: str
    answer: str
    used_at: float


class Index(Struct, frozen=True, kw_only=True):
    """All that is remembered."""

    entries: dict[str, Entry] = {}
    found: dict[str, Found] = {}

    @property
    def diff_ids(self) -> frozenset[str]:
        """The layers that are to be kept."""
        return frozenset(entry.diff_id for entry in self.entries.values() if entry.diff_id)

    def with_entry(self, entry: Entry) -> "Index":
        """With an entry, instead of one that has its key."""
        return replace(self, entries={**self.entries, entry.key: entry})

    def with_found(self, found: Found) -> "Index":
        """With a digest more."""
        return replace(self, found={**self.found, found.key: found})

    def used(self, keys: Collection[str], now: float) -> "Index":
        """These were of use just now."""
        return replace(
            self,
            entries={
                key: replace(entry, used_at=now, uses=entry.uses + 1) if key in keys else entry
                for key, entry in self.entries.items()
            },
        )

    def without(self, keys: Collection[str]) -> "Index":
        """Without these entries."""
        return replace(self, entries={k: e for k, e in self.entries.items() if k not in keys})


def encode(index: Index) -> bytes:
    """The index as JSON."""
    return msgspec.json.encode(index)


def decode(body: bytes) -> Index:
    """Read `encode`'s JSON; `Invalid` when it is not that."""
    try:
        return msgspec.json.decode(body, type=Index)
    except (msgspec.MsgspecError, UnicodeDecodeError) as err:
        raise Invalid(f"build cache: {err}") from err


def key_of(parent_id: str, *parts: str) -> str:
    """The key of a step on the image `parent_id`."""
    seen = hashlib.sha256()
    for part in (_VERSION, parent_id, *parts):
        encoded = part.encode(errors="surrogateescape")
        seen.update(b"%d:" % len(encoded) + encoded)
    return seen.hexdigest()


def prune(
    index: Index,
    *,
    unused_since: float = 0.0,
    keep_bytes: int = 0,
    only: Collection[str] = (),
    spared: Collection[str] = (),
) -> tuple[str, ...]:
    """The keys of entries that go, those that were not used for longest first.

    Those unused since a moment (`unused_since`, 0 is any), as long as more than `keep_bytes` are
    kept; a layer that several entries share counts once. Without `only` any may go, but for those
    whose layers are `spared`.
    """
    sizes = {e.diff_id: e.size_bytes for e in index.entries.values() if e.diff_id}
    users: dict[str, int] = {}
    for entry in index.entries.values():
        users[entry.diff_id] = users.get(entry.diff_id, 0) + 1
    total = sum(sizes.values())
    gone: list[str] = []
    for entry in sorted(index.entries.values(), key=lambda each: (each.used_at, each.key)):
        if unused_since and entry.used_at >= unused_since:
            break
        if keep_bytes and total <= keep_bytes:
            break
        if (only and entry.key not in only) or entry.diff_id in spared:
            continue
        gone.append(entry.key)
        users[entry.diff_id] -= 1
        if not users[entry.diff_id]:
            total -= sizes.get(entry.diff_id, 0)
    return tuple(gone)


def overdue(index: Index, *, now: float, keep_bytes: int) -> tuple[str, ...]:
    """What goes by itself: what was not used for a month, and what is too much."""
    old = [key for key, entry in index.entries.items() if entry.used_at < now - KEPT_S]
    rest = index.without(old)
    by_age = sorted(rest.entries.values(), key=lambda each: (each.used_at, each.key))
    many = [entry.key for entry in by_age[: max(0, len(by_age) - MOST_ENTRIES)]]
    rest = rest.without(many)
    size = sum({e.diff_id: e.size_bytes for e in rest.entries.values()}.values())
    large = prune(rest, keep_bytes=keep_bytes) if size > keep_bytes else ()
    return (*old, *many, *large)


def reusable(
    document: ImageDocument,
    created_by: str,
    sources: Iterable[ImageDocument],
    *,
    has_layer: Callable[[str], bool],
) -> tuple[History, str] | None:
    """The step that follows in the history of one of `sources`, and its layer, if it has one.

    The source must have come about as `document` did, step by step and layer by layer.
    """
    done, layers = document.deeds, document.diff_ids
    for source in sources:
        deeds = source.deeds
        if len(deeds) <= len(done) or deeds[: len(done)] != done:
            continue
        if source.diff_ids[: len(layers)] != layers:
            continue
        following = deeds[len(done)]
        if following.created_by != created_by:
            continue
        if following.empty_layer:
            return following, ""
        if len(source.diff_ids) > len(layers) and has_layer(source.diff_ids[len(layers)]):
            return following, source.diff_ids[len(layers)]
    return None
