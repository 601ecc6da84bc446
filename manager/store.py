"""Say what can be read from and written to the swarm's state, whoever keeps it.

A commit is atomic and optimistic: all its compares hold and everything is written, or
`Conflict` is raised and nothing is. After `Unavailable` nobody knows: the commit may have
happened, or may still happen a little later. So a caller never repeats a commit blindly; it
reads again and decides again, and the compares turn a repetition into a `Conflict`.

Keys are text, relative to the swarm's own prefix, and sort by their UTF-8 bytes.
"""

from collections.abc import AsyncGenerator, Mapping
from typing import NamedTuple, NewType, Protocol

from msgspec import Struct, structs

from swarm.errors import Conflict

LeaseId = NewType("LeaseId", int)
NO_LEASE = LeaseId(0)


class Compacted(Conflict):
    """The changes asked for are forgotten: list again, and go on from there."""


class Item(Struct, frozen=True, gc=False):
    """One key as it stands. `create_revision` changes when a key is deleted and made again."""

    key: str
    value: bytes
    mod_revision: int
    create_revision: int = 0
    lease: LeaseId = NO_LEASE


class Snapshot(Struct, frozen=True):
    """Everything under a prefix at one revision, sorted by key."""

    revision: int
    items: tuple[Item, ...]

    def find(self, key: str) -> Item | None:
        """The item at exactly `key`."""
        return next((item for item in self.items if item.key == key), None)


class Change(Struct, frozen=True, gc=False):
    """One key's new value, or `None` when it was deleted, at the revision of the change."""

    key: str
    value: bytes | None
    mod_revision: int


class Batch(NamedTuple):
    """What one commit changed under a prefix."""

    revision: int
    changes: tuple[Change, ...]


class Unchanged(Struct, frozen=True):
    """The key was last changed at `mod_revision`."""

    key: str
    mod_revision: int


class Absent(Struct, frozen=True):
    """There is no such key."""

    key: str


class Fence(Struct, frozen=True):
    """The key is still the one that was made at `create_revision`.

    On the election key this is the fencing token: it grows with every term, and a deposed
    leader's no longer holds.
    """

    key: str
    create_revision: int


Compare = Unchanged | Absent | Fence


class Put(Struct, frozen=True):
    """Write a key; bound to `lease`, it vanishes with it."""

    key: str
    value: bytes
    lease: LeaseId = NO_LEASE


class Delete(Struct, frozen=True):
    """Remove a key; no matter whether it is there."""

    key: str


class DeletePrefix(Struct, frozen=True):
    """Remove all keys that start with `prefix`; counts as one operation."""

    prefix: str


Operation = Put | Delete | DeletePrefix


class Commit(Struct, frozen=True):
    """If all compares hold, do all operations, at one revision."""

    compares: tuple[Compare, ...] = ()
    operations: tuple[Operation, ...] = ()


class Limits(Struct, frozen=True):
    """How large one commit may be: operations (and compares) and bytes."""

    operations: int
    bytes: int


class Lease(Struct, frozen=True):
    """What was granted, which may be longer than what was asked for."""

    id: LeaseId
    ttl_s: int


class Store(Protocol):
    """The state of one swarm. All methods raise `Unavailable` when nobody can answer."""

    @property
    def limits(self) -> Limits:
        """How large one commit may be; `manager.groups.split` cuts larger ones."""
        ...

    async def read(self, prefix: str) -> Snapshot:
        """List the keys under `prefix` as they stand now, consistent at one revision."""
        ...

    async def commit(self, commit: Commit) -> int:
        """Do it all and return its revision; `Conflict` names the compares that failed.

        A commit that finds nothing to do (it deletes what is not there) makes no revision
        and returns the latest one. `Invalid` when it is larger than `limits` or contradicts
        itself.
        """
        ...

    def watch(self, prefix: str, *, after: int) -> AsyncGenerator[Batch, None]:
        """Yield what changes under `prefix` after a revision: each commit once, in order.

        Survives lost connections. Raises `Compacted` when changes after `after` were lost.
        """
        ...

    async def grant(self, ttl_s: int) -> Lease:
        """Open a lease; keys put with it vanish when nobody keeps it alive for `ttl_s`."""
        ...

    async def keep_alive(self, lease: LeaseId) -> int:
        """Start the lease's time anew and return it (s); `Missing` when it has ended."""
        ...

    async def revoke(self, lease: LeaseId) -> None:
        """End the lease and remove its keys at one revision; fine when it has ended before."""
        ...


def fenced(commit: Commit, fence: Fence | Unchanged) -> Commit:
    """Have `commit` fail unless the term, or the stretch of it, that `fence` speaks of lasts."""
    return structs.replace(commit, compares=(fence, *commit.compares))


def holds(compare: Compare, item: Item | None) -> bool:
    """Whether `compare` is true of what stands at its key."""
    match compare:
        case Absent():
            return item is None
        case Unchanged(mod_revision=revision):
            return item is not None and item.mod_revision == revision
        case Fence(create_revision=revision):
            return item is not None and item.create_revision == revision


def difference(known: Mapping[str, int], snapshot: Snapshot) -> tuple[Change, ...]:
    """What must have changed since each key of `known` was at its revision.

    Deletions come first and bear the snapshot's revision: when they happened is forgotten.
    """
    standing = {item.key for item in snapshot.items}
    gone = (Change(key, None, snapshot.revision) for key in sorted(known.keys() - standing))
    news = (
        Change(item.key, item.value, item.mod_revision)
        for item in snapshot.items
        if known.get(item.key) != item.mod_revision
    )
    return (*gone, *news)
