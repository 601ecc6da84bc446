import asyncio
from collections.abc import AsyncIterator

from manager.dispatch.pace import Pace
from manager.io.line import Line
from manager.io.turns import Turns
from manager.view import ClusterView
from swarm.dispatch import Diff, FromManager, HeartbeatAck
from swarm.ids import NodeId, ServiceId, TaskId
from swarm.objects import Task
from tests import virtual_time
from tests.manager.world import World

A = NodeId("a")


def world_with(*names: str) -> World:
    world = World()
    world.node("a")
    world.service()
    for slot, name in enumerate(names, 1):
        world.task(Task(id=TaskId(name), service_id=ServiceId("s-web"), slot=slot, node_id=A))
    return world


def said(line: Line, view: ClusterView) -> AsyncIterator[FromManager]:
    return line.messages(view, Turns())


async def next_of(messages: AsyncIterator[FromManager]) -> FromManager:
    async with asyncio.timeout(5):
        return await anext(messages)


def test_tasks_that_were_touched_together_are_told_in_one_message() -> None:
    world = world_with("t1", "t2")

    async def story() -> FromManager:
        line = Line(A, "session", revision=1)
        messages = said(line, world.view)
        pace = Pace(first_s=0.05, later_s=0.05)
        line.touch([TaskId("t1")], pace)
        line.touch([TaskId("t2")], pace)
        return await next_of(messages)

    told = virtual_time.run(story())

    assert isinstance(told, Diff)
    assert {each.task.id for each in told.changed} == {"t1", "t2"}


def test_a_touch_that_cannot_wait_takes_along_what_waits() -> None:
    world = world_with("t1", "t2")

    async def story() -> FromManager:
        line = Line(A, "session", revision=1)
        line.touch([TaskId("t1")], Pace(first_s=3600.0, later_s=3600.0, longest_s=3600.0))
        line.touch([TaskId("t2")])
        return await next_of(said(line, world.view))

    told = virtual_time.run(story())

    assert isinstance(told, Diff)
    assert len(told.changed) == 2


def test_other_messages_do_not_wait_for_what_may() -> None:
    world = world_with("t1")

    async def story() -> list[FromManager]:
        line = Line(A, "session", revision=1)
        messages = said(line, world.view)
        line.touch([TaskId("t1")], Pace(first_s=0.2, later_s=0.2))
        line.send(HeartbeatAck())
        return [await next_of(messages), await next_of(messages)]

    first, second = virtual_time.run(story())

    assert first == HeartbeatAck()
    assert isinstance(second, Diff)


def test_a_closed_line_says_no_more() -> None:
    world = world_with("t1")

    async def story() -> list[FromManager]:
        line = Line(A, "session", revision=1)
        line.touch([TaskId("t1")], Pace(first_s=3600.0, later_s=3600.0, longest_s=3600.0))
        line.close()
        async with asyncio.timeout(5):
            return [each async for each in said(line, world.view)]

    virtual_time.run(story())
