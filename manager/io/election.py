"""Take part in the election of the leader, and tell the rest of this manager how it stands.

`manager.leadership` decides; this does what it says and reports what came of it. Whoever
acts as the leader takes `fence` anew for every commit: it is gone the moment our time is
over, even when this loop is too busy to say so.
"""

import asyncio
from collections.abc import Callable, Coroutine

import structlog

from manager import leadership
from manager.election import (
    Announce,
    Await,
    Claim,
    Claimed,
    Deposed,
    Effect,
    Event,
    Failed,
    Forestalled,
    Grant,
    Granted,
    Holder,
    Lapsed,
    Leading,
    Look,
    News,
    Release,
    Renew,
    RenewalFailed,
    Renewed,
    Resigned,
    Revoke,
    Revoked,
    Seen,
    Ticked,
    Vacated,
    Withdrawn,
    pack_holder,
    read_holder,
)
from manager.io.following import wait_gone
from manager.layout import LEADER
from manager.store import Absent, Commit, Fence, LeaseId, Put, Store
from swarm.errors import Conflict, Missing, SwarmError
from swarm.ids import NodeId

Question = Look | Grant | Claim | Renew | Revoke


class Election:
    """This manager's part in it. `heard` is called at once, within the loop, and must not raise.

    It hears `Elected` and `Deposed` in turns, and `Followed` whenever another one leads.
    """

    def __init__(
        self,
        store: Store,
        *,
        node_id: NodeId,
        address: str,
        heard: Callable[[News], None],
        log: structlog.stdlib.BoundLogger,
        ttl_s: int = 4,
    ) -> None:
        self._store = store
        self._heard = heard
        self._log = log
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._state, self._first = leadership.enter(node_id=node_id, address=address, ttl_s=ttl_s)
        self._asking: set[asyncio.Task[None]] = set()
        self._waiting: asyncio.Task[None] | None = None

    @property
    def fence(self) -> Fence | None:
        """What the leader's commits must carry; `None` when we do not lead."""
        standing = self._state.standing
        if isinstance(standing, Leading) and _now() < standing.ends_at:
            return standing.fence
        return None

    async def run(self) -> None:
        """Take part until `resign`. When cancelled, the key stays until its lease ends."""
        try:
            async with asyncio.TaskGroup() as group:
                self._perform(group, self._first)
                while not isinstance(self._state.standing, Resigned):
                    event = await self._next_event()
                    self._state, effects = leadership.step(self._state, event, now=_now())
                    self._state.check()
                    self._perform(group, effects)
                self._stop_asking()
        finally:
            if isinstance(self._state.standing, Leading):
                self._heard(Deposed("it was stopped"))

    def resign(self) -> None:
        """Stop; the key is removed, so that another one leads without waiting."""
        self._events.put_nowait(Withdrawn())

    async def _next_event(self) -> Event:
        try:
            async with asyncio.timeout_at(self._state.next_deadline):
                return await self._events.get()
        except TimeoutError:
            return Ticked()

    def _perform(self, group: asyncio.TaskGroup, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            match effect:
                case Announce(news=news):
                    self._heard(news)
                case Release(lease=lease):
                    group.create_task(self._release(lease))
                case Await(create_revision=revision):
                    if self._waiting is not None:
                        self._waiting.cancel()
                    self._waiting = group.create_task(self._await(revision))
                case _:
                    task = group.create_task(self._ask(effect))
                    self._asking.add(task)
                    task.add_done_callback(self._asking.discard)

    def _stop_asking(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
        for task in self._asking:
            task.cancel()

    async def _ask(self, effect: Question) -> None:
        try:
            event = await self._answer(effect)
        except (SwarmError, TimeoutError) as err:
            request = type(effect).__name__.lower()
            self._log.warning("election.request_failed", request=request, reason=str(err))
            event = RenewalFailed(effect.lease) if isinstance(effect, Renew) else Failed()
        self._events.put_nowait(event)

    async def _answer(self, effect: Question) -> Event:
        match effect:
            case Look():
                return await self._look()
            case Grant(ttl_s=ttl_s):
                sent_at = _now()
                return Granted(await self._store.grant(ttl_s), sent_at)
            case Claim(holder=holder):
                return await self._claim(holder)
            case Renew(lease=lease, timeout_s=timeout_s):
                return await _in_time(self._renew(lease), timeout_s)
            case Revoke(lease=lease):
                await self._store.revoke(lease)
                return Revoked(lease)

    async def _look(self) -> Event:
        item = (await self._store.read(LEADER)).find(LEADER)
        if item is None:
            return Seen(None)
        return Seen(read_holder(item.value), item.create_revision)

    async def _claim(self, holder: Holder) -> Event:
        put = Put(LEADER, pack_holder(holder), holder.lease)
        try:
            return Claimed(await self._store.commit(Commit((Absent(LEADER),), (put,))))
        except Conflict:
            return Forestalled()

    async def _renew(self, lease: LeaseId) -> Event:
        sent_at = _now()
        try:
            return Renewed(lease, await self._store.keep_alive(lease), sent_at)
        except Missing:
            return Lapsed(lease)

    async def _await(self, create_revision: int) -> None:
        await wait_gone(self._store, Fence(LEADER, create_revision))
        self._events.put_nowait(Vacated(create_revision))

    async def _release(self, lease: LeaseId) -> None:
        try:
            await self._store.revoke(lease)
        except SwarmError as err:
            self._log.warning("election.lease_left_to_lapse", reason=str(err))


async def _in_time(answer: Coroutine[None, None, Event], timeout_s: float) -> Event:
    """Wait for an answer; one that came in time counts, however late we find the time for it."""
    asking = asyncio.ensure_future(answer)
    try:
        done, _ = await asyncio.wait({asking}, timeout=timeout_s)
        if not done:
            raise TimeoutError
        return asking.result()
    finally:
        asking.cancel()


def _now() -> float:
    return asyncio.get_running_loop().time()
