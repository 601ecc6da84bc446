import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog
from msgspec import structs

from manager.election import Deposed, Elected, Followed, News, read_holder
from manager.io.election import Election
from manager.layout import LEADER
from manager.store import Commit, Fence, Put, Store, fenced
from swarm.errors import Conflict
from swarm.ids import NodeId
from tests import virtual_time
from tests.etcd import build_rig, connected, kill, running
from tests.sim.fake_store import FakeStore, Fault

LOG = structlog.stdlib.get_logger()


class Manager:
    """One manager's election, and what it heard of it."""

    def __init__(self, store: Store, name: str, ttl_s: int = 4) -> None:
        self.heard: list[News] = []
        self._news = asyncio.Event()
        self.election = Election(
            store,
            node_id=NodeId(name),
            address=f"{name}:2377",
            heard=self.hear,
            log=LOG,
            ttl_s=ttl_s,
        )
        self.running = asyncio.ensure_future(self.election.run())

    def hear(self, news: News) -> None:
        self.heard.append(news)
        self._news.set()

    async def until(self, kind: type[News]) -> News:
        """The next news of a kind not asked for before."""
        async with asyncio.timeout(20):
            while True:
                for index, news in enumerate(self.heard):
                    if isinstance(news, kind):
                        del self.heard[: index + 1]
                        return news
                self._news.clear()
                await self._news.wait()

    async def elected(self) -> Fence:
        news = await self.until(Elected)
        assert isinstance(news, Elected)
        return news.fence

    async def die(self) -> None:
        """As by kill -9: nothing is tidied up."""
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)

    async def resign(self) -> None:
        self.election.resign()
        async with asyncio.timeout(20):
            await self.running


@asynccontextmanager
async def managers(store: Store, *names: str, ttl_s: int = 4) -> AsyncIterator[list[Manager]]:
    """The first of them leads, the others follow it."""
    found: list[Manager] = []
    try:
        for name in names:
            found.append(Manager(store, name, ttl_s))
            await found[-1].until(Followed if len(found) > 1 else Elected)
        yield found
    finally:
        for manager in found:
            await manager.die()


async def first_elected(*candidates: Manager) -> None:
    """Wait until one of them leads."""
    waiting = [asyncio.ensure_future(candidate.elected()) for candidate in candidates]
    done, pending = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for each in pending:
        each.cancel()
    await asyncio.gather(*done)


def run(story: Callable[[], Awaitable[None]]) -> None:
    """Tell a story of the fake store: leases last for as long as everybody waits."""
    virtual_time.run(limited(story))


