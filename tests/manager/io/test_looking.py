import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from agent.io.conversations import Talk
from swarm.api.v1 import control_pb2, control_pb2_grpc, dispatch_pb2
from swarm.errors import Missing, Refused
from swarm.ids import TaskId
from swarm.states import HealthState, TaskState
from tests.manager.io.swarm import Agent, Swarm, service, until

Tell = Callable[..., None]


def sampling(agent: Agent) -> list[dispatch_pb2.StatsQuestion]:
    """Have an agent sample its tasks, and one that is not its own; what it is asked."""
    asked: list[dispatch_pb2.StatsQuestion] = []

    async def sample(talk: Talk, question: dispatch_pb2.Question) -> None:
        asked.append(question.stats)
        while not talk.is_over:
            wanted = set(question.stats.task_ids)
            names = [each for each in agent.tasks if not wanted or each in wanted]
            found = [control_pb2.TaskStats(task_id=each, pids=3) for each in (*names, "alien")]
            batch = control_pb2.StatsBatch(tasks=found)
            if question.stats.once:
                await talk.conclude(stats=batch)
                return
            await talk.say(stats=batch)
            await asyncio.sleep(0.01)

    agent.respond["stats"] = sample
    return asked


async def once(swarm: Swarm, *tasks: str) -> list[control_pb2.StatsBatch]:
    request = control_pb2.WatchStatsRequest(tasks=tasks, once=True)
    return await swarm.ask("WatchStats", request)


@asynccontextmanager
async def watching(swarm: Swarm) -> AsyncIterator[list[control_pb2.StatsBatch]]:
    seen: list[control_pb2.StatsBatch] = []

    async def read() -> None:
        async with swarm.dial() as channel:
            stub = control_pb2_grpc.ControlStub(channel)
            async for batch in stub.WatchStats(control_pb2.WatchStatsRequest()):
                seen.append(batch)

    reading = asyncio.ensure_future(read())
    try:
        yield seen
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


def test_processes_come_from_the_node_of_the_task(tell: Tell) -> None:
    async def answer(talk: Talk, question: dispatch_pb2.Question) -> None:
        name = question.processes.task_id
        found = control_pb2.ListProcessesResponse(processes=[control_pb2.Process(name=name)])
        await talk.conclude(processes=found)

    async def story(swarm: Swarm) -> None:
        agent = await swarm.join()
        agent.respond["processes"] = answer
        await swarm.run(service())
        (task_id,) = agent.tasks

        request = control_pb2.ListProcessesRequest(task="web.1")
        found = await swarm.call("ListProcesses", request)

        assert [each.name for each in found.processes] == [task_id]

    tell(story)


