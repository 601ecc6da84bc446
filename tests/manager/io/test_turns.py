import asyncio

from manager.io.turns import Turns


def test_no_more_begin_in_one_turn_than_may() -> None:
    async def story() -> list[int]:
        turns, begun, counts = Turns(at_once=3), 0, []

        async def one() -> None:
            nonlocal begun
            await turns.next()
            begun += 1

        tasks = [asyncio.ensure_future(one()) for _ in range(10)]
        while begun < 10:
            before = begun
            await asyncio.sleep(0)
            counts.append(begun - before)
        await asyncio.gather(*tasks)
        return counts

    counts = asyncio.run(story())

    assert max(counts) <= 3
    assert sum(counts) == 10


def test_who_gave_up_waiting_takes_nobodys_turn() -> None:
    async def story() -> None:
        turns = Turns(at_once=1)
        await turns.next()
        lost = asyncio.ensure_future(turns.next())
        kept = asyncio.ensure_future(turns.next())
        await asyncio.sleep(0)
        lost.cancel()
        async with asyncio.timeout(5):
            await kept

    asyncio.run(story())


def test_fewer_begin_while_turns_take_long() -> None:
    async def story(*, each_s: float) -> list[int]:
        now, begun, counts = 0.0, 0, list[int]()
        turns = Turns(at_once=8, clock=lambda: now)

        async def one() -> None:
            nonlocal now, begun
            await turns.next()
            now += each_s
            begun += 1

        tasks = [asyncio.ensure_future(one()) for _ in range(100)]
        while begun < 100:
            before = begun
            await asyncio.sleep(0)
            counts.append(begun - before)
        await asyncio.gather(*tasks)
        return [count for count in counts if count]

    short, long = asyncio.run(story(each_s=0.001)), asyncio.run(story(each_s=0.03))

    assert set(short[:-1]) == {8}
    assert long[0] == 8
    assert max(long[4:]) <= 2


def test_turns_come_in_the_order_of_asking() -> None:
    async def story() -> list[int]:
        turns, order = Turns(at_once=2), list[int]()

        async def one(number: int) -> None:
            await turns.next()
            order.append(number)

        await asyncio.gather(*(one(number) for number in range(7)))
        return order

    assert asyncio.run(story()) == list(range(7))
