import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing

from hypothesis import given, settings
from hypothesis import strategies as st

from manager.io.following import follow, wait_gone
from manager.store import Batch, Change, Commit, Delete, Fence, Item, Put, Snapshot
from tests.sim.fake_store import FakeStore, Fault


def put(store: FakeStore, key: str, value: str = "x") -> int:
    return store.apply(Commit((), (Put(key, value.encode()),)))


def delete(store: FakeStore, key: str) -> int:
    return store.apply(Commit((), (Delete(key),)))


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(20):
            await story()

    asyncio.run(limited())


def test_a_follower_is_told_how_it_stands_then_what_changes() -> None:
    async def story() -> None:
        store = FakeStore()
        first = put(store, "t/a")
        async with aclosing(follow(store, "t/")) as told:
            assert await anext(told) == Snapshot(first, (Item("t/a", b"x", first, first),))
            put(store, "other")
            second = put(store, "t/a", "y")

            assert await anext(told) == Batch(second, (Change("t/a", b"y", second),))

    run(story)


def test_a_follower_waits_until_someone_answers() -> None:
    async def story() -> None:
        store = FakeStore()
        put(store, "t/a")
        store.fail_next("read", Fault.UNAVAILABLE, Fault.LOST_ANSWER)

        async with aclosing(follow(store, "t/")) as told:
            first = await anext(told)

        assert isinstance(first, Snapshot)
        assert [item.key for item in first.items] == ["t/a"]

    run(story)


def test_a_follower_that_missed_too_much_is_told_the_difference() -> None:
    """It was away, and what it should have been told is compacted.

    1. It knows of a, b and c.
    2. While it is away, a is deleted, b changes twice and d is new.
    3. It is told so in one batch, as of the new listing, and goes on from there.
    """

    async def story() -> None:
        store = FakeStore()
        for key in "abc":
            put(store, f"t/{key}")
        async with aclosing(follow(store, "t/")) as told:
            await anext(told)
            coming = asyncio.ensure_future(anext(told))
            await asyncio.sleep(0)
            store.go_down()
            delete(store, "t/a")
            put(store, "t/b", "y")
            b = put(store, "t/b", "z")
            d = put(store, "t/d")
            store.compact(store.revision)
            store.come_up()

            missed = Change("t/a", None, d), Change("t/b", b"z", b), Change("t/d", b"x", d)
            assert await coming == Batch(d, missed)
            last = delete(store, "t/d")
            assert await anext(told) == Batch(last, (Change("t/d", None, last),))

    run(story)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["put", "delete", "gap"]))))
def test_law_a_follower_ends_up_with_what_stands(steps: list[tuple[str, str]]) -> None:
    async def story() -> None:
        store, held = FakeStore(), dict[str, bytes]()
        put(store, "t/a")
        async with aclosing(follow(store, "t/")) as told:
            first = await anext(told)
            assert isinstance(first, Snapshot)
            held.update((item.key, item.value) for item in first.items)

            async def take() -> None:
                async for batch in told:
                    assert isinstance(batch, Batch)
                    for change in batch.changes:
                        if change.value is None:
                            del held[change.key]
                        else:
                            held[change.key] = change.value
                    if "t/end" in held:
                        return

            taking = asyncio.ensure_future(take())
            await asyncio.sleep(0)
            for number, (key, what) in enumerate(steps):
                match what:
                    case "put":
                        put(store, f"t/{key}", str(number))
                    case "delete":
                        delete(store, f"t/{key}")
                    case _:
                        store.go_down()
                        put(store, f"t/{key}", "unseen")
                        delete(store, "t/a")
                        store.compact(store.revision)
                        store.come_up()
                await asyncio.sleep(0)
            put(store, "t/end")
            await taking

        assert held == {item.key: item.value for item in store.list_now("t/").items}

    run(story)


def test_a_key_made_again_counts_as_gone() -> None:
    async def story() -> None:
        store = FakeStore()
        created = put(store, "leader")
        put(store, "leader", "still here")
        waiting = asyncio.ensure_future(wait_gone(store, Fence("leader", created)))
        await asyncio.sleep(0)
        put(store, "leaders are something else")
        await asyncio.sleep(0)
        assert not waiting.done()

        store.go_down()
        delete(store, "leader")
        put(store, "leader")
        store.compact(store.revision)
        store.come_up()

        await waiting

    run(story)