def test_a_question_that_the_agent_does_not_know_blames_the_versions(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        await swarm.join()
        await swarm.run(service())

        with pytest.raises(Refused, match="does not know") as caught:
            await swarm.call("ListProcesses", control_pb2.ListProcessesRequest(task="web.1"))
        assert "one version" in caught.value.hint

    tell(story)


def test_a_task_is_paused_on_its_node_and_that_is_told(tell: Tell) -> None:
    heard: list[tuple[str, bool]] = []

    async def pause(talk: Talk, question: dispatch_pb2.Question) -> None:
        heard.append((question.pause.task_id, question.pause.paused))
        await talk.conclude(paused=control_pb2.PauseTaskResponse())

    async def story(swarm: Swarm) -> None:
        agent = await swarm.join()
        agent.respond["pause"] = pause
        await swarm.run(service())
        (task_id,) = agent.tasks

        for paused in (True, False):
            request = control_pb2.PauseTaskRequest(task="web.1", paused=paused)
            await swarm.call("PauseTask", request)

        assert heard == [(task_id, True), (task_id, False)]

    tell(story)


def test_a_tasks_health_is_asked_of_its_node_even_when_it_has_ended(tell: Tell) -> None:
    async def answer(talk: Talk, question: dispatch_pb2.Question) -> None:
        result = control_pb2.HealthResult(exit_code=1, output=question.health.task_id)
        await talk.conclude(health=dispatch_pb2.HealthLog(results=[result]))

    async def story(swarm: Swarm) -> None:
        agent = await swarm.join()
        agent.respond["health"] = answer
        await swarm.run(service())
        (task_id,) = agent.tasks
        agent.report(
            TaskId(task_id), TaskState.FAILED, health=HealthState.UNHEALTHY, failing_streak=3
        )
        request = control_pb2.InspectTaskRequest(task=task_id)

        async def log() -> list[str]:
            found = await swarm.call("InspectTask", request)
            return [each.output for each in found.health_log]

        async with asyncio.timeout(30):
            while await log() != [task_id]:
                await asyncio.sleep(0.01)

    tell(story)


def test_a_task_without_a_check_is_inspected_without_its_node(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        await swarm.join()
        await swarm.run(service())

        found = await swarm.call("InspectTask", control_pb2.InspectTaskRequest(task="web.1"))

        assert found.task.task.slot == 1
        assert (list(found.health_log), found.unreachable) == ([], "")

    tell(story)


def test_a_node_that_cannot_tell_a_tasks_health_is_no_error(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        agent = await swarm.join()
        await swarm.run(service())
        (task_id,) = agent.tasks
        agent.report(TaskId(task_id), TaskState.RUNNING, health=HealthState.HEALTHY)
        request = control_pb2.InspectTaskRequest(task="web.1")

        async with asyncio.timeout(30):
            while not (found := await swarm.call("InspectTask", request)).unreachable:
                await asyncio.sleep(0.01)

        assert "does not know" in found.unreachable

    tell(story)


def test_one_sample_comes_from_every_node_with_the_names_of_its_tasks(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        agents = [await swarm.join(f"host-{n}") for n in range(3)]
        for each in agents:
            sampling(each)
        await swarm.run(service(replicas=6))

        batches = await once(swarm)

        assert sorted(each.node_hostname for each in batches) == ["host-0", "host-1", "host-2"]
        found = [sample for batch in batches for sample in batch.tasks]
        assert sorted(each.slot for each in found) == [1, 2, 3, 4, 5, 6]
        assert {each.service_name for each in found} == {"web"}

    tell(story)


def test_only_nodes_that_have_a_task_are_asked_about_it(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        agents = [await swarm.join(f"host-{n}") for n in range(2)]
        asked = [sampling(each) for each in agents]
        await swarm.run(service(replicas=2))

        (batch,) = await once(swarm, "web.1")

        assert [each.slot for each in batch.tasks] == [1]
        assert sorted(map(len, asked)) == [0, 1]
        with pytest.raises(Missing):
            await once(swarm, "none")

    tell(story)


def test_one_sample_of_an_empty_swarm_is_none(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        assert await once(swarm) == []

    tell(story)


def test_samples_go_on_while_somebody_reads_and_no_longer(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        agent = await swarm.join()
        sampling(agent)
        await swarm.run(service())
        async with watching(swarm) as seen:
            await until(lambda: len(seen) > 3)

        await until(lambda: not swarm.manager.dispatcher.conversations._open)
        await until(lambda: not agent._conversations._open)

    tell(story)


def test_a_reader_hears_of_nodes_that_come_and_go(tell: Tell) -> None:
    """1. One node has a task; another one joins and is given one.
    2. Its samples are there as well.
    3. It leaves: the last word about it is that it has nothing to tell.
    """

    async def story(swarm: Swarm) -> None:
        sampling(await swarm.join("first"))
        service_id = await swarm.run(service())
        async with watching(swarm) as seen:
            await until(lambda: seen)
            second = await swarm.join("second")
            sampling(second)
            await swarm.scale(service_id, 2)
            await until(lambda: [x for x in seen if x.node_hostname == "second" and x.tasks])

            await second.disconnect()

            def last() -> control_pb2.StatsBatch:
                return [each for each in seen if each.node_hostname == "second"][-1]

            await until(lambda: not last().tasks)

    tell(story)
