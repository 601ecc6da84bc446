import asyncio
import time
from collections.abc import Callable
from itertools import count

from swarm.api.v1 import control_pb2, control_pb2_grpc
from swarm.codec import to_message
from swarm.specs import NetworkSpec
from swarm.states import TaskState
from tests.manager.io.swarm import Swarm, idle, service, until

Tell = Callable[..., None]


class Events:
    """A reader of events."""

    def __init__(self, swarm: Swarm, *, since: float = 0.0) -> None:
        self.seen: list[tuple[str, str]] = []
        self.task = asyncio.ensure_future(self._read(swarm, since))

    async def _read(self, swarm: Swarm, since: float) -> None:
        async with swarm.dial() as channel:
            stub = control_pb2_grpc.ControlStub(channel)
            async for event in stub.WatchEvents(control_pb2.WatchEventsRequest(since=since)):
                self.seen.append((event.kind, event.action))


def test_a_removed_service_is_watched_until_nothing_of_it_is_left(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        await swarm.join()
        service_id = await swarm.run(service(replicas=3))

        *_, last = await asyncio.wait_for(swarm.remove(service_id), 20)

        assert last.removed
        assert last.old == 0

    tell(story)


def test_progress_says_why_a_service_does_not_come_up(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        agent = await swarm.join(answer=idle)
        service_id = (await swarm.create(service())).service.service.id
        await until(lambda: agent.tasks)
        async with swarm.dial() as channel:
            stub = control_pb2_grpc.ControlStub(channel)
            request = control_pb2.WatchServiceRequest(service_id=service_id)
            problems = list[str]()

            (task_id,) = agent.tasks
            agent.report(task_id, TaskState.REJECTED, error="no such image")
            async for progress in stub.WatchService(request):
                problems += progress.problems
                if problems:
                    break

        assert problems == ["no such image"]

    tell(story)


def test_the_same_progress_is_not_told_twice(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        agent = await swarm.join()
        service_id = await swarm.run(service(replicas=2))
        told = []
        async with swarm.dial() as channel:
            stub = control_pb2_grpc.ControlStub(channel)
            watch = stub.WatchService(control_pb2.WatchServiceRequest(service_id=service_id))
            told.append(await watch.read())
            for task_id in agent.tasks:
                agent.report(task_id, TaskState.RUNNING, message="still here")
            await until(lambda: agent.acknowledged == agent._sequence)
            await swarm.scale(service_id, 1)
            told.append(await watch.read())

        assert told[0].wanted == 2
        assert told[1].wanted == 1

    tell(story)


def test_events_are_told_as_they_happen_and_remembered_for_a_while(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        began = time.time()
        live = Events(swarm)
        for number in count():  # what happens before its call has come is not told to it
            spec = to_message(NetworkSpec(name=f"before-{number}"))
            await swarm.call("CreateNetwork", control_pb2.CreateNetworkRequest(spec=spec))
            if live.seen:
                break
        await swarm.join()
        service_id = await swarm.run(service())
        await swarm.call("RemoveService", control_pb2.RemoveServiceRequest(service_id=service_id))
        await until(lambda: ("task", "remove") in live.seen)
        late = Events(swarm, since=began)
        await until(lambda: ("task", "remove") in late.seen)

        for seen in (live.seen, late.seen):
            expected = [
                ("node", "join"),
                ("node", "ready"),
                ("service", "create"),
                ("task", "create"),
                ("task", "running"),
                ("service", "remove"),
                ("task", "shutdown"),
                ("task", "remove"),
            ]
            assert [each for each in seen if each in expected] == expected
        live.task.cancel()
        late.task.cancel()

    tell(story)
