"""Keep the view at the store's heels, and tell everyone what changed.

The view has one writer: this module. It follows the watch, and takes this manager's own
commits in at once, so that whoever decides next already sees them. Listeners are called
synchronously, in the order in which they were added, and must only take notes.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing

import structlog

from manager import layout
from manager.applied import Applied
from manager.decisions import changes_made
from manager.metrics import Metrics
from manager.store import Commit, Compacted, Store
from manager.view import ClusterView
from swarm.errors import Conflict, Unavailable

Listener = Callable[[Applied], None]

RETRY_S = 0.1
SETTLED_WITHIN_S = 0.5


class Mirror:
    """The cluster as this manager knows it."""

    def __init__(
        self,
        store: Store,
        log: structlog.stdlib.BoundLogger,
        metrics: Metrics,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.view = ClusterView()
        self.store = store
        self.metrics = metrics
        self.clock = clock
        self.is_loaded = False
        self._log = log
        self._listeners: list[Listener] = []
        self._advanced = asyncio.Event()

    def listen(self, listener: Listener) -> None:
        """Have `listener` told of every change from now on."""
        self._listeners.append(listener)

    async def run(self) -> None:
        """Follow the store for ever; it may be away for a while."""
        while True:
            try:
                await self._follow()
            except Compacted:
                self._log.info("view.relisted", revision=self.view.revision)
            except Unavailable as err:
                self._log.warning("store.lost", reason=err.message)
                await asyncio.sleep(RETRY_S)

    async def commit(self, commit: Commit) -> int:
        """Do it, and know of it at once; returns the revision.

        `Conflict` when someone was faster, `Unavailable` when nobody knows if it happened.
        """
        started = time.perf_counter()
        try:
            revision = await self.store.commit(commit)
        except Conflict:
            self.metrics.commits.labels("conflict").inc()
            raise
        except Unavailable:
            self.metrics.commits.labels("unavailable").inc()
            raise
        self.metrics.commits.labels("done").inc()
        self.metrics.commit_seconds.observe(time.perf_counter() - started)
        changes = changes_made(commit, revision)
        self.tell(self.view.apply(changes, revision, now=self.clock(), ahead=True))
        return revision

    async def loaded(self) -> None:
        """Wait until the view knows the whole cluster for the first time."""
        while not self.is_loaded:
            await self._advanced.wait()

    async def caught_up(self, revision: int) -> None:
        """Wait until the watch has delivered everything up to `revision`."""
        while self.view.revision < revision:
            await self._advanced.wait()

    async def settle(self) -> None:
        """After a conflict: wait for the view to see what it had not seen.

        The store's revision may be beyond our keys where others share an etcd, so the wait
        is bounded; deciding again on a view that is still old only costs another conflict.
        """
        snapshot = await self.store.read(layout.CLUSTER)
        try:
            async with asyncio.timeout(SETTLED_WITHIN_S):
                await self.caught_up(snapshot.revision)
        except TimeoutError:
            self._log.debug("view.lagged", revision=snapshot.revision, seen=self.view.revision)

    def tell(self, applied: Applied) -> None:
        """Pass on what the view says has changed."""
        for problem in applied.unreadable:
            self._log.error("value.unreadable", problem=problem)
        for listener in self._listeners:
            listener(applied)

    async def _follow(self) -> None:
        snapshot = await self.store.read("")
        self.tell(self.view.replace(snapshot.items, snapshot.revision, now=self.clock()))
        self.is_loaded = True
        self._advance()
        async with aclosing(self.store.watch("", after=snapshot.revision)) as batches:
            async for batch in batches:
                applied = self.view.apply(batch.changes, batch.revision, now=self.clock())
                self.tell(applied)
                self._advance()

    def _advance(self) -> None:
        self._advanced.set()
        self._advanced = asyncio.Event()
