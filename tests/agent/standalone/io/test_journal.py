import asyncio
import time
from collections.abc import AsyncIterator

from agent.standalone.io import journal as journals
from agent.standalone.io.journal import Journal, told
from swarm.api.v1 import objects_pb2


async def taken(events: AsyncIterator[objects_pb2.Event], count: int) -> list[str]:
    found = list[str]()
    async for event in events:
        found.append(event.action)
        if len(found) == count:
            break
    return found


def test_who_listens_hears_what_comes_and_what_was_since() -> None:
    async def story() -> None:
        journal = Journal()
        journal.tell("image", "pull", "busybox")
        between = time.time()
        journal.tell("volume", "create", "data", {"driver": "local"})
        with journal.listening(since=0) as later, journal.listening(since=between) as earlier:
            journal.tell("volume", "destroy", "data")
            assert await taken(told(later, until=0), 1) == ["destroy"]
            assert await taken(told(earlier, until=0), 2) == ["create", "destroy"]

    asyncio.run(story())


def test_until_a_time_that_is_over_there_is_only_what_was() -> None:
    async def story() -> None:
        journal = Journal()
        journal.tell("image", "pull", "busybox")
        with journal.listening(since=1.0) as queue:
            assert await taken(told(queue, until=time.time()), 9) == ["pull"]
        with journal.listening(since=0) as queue:
            assert await taken(told(queue, until=time.time() + 0.01), 9) == []

    asyncio.run(story())


def test_no_two_events_have_one_time() -> None:
    async def story() -> None:
        journal = Journal()
        for number in range(100):
            journal.tell("image", str(number), "x")
        with journal.listening(since=1.0) as queue:
            times = [queue.get_nowait() for _ in range(100)]
        at = [event.at for event in times if event is not None]
        assert at == sorted(set(at))

    asyncio.run(story())


def test_who_is_too_slow_is_left_behind() -> None:
    async def story() -> None:
        journal = Journal()
        with journal.listening(since=0) as queue:
            for number in range(journals.AHEAD + 1):
                journal.tell("image", str(number), "x")
            assert await taken(told(queue, until=0), 9) == []

    asyncio.run(story())


def test_only_the_last_events_are_remembered_and_its_end_is_heard() -> None:
    async def story() -> None:
        journal = Journal()
        for number in range(journals.REMEMBERED + 5):
            journal.tell("image", str(number), "x")
        with journal.listening(since=1.0) as queue:
            assert await taken(told(queue, until=0), 1) == ["5"]
            journal.close()
            assert await taken(told(queue, until=0), journals.REMEMBERED * 2) == []

    asyncio.run(story())