def run_on_etcd(story: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(limited(story))


async def limited(story: Callable[[], Awaitable[None]]) -> None:
    async with asyncio.timeout(60):
        await story()


def store_on_loop_time() -> FakeStore:
    return FakeStore(clock=asyncio.get_running_loop().time)


def test_whoever_resigns_is_succeeded_at_once_and_loses_its_fence() -> None:
    async def story() -> None:
        store = store_on_loop_time()
        async with managers(store, "one", "two", ttl_s=60) as (one, two):
            old = one.election.fence
            assert old

            await one.resign()
            new = await two.elected()

            assert one.election.fence is None
            assert new.create_revision > old.create_revision
            assert two.election.fence == new
            with pytest.raises(Conflict, match=LEADER):
                await store.commit(fenced(Commit((), (Put("late", b""),)), old))

    run(story)


def test_the_key_says_who_leads_and_where() -> None:
    async def story() -> None:
        store = store_on_loop_time()
        async with managers(store, "one") as (one,):
            item = store.list_now(LEADER).find(LEADER)

            assert item
            assert (holder := read_holder(item.value))
            assert (holder.node_id, holder.address) == ("one", "one:2377")
            assert holder.lease == item.lease
            assert one.election.fence == Fence(LEADER, item.create_revision)

    run(story)


def test_a_leader_whose_store_is_silent_stops_before_its_lease_can_end() -> None:
    async def story() -> None:
        store = store_on_loop_time()
        async with managers(store, "one", "two", ttl_s=1) as (one, two):
            store.inject = lambda _method: Fault.UNAVAILABLE

            news = await one.until(Deposed)

            assert news == Deposed("the lease could not be renewed in time")
            assert one.election.fence is None
            assert store.list_now(LEADER).items
            assert not two.heard
            store.inject = lambda _method: Fault.NONE
            winning = asyncio.ensure_future(first_elected(one, two))
            while not winning.done():
                store.expire()
                await asyncio.sleep(0.02)
            await winning

    run(story)


def test_a_leader_renews_for_as_long_as_it_is_answered() -> None:
    async def story() -> None:
        store = store_on_loop_time()
        granted = 0

        def count(method: str) -> Fault:
            nonlocal granted
            granted += method == "keep_alive"
            return Fault.LOST_ANSWER if granted % 3 == 1 else Fault.NONE

        store.inject = lambda method: count(method) if method == "keep_alive" else Fault.NONE
        async with managers(store, "one", ttl_s=1) as (one,):
            fence = one.election.fence
            async with asyncio.timeout(20):
                while granted < 9:
                    await asyncio.sleep(0.05)

            assert one.election.fence == fence
            assert not one.heard

    run(story)


def test_a_claim_whose_answer_was_lost_is_found_to_stand() -> None:
    async def story() -> None:
        store = store_on_loop_time()
        store.fail_next("commit", Fault.LOST_ANSWER)

        async with managers(store, "one", ttl_s=60) as (one,):
            assert one.election.fence == Fence(LEADER, store.revision)

    run(story)


def test_requests_that_fail_at_first_only_delay_the_election() -> None:
    async def story() -> None:
        store = store_on_loop_time()
        store.fail_next("read", Fault.UNAVAILABLE, Fault.LOST_ANSWER)
        store.fail_next("grant", Fault.LOST_ANSWER)
        store.fail_next("commit", Fault.UNAVAILABLE, Fault.CONFLICT)

        async with managers(store, "one", ttl_s=60) as (one,):
            assert one.election.fence

    run(story)


def test_a_removed_key_deposes_its_holder_and_someone_leads_again() -> None:
    async def story() -> None:
        store = store_on_loop_time()
        async with managers(store, "one", "two", ttl_s=60) as (one, two):
            item = store.list_now(LEADER).find(LEADER)
            assert item

            await store.revoke(item.lease)

            await one.until(Deposed)
            await first_elected(one, two)
            assert [bool(m.election.fence) for m in (one, two)].count(True) == 1

    run(story)


def test_a_killed_manager_leads_again_without_waiting_for_its_lease() -> None:
    async def story() -> None:
        store = FakeStore()  # its clock stands still: no lease ever ends
        async with managers(store, "one") as (one,):
            old = one.election.fence
            assert old
            await one.die()
            assert store.list_now(LEADER).items
        async with managers(store, "one") as (again,):
            assert again.election.fence
            assert again.election.fence.create_revision > old.create_revision

    run(story)


def test_another_manager_waits_for_the_lease_of_a_dead_one() -> None:
    async def story() -> None:
        now = 0.0
        store = FakeStore(clock=lambda: now)
        async with managers(store, "one", "two") as (one, two):
            await one.die()
            now = 3.9
            store.expire()
            assert store.list_now(LEADER).items

            now = 4.1
            store.expire()

            assert await two.elected()

    run(story)


@pytest.mark.cluster
def test_on_etcd_leaders_change_by_resigning_dying_and_lapsing(tmp_path: Path) -> None:
    """Three managers on a real etcd.

    1. The first leads by a lease of ten minutes, and resigns: another one leads at once.
    2. That one dies without a word: its successor waits for its lease to end.
    3. The successor dies too, comes back, and leads without waiting for its own old lease.
    """

    async def story() -> None:
        rig = build_rig(tmp_path)
        async with (
            running(rig),
            connected(rig.target) as first,
            connected(rig.target) as second,
        ):
            one = Manager(first, "one", ttl_s=600)
            fences = [await one.elected()]
            two = Manager(second, "two", ttl_s=2)
            await two.until(Followed)
            await one.resign()
            fences.append(await two.elected())

            three = Manager(first, "three", ttl_s=600)
            await three.until(Followed)
            await two.die()
            fences.append(await three.elected())

            await three.die()
            again = Manager(second, "three", ttl_s=600)
            fences.append(await again.elected())
            await again.resign()

            revisions = [fence.create_revision for fence in fences]
            assert revisions == sorted(set(revisions))
            assert not (await first.read(LEADER)).items

    run_on_etcd(story)


@pytest.mark.cluster
def test_a_restart_of_etcd_leaves_the_leader_in_office(tmp_path: Path) -> None:
    async def story() -> None:
        rig = build_rig(tmp_path)
        async with (
            running(rig) as process,
            connected(structs.replace(rig.target, timeout_s=30.0)) as store,
            managers(store, "one", ttl_s=60) as (one,),
        ):
            fence = one.election.fence
            assert fence
            await kill(process)
            async with running(rig):
                revision = await store.commit(fenced(Commit((), (Put("a", b""),)), fence))

                assert revision
                assert one.election.fence == fence
                assert not one.heard

    run_on_etcd(story)


@pytest.mark.cluster
def test_a_leader_whose_etcd_stands_still_stops_by_itself(tmp_path: Path) -> None:
    async def story() -> None:
        rig = build_rig(tmp_path)
        async with (
            running(rig) as process,
            connected(rig.target) as store,
            managers(store, "one", ttl_s=2) as (one,),
        ):
            os.kill(process.pid, signal.SIGSTOP)
            news = await one.until(Deposed)
            os.kill(process.pid, signal.SIGCONT)

            assert news == Deposed("the lease could not be renewed in time")
            assert await one.elected()

    run_on_etcd(story)
