"""Follow a prefix for ever: how it stands, then everything that changes.

A follower that was away for too long is not started over. It is told what must have changed
in the meantime, as one batch, so whoever consumes this sees a snapshot once and otherwise
only changes.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

from manager.store import Batch, Compacted, Fence, Snapshot, Store, difference, holds
from swarm.errors import Unavailable

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 1.0


async def follow(store: Store, prefix: str) -> AsyncGenerator[Snapshot | Batch, None]:
    """Yield the prefix's snapshot first, then each later commit's changes once, in order.

    Waits while nobody answers. After compaction a batch may stand for many commits; in it,
    deletions come first and bear the revision of the new listing.
    """
    snapshot = await read_patiently(store, prefix)
    known = {item.key: item.mod_revision for item in snapshot.items}
    revision = snapshot.revision
    yield snapshot
    while True:
        try:
            async with aclosing(store.watch(prefix, after=revision)) as batches:
                async for batch in batches:
                    revision = batch.revision
                    _learn(known, batch)
                    yield batch
        except Compacted:
            snapshot = await read_patiently(store, prefix)
            revision = snapshot.revision
            missed = Batch(revision, difference(known, snapshot))
            _learn(known, missed)
            if missed.changes:
                yield missed


async def read_patiently(store: Store, prefix: str) -> Snapshot:
    """Read `prefix` as soon as someone answers."""
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            return await store.read(prefix)
        except Unavailable:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


async def wait_gone(store: Store, fence: Fence) -> None:
    """Return once `fence` no longer holds: its key is gone, even if it was made again."""
    while True:
        snapshot = await read_patiently(store, fence.key)
        if not holds(fence, snapshot.find(fence.key)):
            return
        with suppress(Compacted):
            async with aclosing(store.watch(fence.key, after=snapshot.revision)) as batches:
                async for batch in batches:
                    if any(c.key == fence.key and c.value is None for c in batch.changes):
                        return


def _learn(known: dict[str, int], batch: Batch) -> None:
    for change in batch.changes:
        if change.value is None:
            known.pop(change.key, None)
        else:
            known[change.key] = change.mod_revision
