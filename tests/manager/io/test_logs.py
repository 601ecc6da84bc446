import asyncio
import time
from collections.abc import Callable

import pytest

from manager.dispatch.subscriptions import PICKED_UP_WITHIN_S
from swarm.api.v1 import control_pb2, control_pb2_grpc, dispatch_pb2
from swarm.dispatch import LogSubscription, LogUnsubscription
from swarm.errors import Missing, SwarmError
from swarm.io.rpc import failure
from swarm.states import TaskState
from tests.manager.io.swarm import Agent, Swarm, service, until

Tell = Callable[..., None]


def written(agent: Agent, *lines: bytes) -> None:
    for task_id in agent.tasks:
        agent.lines[task_id] = list(lines)


async def read(swarm: Swarm, **fields: object) -> list[control_pb2.LogLine]:
    request = control_pb2.ReadLogsRequest(stdout=True, stderr=True, tail=-1, **fields)
    return [line for batch in await swarm.ask("ReadLogs", request) for line in batch.lines]


class Following:
    """A reader that follows."""

    def __init__(self, swarm: Swarm, **fields: object) -> None:
        self.lines: list[bytes] = []
        self.is_over = False
        request = control_pb2.ReadLogsRequest(
            stdout=True, stderr=True, tail=-1, follow=True, **fields
        )
        self.task = asyncio.ensure_future(self._read(swarm, request))

    async def _read(self, swarm: Swarm, request: control_pb2.ReadLogsRequest) -> None:
        async with swarm.dial() as channel:
            async for batch in control_pb2_grpc.ControlStub(channel).ReadLogs(request):
                self.lines += [line.data for line in batch.lines]
        self.is_over = True


def test_lines_come_from_every_node_with_the_names_of_their_tasks(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        agents = [await swarm.join(f"host-{n}") for n in range(2)]
        await swarm.run(service(replicas=4))
        for agent in agents:
            written(agent, b"one", b"two")

        lines = await read(swarm, services=["web"])

        assert sorted(line.slot for line in lines) == [1, 1, 2, 2, 3, 3, 4, 4]
        assert {line.service_name for line in lines} == {"web"}
        assert {line.node_id for line in lines} == {agent.node_id for agent in agents}
        assert sorted(line.data for line in lines) == [b"one"] * 4 + [b"two"] * 4

    tell(story)


def test_logs_of_ended_tasks_are_read_as_long_as_the_task_is_remembered(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        agent = await swarm.join()
        service_id = await swarm.run(service())
        (task_id,) = agent.tasks
        written(agent, b"last words")
        agent.report(task_id, TaskState.FAILED)
        await until(lambda: swarm.view.state(swarm.view.tasks[task_id]) is TaskState.FAILED)

        assert [line.data for line in await read(swarm, tasks=[task_id])] == [b"last words"]
        await swarm.scale(service_id, 0)
        await until(lambda: task_id not in swarm.view.tasks)
        with pytest.raises(Missing):
            await read(swarm, tasks=[task_id])

    tell(story)


def test_a_node_that_is_away_is_not_waited_for(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        here = await swarm.join("here")
        away = await swarm.join("away")
        await swarm.run(service(replicas=2))
        written(here, b"here")
        await away.disconnect()
        await until(lambda: away.node_id not in swarm.manager.dispatcher.lines)

        began = time.perf_counter()
        lines = await read(swarm, services=["web"])

        assert [line.data for line in lines] == [b"here"]
        assert time.perf_counter() - began < PICKED_UP_WITHIN_S

    tell(story)


def test_a_node_that_vanishes_while_it_is_read_ends_its_part(
    tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("manager.dispatch.subscriptions.PICKED_UP_WITHIN_S", 3600.0)

    async def story(swarm: Swarm) -> None:
        agent = await swarm.join()
        await swarm.run(service())
        subscribed = [each for each in agent.heard if isinstance(each, LogSubscription)]
        agent._publish = lambda wanted: asyncio.sleep(3600)  # type: ignore[method-assign]

        reading = asyncio.ensure_future(read(swarm, services=["web"]))
        await until(lambda: [e for e in agent.heard if isinstance(e, LogSubscription)])
        await agent.disconnect()

        assert not subscribed
        assert await asyncio.wait_for(reading, 20) == []

    tell(story)


def test_following_brings_new_tasks_and_ends_with_the_service(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        agent = await swarm.join()
        service_id = await swarm.run(service())
        written(agent, b"first")
        follower = Following(swarm, services=["web"])
        await until(lambda: follower.lines == [b"first"])

        await swarm.scale(service_id, 2)
        await until(lambda: swarm.progress(service_id).running == 2)
        await until(lambda: len([e for e in agent.heard if isinstance(e, LogSubscription)]) == 2)
        assert not follower.is_over
        await swarm.call("RemoveService", control_pb2.RemoveServiceRequest(service_id=service_id))

        await until(lambda: follower.is_over)

    tell(story)


def test_a_follower_that_leaves_ends_its_subscriptions(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        agent = await swarm.join()
        await swarm.run(service())
        written(agent, b"line")
        follower = Following(swarm, services=["web"])
        await until(lambda: follower.lines)

        follower.task.cancel()

        await until(lambda: [e for e in agent.heard if isinstance(e, LogUnsubscription)])

    tell(story)


def test_following_goes_on_when_the_agent_comes_back(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        agent = await swarm.join()
        await swarm.run(service())
        written(agent, b"before")
        follower = Following(swarm, services=["web"])
        await until(lambda: follower.lines == [b"before"])

        await agent.disconnect()
        written(agent, b"after")
        await agent.connect(swarm.address)

        await until(lambda: follower.lines == [b"before", b"after"])
        follower.task.cancel()

    tell(story)


def test_nobody_publishes_what_was_not_asked_of_it(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        honest = await swarm.join("honest")
        liar = await swarm.join("liar")
        await swarm.run(service())
        owner, other = (honest, liar) if honest.tasks else (liar, honest)
        written(owner, b"true")
        follower = Following(swarm, services=["web"])
        await until(lambda: follower.lines == [b"true"])
        (asked,) = [each for each in owner.heard if isinstance(each, LogSubscription)]
        (task_id,) = owner.tasks

        with pytest.raises(SwarmError, match="nobody reads subscription"):
            await forge(other, asked.subscription_id, task_id)

        assert follower.lines == [b"true"]
        follower.task.cancel()

    tell(story)


async def forge(agent: Agent, subscription_id: str, task_id: str) -> None:
    import grpc

    async def lines():
        line = control_pb2.LogLine(task_id=task_id, at=time.time(), data=b"forged")
        yield dispatch_pb2.PublishedLogs(subscription_id=subscription_id, lines=[line])

    assert agent._link is not None
    try:
        await agent._link.dispatcher.PublishLogs(lines())
    except grpc.RpcError as err:
        raise failure(err) from err
