"""Work that several want at once is done once, and ends with the last who wants it."""

import asyncio
from collections.abc import Callable

import pytest

from agent.images.io.locks import Flights, Locks, together
from swarm.errors import Invalid, Unavailable

Publish = Callable[[str], None]


def test_one_key_is_held_by_one_at_a_time_and_then_forgotten() -> None:
    async def story() -> None:
        locks: Locks[str] = Locks()
        order: list[str] = []

        async def visit(key: str, name: str) -> None:
            async with locks.holding(key):
                order.append(f"{name} in")
                await asyncio.sleep(0)
                order.append(f"{name} out")

        await asyncio.gather(visit("a", "1"), visit("a", "2"), visit("b", "3"))

        assert order.index("1 out") < order.index("2 in")
        assert order.index("3 in") < order.index("1 out")
        assert vars(locks)["_locks"] == {}

    asyncio.run(story())


def test_a_cancelled_waiter_leaves_the_lock_usable() -> None:
    async def story() -> None:
        locks: Locks[str] = Locks()
        async with locks.holding("a"):
            waiter = asyncio.create_task(locks.holding("a").__aenter__())
            await asyncio.sleep(0)
            waiter.cancel()
            await asyncio.wait([waiter])
        async with locks.holding("a"):
            pass
        assert vars(locks)["_locks"] == {}

    asyncio.run(story())


def test_all_who_join_hear_everything_and_get_the_same() -> None:
    async def story() -> None:
        flights: Flights[str, int, str] = Flights(lambda notice: notice[0])
        gate, begun, starts = asyncio.Event(), asyncio.Event(), []
        first: list[str] = []
        second: list[str] = []

        async def work(publish: Publish) -> int:
            starts.append(1)
            publish("a1")
            publish("a2")
            publish("b1")
            begun.set()
            await gate.wait()
            publish("b2")
            return 7

        one = asyncio.create_task(flights.join("k", work, first.append))
        await begun.wait()
        two = asyncio.create_task(flights.join("k", work, second.append))
        await asyncio.sleep(0)
        gate.set()

        assert await asyncio.gather(one, two) == [7, 7]
        assert starts == [1]
        assert first == ["a1", "a2", "b1", "b2"]
        assert second == ["a2", "b1", "b2"]  # the last of each kind, then what happened since

    asyncio.run(story())


def test_the_work_outlives_its_first_caller_but_not_its_last() -> None:
    async def story() -> None:
        flights: Flights[str, int, str] = Flights(lambda notice: notice)
        ended: list[str] = []
        begun = asyncio.Event()

        async def work(publish: Publish) -> int:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("cancelled")
            return 0

        callers = [asyncio.create_task(flights.join("k", work, print)) for _ in range(2)]
        await begun.wait()
        callers[0].cancel()
        await asyncio.wait([callers[0]])
        assert ended == []

        callers[1].cancel()
        await asyncio.wait([callers[1]])
        assert ended == ["cancelled"]

    asyncio.run(story())


def test_a_failure_reaches_everyone_and_the_next_caller_starts_anew() -> None:
    async def story() -> None:
        flights: Flights[str, int, str] = Flights(lambda notice: notice)
        outcomes = iter([Unavailable("down"), None])

        async def work(publish: Publish) -> int:
            await asyncio.sleep(0)
            if failure := next(outcomes):
                raise failure
            return 1

        failed = await asyncio.gather(
            *(flights.join("k", work, print) for _ in range(3)), return_exceptions=True
        )

        assert [str(failure) for failure in failed] == ["down"] * 3
        assert await flights.join("k", work, print) == 1

    asyncio.run(story())


def test_of_work_done_together_the_expected_failure_is_raised_by_itself() -> None:
    async def fail(error: Exception) -> None:
        await asyncio.sleep(0)
        raise error

    async def story() -> None:
        await together([fail(RuntimeError("bug")), fail(Invalid("expected"))])

    with pytest.raises(Invalid, match="expected"):
        asyncio.run(story())
