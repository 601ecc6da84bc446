"""Keep a swarm's state in memory, as etcd would, for tests and the simulation.

Passes `tests/contracts/test_store.py` beside the real thing. Everything happens at once and
in order; time passes only when `clock` says so, and what fails is what a test asked for. The
plain methods (`list_now`, `apply`, `since`) are for a simulation that does not await.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from enum import Enum, auto

from msgspec import Struct, field

from manager.groups import OWN_ETCD, check
from manager.store import (
    NO_LEASE,
    Batch,
    Change,
    Commit,
    Compacted,
    Delete,
    DeletePrefix,
    Item,
    Lease,
    LeaseId,
    Limits,
    Operation,
    Put,
    Snapshot,
    holds,
)
from swarm.errors import Conflict, Missing, Unavailable


class Fault(Enum):
    """What may become of a request besides its being done and answered."""

    NONE = auto()
    UNAVAILABLE = auto()
    LOST_ANSWER = auto()
    CONFLICT = auto()


class _Granted(Struct):
    ttl_s: int
    expires_at: float
    keys: set[str] = field(default_factory=set[str])


class _Watcher:
    """One watch: what it was told and has not yielded yet."""

    def __init__(self, prefix: str, position: int) -> None:
        self.prefix = prefix
        self.position = position
        self.pending: deque[Batch] = deque()
        self.is_behind = False
        self.woken = asyncio.Event()

    def tell(self, batch: Batch) -> None:
        self.position = batch.revision
        if batch.changes:
            self.pending.append(batch)
            self.woken.set()


def _under(prefix: str, batch: Batch) -> Batch:
    changes = (change for change in batch.changes if change.key.startswith(prefix))
    return Batch(batch.revision, tuple(changes))


class FakeStore:
    """A `manager.store.Store`. `inject` is asked before each request, by method name."""

    def __init__(
        self, *, clock: Callable[[], float] = lambda: 0.0, limits: Limits = OWN_ETCD
    ) -> None:
        self.revision = 1
        self.inject: Callable[[str], Fault] = lambda _method: Fault.NONE
        self._clock = clock
        self._limits = limits
        self._items: dict[str, Item] = {}
        self._history: deque[Batch] = deque()
        self._compacted = 0
        self._leases: dict[LeaseId, _Granted] = {}
        self._last_lease = 0x1000
        self._watchers: list[_Watcher] = []
        self._planned: dict[str, deque[Fault]] = {}
        self._is_down = False

    @property
    def limits(self) -> Limits:
        return self._limits

    async def read(self, prefix: str) -> Snapshot:
        with_answer = self._admit("read")
        snapshot = self.list_now(prefix)
        with_answer()
        return snapshot

    async def commit(self, commit: Commit) -> int:
        check(commit, self._limits)
        with_answer = self._admit("commit")
        revision = self.apply(commit)
        with_answer()
        return revision

    async def watch(self, prefix: str, *, after: int) -> AsyncGenerator[Batch, None]:
        assert after > 0, "a watch goes on from a snapshot's revision"
        watcher = _Watcher(prefix, after)
        self._watchers.append(watcher)
        try:
            self._catch_up(watcher)
            while True:
                while watcher.pending:
                    yield watcher.pending.popleft()
                if watcher.is_behind:
                    raise Compacted("the changes asked for are compacted", hint="list again")
                watcher.woken.clear()
                await watcher.woken.wait()
        finally:
            self._watchers.remove(watcher)

    async def grant(self, ttl_s: int) -> Lease:
        with_answer = self._admit("grant")
        self._last_lease += 1
        lease = Lease(LeaseId(self._last_lease), ttl_s)
        self._leases[lease.id] = _Granted(ttl_s, self._clock() + ttl_s)
        with_answer()
        return lease

    async def keep_alive(self, lease: LeaseId) -> int:
        with_answer = self._admit("keep_alive")
        granted = self._leases.get(lease)
        if granted is None:
            raise Missing(f"lease {lease:x} has ended", hint="grant another one")
        granted.expires_at = self._clock() + granted.ttl_s
        with_answer()
        return granted.ttl_s

    async def revoke(self, lease: LeaseId) -> None:
        with_answer = self._admit("revoke")
        self._end(lease)
        with_answer()

    def list_now(self, prefix: str) -> Snapshot:
        """Everything under `prefix`."""
        names = sorted(key for key in self._items if key.startswith(prefix))
        return Snapshot(self.revision, tuple(self._items[key] for key in names))

    def apply(self, commit: Commit) -> int:
        """Do `commit` if its compares hold, else raise `Conflict`."""
        failed = [c.key for c in commit.compares if not holds(c, self._items.get(c.key))]
        if failed:
            names = ", ".join(failed)
            raise Conflict(f"{names} changed meanwhile", hint="read again and decide again")
        for operation in commit.operations:
            if isinstance(operation, Put) and operation.lease not in {NO_LEASE, *self._leases}:
                raise Missing(f"etcd does not know it: lease {operation.lease:x}")
        self._record([c for operation in commit.operations for c in self._do(operation)])
        return self.revision

    def since(self, prefix: str, after: int) -> list[Batch]:
        """What changed under `prefix` after a revision."""
        if after < self._compacted:
            raise Compacted(f"changes after {after} are compacted", hint="list again")
        later = (_under(prefix, batch) for batch in self._history if batch.revision > after)
        return [batch for batch in later if batch.changes]

    def compact(self, revision: int) -> None:
        """Forget what changed up to `revision`."""
        assert revision <= self.revision
        self._compacted = max(self._compacted, revision)
        while self._history and self._history[0].revision <= revision:
            self._history.popleft()

    def expire(self) -> None:
        """End the leases whose time is over; to be called when the clock went on."""
        now = self._clock()
        for lease in [x for x, granted in self._leases.items() if granted.expires_at <= now]:
            self._end(lease)

    def fail_next(self, method: str, *faults: Fault) -> None:
        """Have the next requests of one kind fail like this, one after the other."""
        self._planned.setdefault(method, deque()).extend(faults)

    def go_down(self) -> None:
        """Answer nobody. Leases live on, as in an etcd that restarts."""
        self._is_down = True

    def come_up(self) -> None:
        """Answer again, and let watches catch up."""
        self._is_down = False
        for granted in self._leases.values():
            granted.expires_at = max(granted.expires_at, self._clock() + granted.ttl_s)
        for watcher in self._watchers:
            self._catch_up(watcher)

    def _admit(self, method: str) -> Callable[[], None]:
        """Fail before the request is done; what is returned fails after it."""
        planned = self._planned.get(method)
        fault = planned.popleft() if planned else self.inject(method)
        if self._is_down or fault is Fault.UNAVAILABLE:
            raise Unavailable("etcd does not answer: injected", hint="try again")
        if fault is Fault.CONFLICT:
            raise Conflict("changed meanwhile: injected", hint="read again and decide again")
        self.expire()

        def answer() -> None:
            if fault is Fault.LOST_ANSWER:
                raise Unavailable("etcd does not answer: its answer was lost", hint="look again")

        return answer

    def _do(self, operation: Operation) -> list[Change]:
        match operation:
            case Put(key=key, value=value, lease=lease):
                return [self._put(key, value, lease)]
            case Delete(key=key):
                return [self._delete(key)] if key in self._items else []
            case DeletePrefix(prefix=prefix):
                keys = sorted(key for key in self._items if key.startswith(prefix))
                return [self._delete(key) for key in keys]

    def _put(self, key: str, value: bytes, lease: LeaseId) -> Change:
        revision, old = self.revision + 1, self._items.get(key)
        self._unbind(old)
        created = old.create_revision if old else revision
        self._items[key] = Item(key, value, revision, created, lease)
        if lease != NO_LEASE:
            self._leases[lease].keys.add(key)
        return Change(key, value, revision)

    def _delete(self, key: str) -> Change:
        self._unbind(self._items.pop(key))
        return Change(key, None, self.revision + 1)

    def _unbind(self, item: Item | None) -> None:
        if item is not None and item.lease in self._leases:
            self._leases[item.lease].keys.discard(item.key)

    def _end(self, lease: LeaseId) -> None:
        granted = self._leases.get(lease)
        if granted is not None:
            self._record([self._delete(key) for key in sorted(granted.keys)])
            del self._leases[lease]

    def _record(self, changes: list[Change]) -> None:
        if changes:
            self.revision += 1
            batch = Batch(self.revision, tuple(changes))
            self._history.append(batch)
            for watcher in self._watchers if not self._is_down else ():
                watcher.tell(_under(watcher.prefix, batch))

    def _catch_up(self, watcher: _Watcher) -> None:
        if self._is_down:
            return
        if watcher.position < self._compacted:
            watcher.is_behind = True
            watcher.woken.set()
            return
        for batch in self.since(watcher.prefix, watcher.position):
            watcher.tell(batch)
        # As etcd's notes on progress do: a quiet prefix is not left behind.
        watcher.position = self.revision
