"""What a store promises (`manager.store`), asked of the fake and of a real etcd alike."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

import pytest

from manager.store import (
    NO_LEASE,
    Absent,
    Batch,
    Change,
    Commit,
    Compacted,
    Compare,
    Delete,
    DeletePrefix,
    Fence,
    LeaseId,
    Operation,
    Put,
    Store,
    Unchanged,
)
from swarm.errors import Conflict, Invalid, Missing, Unavailable
from tests.contracts.conftest import Story
from tests.contracts.stores import Bench

Tell = Callable[[Story], None]


def put(key: str, value: str = "x", lease: LeaseId = NO_LEASE) -> Put:
    return Put(key, value.encode(), lease)


async def do(store: Store, *operations: Operation, when: tuple[Compare, ...] = ()) -> int:
    return await store.commit(Commit(when, operations))


async def keys(store: Store, prefix: str = "") -> list[str]:
    return [item.key for item in (await store.read(prefix)).items]


@asynccontextmanager
async def watching(
    store: Store, prefix: str, after: int
) -> AsyncIterator[Callable[[], asyncio.Future[Batch]]]:
    """What changes under `prefix`; each call asks for one more batch, with a deadline."""
    async with aclosing(store.watch(prefix, after=after)) as batches:
        yield lambda: asyncio.ensure_future(asyncio.wait_for(anext(batches), 60))


def test_a_commit_is_read_back_sorted_and_at_its_revision(tell: Tell) -> None:
    async def story(bench: Bench) -> None:
        store = bench.store

        revision = await do(store, put("b/é", "2"), put("b/a", "1"), put("c", "3"))

        snapshot = await store.read("b/")
        assert snapshot.revision == revision
        assert [(i.key, i.value) for i in snapshot.items] == [("b/a", b"1"), ("b/é", b"2")]
        assert {i.mod_revision for i in snapshot.items} == {revision}
        assert {i.create_revision for i in snapshot.items} == {revision}

    tell(story)


def test_a_new_store_is_empty_and_can_be_watched_from_there(tell: Tell) -> None:
    async def story(bench: Bench) -> None:
        store = bench.store
        snapshot = await store.read("")

        async with watching(store, "", snapshot.revision) as following:
            revision = await do(store, put("a"))

            assert not snapshot.items
            assert await following() == Batch(revision, (Change("a", b"x", revision),))

    tell(story)


def test_a_commit_whose_compare_fails_changes_nothing_and_names_the_key(tell: Tell) -> None:
    async def story(bench: Bench) -> None:
        store = bench.store
        revision = await do(store, put("a"), put("b"))
        wrong: list[Compare] = [
            Absent("a"),
            Unchanged("a", revision - 1),
            Fence("a", revision - 1),
            Unchanged("a", 0),
        ]

        for compare in wrong:
            with pytest.raises(Conflict, match=r"^a changed meanwhile"):
                await do(store, put("b", "y"), when=(Absent("z"), compare))

        snapshot = await store.read("")
        assert snapshot.revision == revision
        assert [item.value for item in snapshot.items] == [b"x", b"x"]

    tell(story)


def test_compares_of_a_missing_key_fail_but_absence(tell: Tell) -> None:
    async def story(bench: Bench) -> None:
        store = bench.store

        for compare in (Unchanged("a", 1), Fence("a", 1)):
            with pytest.raises(Conflict):
                await do(store, put("b"), when=(compare,))
        await do(store, put("b"), when=(Absent("a"),))

        assert await keys(store) == ["b"]

    tell(story)


def test_a_fence_outlives_changes_of_its_key_but_not_its_removal(tell: Tell) -> None:
    async def story(bench: Bench) -> None:
        store = bench.store
        fence = Fence("leader", await do(store, put("leader", "one")))
        await do(store, put("leader", "one again"))

        await do(store, put("a"), when=(fence,))
        await do(store, Delete("leader"))
        await do(store, put("leader", "two"))

        with pytest.raises(Conflict, match="leader"):
            await do(store, put("b"), when=(fence,))
        assert await keys(store) == ["a", "leader"]

    tell(story)


def test_a_deleted_prefix_takes_what_is_under_it_and_nothing_else(tell: Tell) -> None:
    async def story(bench: Bench) -> None:
        store = bench.store
        await do(store, *map(put, ("t/a", "t/a/1", "t/a/2", "t/a0", "t/b")))

        revision = await do(store, DeletePrefix("t/a/"), put("done"))

        assert await keys(store) == ["done", "t/a", "t/a0", "t/b"]
        async with watching(store, "t/", revision - 1) as following:
            gone = (Change("t/a/1", None, revision), Change("t/a/2", None, revision))
            assert await following() == Batch(revision, gone)

    tell(story)


def test_a_commit_that_finds_nothing_to_do_makes_no_revision(tell: Tell) -> None:
    async def story(bench: Bench) -> None:
        store = bench.store
        revision = await do(store, put("a"))

        assert await do(store, Delete("z"), DeletePrefix("y/")) == revision
        assert await do(store, when=(Unchanged("a", revision),)) == revision
        assert (await store.read("")).revision == revision

    tell(story)


def test_a_commit_that_contradicts_itself_or_is_too_large_is_refused_whole(tell: Tell) -> None:
    async def story(bench: Bench) -> None:
        store = bench.store
        revision = await do(store, put("a"))
        limits = store.limits
        wrong: list[tuple[Operation, ...]] = [
            (put("a", "1"), put("a", "2")),
            (put("a", "1"), Delete("a")),
            (put("t/a", "1"), DeletePrefix("t/")),
            (put(""),),
            (DeletePrefix(""),),
            tuple(put(f"n/{n}") for n in range(limits.operations + 1)),
            (Put("large", bytes(limits.bytes)),),
        ]

        for operations in wrong:
            with pytest.raises(Invalid):
                await do(store, *operations)

        assert (await store.read("")).revision == revision

    tell(story)


def test_the_largest_commit_there_may_be_is_taken_and_listed_at_one_revision(tell: Tell) -> None:
    async def story(bench: Bench) -> None:
        store = bench.store
        limits = store.limits
        await do(store, *(put(f"n/{n:05}", "old") for n in range(limits.operations)))

        async def overwrite() -> int:
            return await do(store, *(put(f"n/{n:05}", "new") for n in range(limits.operations)))

        snapshots = await asyncio.gather(
            store.read("n/"), overwrite(), store.read("n/"), store.read("n/")
        )

        for snapshot in (snapshots[0], *snapshots[2:]):
            assert len(snapshot.items) == limits.operations
            assert len({item.value for item in snapshot.items}) == 1
            assert all(item.mod_revision <= snapshot.revision for item in snapshot.items)
        value = bytes(limits.bytes - 1_000)
        await do(store, Put("large", value))
        found = (await store.read("large")).find("large")
        assert found is not None
        assert found.value == value

    tell(story)


def test_a_watch_yields_each_commit_once_in_order_and_whole(tell: Tell) -> None:
    async def story(bench: Bench) -> None:
        store = bench.store
        first = await do(store, put("t/a", "1"))
        second = await do(store, put("t/b", "1"), put("t/a", "2"), put("other"))
        await do(store, put("other"))
        third = await do(store, Delete("t/a"))

        async with watching(store, "t/", first) as following:
            fourth = await do(store, put("t/a", "3"))

            assert await following() == Batch(
                second, (Change("t/b", b"1", second), Change("t/a", b"2", second))
            )
            assert await following() == Batch(third, (Change("t/a", None, third),))
            assert await following() == Batch(fourth, (Change("t/a", b"3", fourth),))

    tell(story)


def test_a_watch_says_when_what_it_should_tell_is_forgotten(tell: Tell) -> None:
    async def story(bench: Bench) -> None:
        store = bench.store
        first = await do(store, put("a"), put("b"))
        await do(store, Delete("a"))
        await do(store, put("b", "y"))
        removed = await do(store, Delete("b"))
        await bench.compact(removed)

        with pytest.raises(Compacted):
            async with watching(store, "", first) as following:
                await following()
        # What was deleted at the very revision of the compaction is forgotten too.
        with pytest.raises(Compacted):
            async with watching(store, "", removed - 1) as following:
                await following()
        async with watching(store, "", removed) as following:
            last = await do(store, put("c"))
            assert await following() == Batch(last, (Change("c", b"x", last),))

    tell(story)


def test_a_watch_under_way_is_not_disturbed_by_compaction(tell: Tell) -> None:
    async def story(bench: Bench) -> None:
        store = bench.store
        revision = await do(store, put("a"))

        async with watching(store, "t/", revision) as following:
            await do(store, put("t/a"))
            await following()
            noticed = following()
            await bench.compact(await do(store, put("a", "y")))
            last = await do(store, put("t/b"))

            assert (await noticed).revision == last

    tell(story)


def test_an_interruption_costs_a_watch_nothing_and_repeats_nothing(tell: Tell) -> None:
    async def story(bench: Bench) -> None:
        store = bench.store
        first = await do(store, put("t/a", "1"))

        async def nothing() -> None:
            pass

        async with watching(store, "t/", first) as following:
            second = await do(store, put("t/a", "2"))
            assert (await following()).revision == second
            noticed = following()
            await bench.interrupt(nothing)
            third = await do(store, put("t/a", "3"))
            fourth = await do(store, put("t/b", "1"))

            assert (await noticed).revision == third
            assert (await following()).revision == fourth
        assert await keys(store) == ["t/a", "t/b"]

    tell(story)


def test_nobody_home_is_unavailable(tell: Tell) -> None:
    async def story(bench: Bench) -> None:
        store = bench.store
        revision = await do(store, put("a"))

        async def ask() -> None:
            answers = await asyncio.gather(
                do(store, put("b"), when=(Unchanged("a", revision),)),
                store.grant(10),
                store.read(""),
                return_exceptions=True,
            )
            assert [type(answer) for answer in answers] == [Unavailable] * 3

        await bench.interrupt(ask)

        # Either may be: a commit without an answer may have happened, or may yet.
        assert set(await keys(store)) in ({"a"}, {"a", "b"})

    tell(story)


def test_keys_go_with_their_lease_at_one_revision(tell: Tell) -> None:
    async def story(bench: Bench) -> None:
        store = bench.store
        lease = await store.grant(100)
        assert lease.ttl_s >= 100
        await do(store, put("a", lease=lease.id), put("b", lease=lease.id))
        after = await do(store, put("c", lease=lease.id), put("d"))
        assert (found := (await store.read("a")).find("a"))
        assert found.lease == lease.id

        await store.revoke(lease.id)
        await store.revoke(lease.id)

        async with watching(store, "", after) as following:
            batch = await following()
            assert [(c.key, c.value) for c in batch.changes] == [
                ("a", None),
                ("b", None),
                ("c", None),
            ]
        assert await keys(store) == ["d"]
        with pytest.raises(Missing):
            await store.keep_alive(lease.id)

    tell(story)


def test_a_key_is_bound_to_the_lease_of_its_last_put_only(tell: Tell) -> None:
    async def story(bench: Bench) -> None:
        store = bench.store
        one, two = await store.grant(100), await store.grant(100)
        await do(store, put("freed", lease=one.id), put("moved", lease=one.id))
        await do(store, put("freed"), put("moved", lease=two.id))

        await store.revoke(one.id)
        assert await keys(store) == ["freed", "moved"]
        await store.revoke(two.id)

        assert await keys(store) == ["freed"]

    tell(story)


def test_a_put_with_a_lease_that_ended_fails_the_whole_commit(tell: Tell) -> None:
    async def story(bench: Bench) -> None:
        store = bench.store
        lease = await store.grant(10)
        await store.revoke(lease.id)

        with pytest.raises(Missing):
            await do(store, put("a"), put("b", lease=lease.id))

        assert not await keys(store)

    tell(story)


def test_a_lease_that_nobody_keeps_alive_ends_with_its_keys(tell: Tell) -> None:
    async def story(bench: Bench) -> None:
        store = bench.store
        lease = await store.grant(5)
        after = await do(store, put("a", lease=lease.id))
        assert await store.keep_alive(lease.id) == lease.ttl_s

        async with watching(store, "", after) as following:
            noticed = following()
            await bench.outlive(lease)

            assert [(c.key, c.value) for c in (await noticed).changes] == [("a", None)]
        with pytest.raises(Missing):
            await store.keep_alive(lease.id)

    tell(story)
