"""Tasks through Docker's API, before a real manager."""

import json
from pathlib import Path
from typing import Any

from swarm.ids import TaskId
from swarm.standalone import container_id_of
from swarm.states import TaskState
from tests.engine.io.world import World, tell
from tests.engine.services.io.test_serving import create, spec, until_running
from tests.manager.io.swarm import Agent, until


async def listed(world: World, **filters: Any) -> list[dict[str, Any]]:
    asked = {key: each if isinstance(each, list) else [each] for key, each in filters.items()}
    return await world.get("/tasks", filters=json.dumps(asked))


def test_a_task_is_told_with_its_container_and_addresses(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        agent = await world.swarm.join("host2")
        net = await world.ask(
            "POST", "/networks/create", {"Name": "net", "Driver": "overlay"}, expects=201
        )
        template = {"ContainerSpec": {"Image": "app:1"}, "Networks": [{"Target": "net"}]}
        service_id = await create(
            world, Mode={"Replicated": {"Replicas": 1}}, TaskTemplate=template
        )
        await until_running(world, "web", 1)

        (task,) = await listed(world)

        assert task == await world.get(f"/tasks/{task['ID'][:7]}")
        assert task["ServiceID"] == service_id
        assert (task["Slot"], task["NodeID"]) == (1, agent.node_id)
        assert task["DesiredState"] == "running"
        assert task["Status"]["State"] == "running"
        container = task["Status"]["ContainerStatus"]
        assert container["ContainerID"] == container_id_of(TaskId(task["ID"]))
        assert task["Spec"]["ContainerSpec"]["Image"] == "app:1"
        (attachment,) = task["NetworksAttachments"]
        assert attachment["Network"]["ID"] == net["Id"]
        assert attachment["Network"]["Spec"]["Name"] == "net"
        assert attachment["Addresses"][0].endswith("/24")
        assert "JobIteration" not in task

    tell(tmp_path, story)


def test_tasks_are_chosen_by_what_is_asked_for(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        agent = await world.swarm.join("host2")
        web = await create(world)
        await create(world, name="db", Labels={"tier": "back"})
        await until_running(world, "web", 2)
        await until_running(world, "db", 2)
        everything = await listed(world)

        async def ids(**filters: Any) -> set[str]:
            return {each["ID"] for each in await listed(world, **filters)}

        of_web = {each["ID"] for each in everything if each["ServiceID"] == web}
        assert len(everything) == 4
        assert await ids(service="web") == await ids(service=web) == of_web
        assert await ids(label="tier=front") == of_web
        assert await ids(name="web.") == of_web
        assert await ids(node="host2") == await ids(node=agent.node_id) == await ids()
        assert await ids(node="self") == set()
        assert await ids(service="web", node="host2") == of_web
        assert len(await ids(id=everything[0]["ID"])) == 1
        assert await ids(**{"desired-state": "shutdown"}) == set()
        assert len(await ids(**{"desired-state": ["running", "shutdown"]})) == 4
        assert "404 service 'nobody' not found" in await world.refused(
            "GET", "/tasks", filters='{"service":["nobody"]}'
        )
        assert "Invalid desired-state filter" in await world.refused(
            "GET", "/tasks", filters='{"desired-state":["happy"]}'
        )

    tell(tmp_path, story)


def test_tasks_of_earlier_versions_are_not_up_to_date(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.swarm.join()
        await create(world, UpdateConfig={"Parallelism": 0, "Monitor": 1_000_000})
        await until_running(world, "web", 2)
        before = {each["ID"] for each in await listed(world)}
        index = (await world.get("/services/web"))["Version"]["Index"]
        other = spec(TaskTemplate={"ContainerSpec": {"Image": "app:2"}})
        await world.ask("POST", "/services/web/update", other, version=index)
        await until_running(world, "web", 2)

        current = await listed(world, **{"_up-to-date": "true"})

        assert {each["Spec"]["ContainerSpec"]["Image"] for each in current} == {"app:2"}
        assert not before & {each["ID"] for each in current}

    tell(tmp_path, story)


def test_slots_of_a_replicated_job_count_from_zero(tmp_path: Path) -> None:
    """docker waits for a task in slot 0 before it calls a job complete."""

    def finish(agent: Agent, wanted: Any) -> TaskState | None:
        done = agent.states.get(wanted.task.id) is TaskState.COMPLETE
        return None if done else TaskState.COMPLETE

    async def story(world: World) -> None:
        await world.swarm.join(answer=finish)
        mode = {"ReplicatedJob": {"MaxConcurrent": 2, "TotalCompletions": 3}}
        await create(world, Mode=mode)

        async def completed() -> list[dict[str, Any]]:
            tasks = await listed(world, service="web")
            return [each for each in tasks if each["Status"]["State"] == "complete"]

        (service,) = world.swarm.view.services
        await until(lambda: world.swarm.progress(service).done == 3)
        tasks, told = await completed(), await world.get("/services/web")

        assert sorted(each.get("Slot", 0) for each in tasks) == [0, 1, 2]
        assert {each["DesiredState"] for each in tasks} == {"complete"}
        iterations = {each["JobIteration"]["Index"] for each in tasks}
        assert iterations == {told["JobStatus"]["JobIteration"]["Index"]}
        (listing,) = await world.get("/services", status="1")
        assert listing["ServiceStatus"] == {
            "RunningTasks": 0,
            "DesiredTasks": 2,
            "CompletedTasks": 3,
        }

    tell(tmp_path, story)
