"""A session that ends leaves nothing behind in the agent's process."""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from agent.io.conversations import Conversations
from agent.io.link import Link
from agent.io.logs import Publisher
from swarm.dispatch import CallBack, FromManager, Hello, LogSubscription, Welcome
from swarm.errors import SwarmError
from swarm.ids import TaskId
from tests.agent.managers import FakeManager
from tests.manager.io.swarm import LOG, until


async def session(manager: FakeManager, heard: list[FromManager]) -> tuple[Link, Any]:
    link = Link(manager.address, 1)
    running = asyncio.ensure_future(link.run(manager.swarm.node(), Hello, heard.append))
    await until(lambda: any(isinstance(each, Welcome) for each in heard))
    return link, running


def others() -> set[asyncio.Task[Any]]:
    """What runs besides the test."""
    return {each for each in asyncio.all_tasks() if each is not asyncio.current_task()}


def played(story: Callable[[FakeManager], Any]) -> list[dict[str, Any]]:
    """Run `story`; what the event loop complained of, garbage included."""
    complaints: list[dict[str, Any]] = []

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what))
        manager = FakeManager()
        await manager.start()
        try:
            await story(manager)
        finally:
            await manager.stop()
        gc.collect()
        for _ in range(10):
            await asyncio.sleep(0)

    asyncio.run(run())
    return complaints


def test_a_session_that_the_manager_ends_leaves_no_task_behind() -> None:
    """The collector would end such a task in the middle, which counts as a bug of ours."""

    async def story(manager: FakeManager) -> None:
        before = others()
        _, running = await session(manager, [])
        await manager.stop()
        with pytest.raises(SwarmError):
            await running
        await until(lambda: not others() - before - {running})

    assert played(story) == []


def test_logs_that_nobody_reads_any_more_leave_no_task_behind() -> None:
    async def story(manager: FakeManager) -> None:
        before = others()
        link, running = await session(manager, [])
        publisher = Publisher(
            containers="/nowhere",
            is_over=lambda _: False,
            spawn=lambda work: asyncio.get_running_loop().create_task(work),
            log=LOG,
        )
        publisher.subscribe(
            link, LogSubscription(subscription_id="s", task_ids=(TaskId("t"),), follow=True)
        )
        await until(lambda: "s" in manager.subscribed)
        await manager.stop()
        with pytest.raises(SwarmError):
            await running
        await until(lambda: not others() - before - {running})

    assert played(story) == []


def test_a_conversation_that_comes_too_late_is_none() -> None:
    """The session ended in the moment in which we were called back; that is nobody's bug."""

    async def story(manager: FakeManager) -> None:
        link, running = await session(manager, [])
        await manager.stop()
        with pytest.raises(SwarmError):
            await running
        works: list[asyncio.Task[None]] = []

        def spawn(work: Coroutine[None, None, None]) -> asyncio.Task[None]:
            works.append(asyncio.get_running_loop().create_task(work))
            return works[-1]

        Conversations({}, spawn=spawn, log=LOG).call_back(link, CallBack(call_id="c1"))
        await asyncio.wait_for(works[0], 5)

    assert played(story) == []
