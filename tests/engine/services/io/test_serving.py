"""Services through Docker's API, before a real manager."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from swarm.specs import Autoscale, Replicated, Role
from tests.engine.io.world import World, tell
from tests.manager.io.swarm import until


def spec(name: str = "web", **fields: Any) -> dict[str, Any]:
    return {
        "Name": name,
        "Labels": {"tier": "front"},
        "TaskTemplate": {"ContainerSpec": {"Image": "app:1", "Env": ["A=1"]}},
        "Mode": {"Replicated": {"Replicas": 2}},
        **fields,
    }


async def create(world: World, **fields: Any) -> str:
    made = await world.ask("POST", "/services/create", spec(**fields), expects=201)
    return made["ID"]


def test_a_service_is_made_read_changed_and_removed(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        service_id = await create(world)
        made = await world.get(f"/services/{service_id}")
        wanted = made["Spec"]
        wanted["Mode"]["Replicated"]["Replicas"] = 3

        answer = await world.ask(
            "POST", "/services/web/update", wanted, version=made["Version"]["Index"]
        )

        changed = await world.get("/services/web")
        assert answer == {"Warnings": None}
        assert changed["ID"] == service_id
        assert changed["Version"]["Index"] > made["Version"]["Index"]
        assert changed["Spec"]["Mode"] == {"Replicated": {"Replicas": 3}}
        assert changed["PreviousSpec"] == made["Spec"] | {"Mode": {"Replicated": {"Replicas": 2}}}
        assert "UpdateConfig" not in changed["Spec"]
        assert "UpdateConfig" in (await world.get("/services/web", insertDefaults=True))["Spec"]
        assert await world.ask("DELETE", "/services/web") == b""
        assert (await world.refused("GET", "/services/web")).startswith("404 service")

    tell(tmp_path, story)


def test_a_change_of_what_changed_meanwhile_is_out_of_sequence(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await create(world)
        version = (await world.get("/services/web"))["Version"]["Index"]
        changed = spec(Mode={"Replicated": {"Replicas": 1}})
        await world.ask("POST", "/services/web/update", changed, version=version)

        late = await world.refused("POST", "/services/web/update", spec(), version=version)
        nameless = await world.refused("POST", "/services/web/update", spec())

        assert late.startswith("409 service web")
        assert late.endswith(": update out of sequence")  # what clients look for
        assert nameless.startswith("400 invalid service version ''")
        assert world.swarm.view.services  # and it is as the first one wanted
        (service,) = world.swarm.view.services.values()
        assert service.spec.mode == Replicated(replicas=1)

    tell(tmp_path, story)


def test_a_services_login_comes_with_its_request_and_is_never_answered(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        def log_in(password: str) -> None:
            login = {"username": "me", "password": password, "serveraddress": "r:5000"}
            text = base64.urlsafe_b64encode(json.dumps(login).encode()).decode()
            world.client.headers["X-Registry-Auth"] = text

        async def update(source: str) -> int:
            """The version of the login after an update that changes something."""
            version = (await world.get("/services/web"))["Version"]["Index"]
            private["Labels"]["version"] = str(version)
            path = "/services/web/update"
            await world.ask("POST", path, private, version=version, registryAuthFrom=source)
            (login,) = world.swarm.view.logins.values()
            return login.version

        private = spec(TaskTemplate={"ContainerSpec": {"Image": "r:5000/app:1"}})
        log_in("swordfish")
        await world.ask("POST", "/services/create", private, expects=201)
        log_in("marlin-77")
        assert await update("spec") == 2
        del world.client.headers["X-Registry-Auth"]
        assert await update("previous-spec") == 2

        (service,) = world.swarm.view.services.values()
        assert service.spec.task.registry_login
        for path in ("/services/web", "/services", "/tasks"):
            shown = json.dumps(await world.get(path))
            assert "swordfish" not in shown
            assert "marlin" not in shown
        world.client.headers["X-Registry-Auth"] = "%%%"
        await world.ask("POST", "/services/create", spec("other"), expects=201)
        assert len(world.swarm.view.logins) == 1  # what is no login stands for nobody

    tell(tmp_path, story)


def test_a_rollback_brings_back_the_previous_spec(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.swarm.join()
        await create(world)
        before = await world.get("/services/web")
        other = spec(TaskTemplate={"ContainerSpec": {"Image": "app:2"}})
        index = before["Version"]["Index"]
        await world.ask("POST", "/services/web/update", other, version=index)
        index = (await world.get("/services/web"))["Version"]["Index"]

        await world.ask("POST", "/services/web/update", other, version=index, rollback="previous")

        after = await world.get("/services/web")
        assert after["Spec"]["TaskTemplate"] == before["Spec"]["TaskTemplate"]
        assert after["UpdateStatus"]["State"] in ("rollback_started", "rollback_completed")
        refused = await world.refused(
            "POST", "/services/web/update", other, version=index, rollback="next"
        )
        assert refused.startswith("400 rollback: there is no 'next'")

    tell(tmp_path, story)


def test_what_docker_does_not_know_survives_its_clients(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await create(
            world,
            Autoscale={"Min": 1, "Max": 5, "CPUPercent": 50},
            MaxUnavailable=1,
            TaskTemplate={
                "ContainerSpec": {"Image": "app:1", "Privileged": True},
                "Priority": 7,
            },
        )
        version = (await world.get("/services/web"))["Version"]["Index"]

        await world.ask("POST", "/services/web/update", spec(), version=version)

        (service,) = world.swarm.view.services.values()
        assert service.spec.autoscale == Autoscale(least=1, most=5, cpu_percent=50.0)
        assert service.spec.max_unavailable == 1
        assert service.spec.task.priority == 7
        assert service.spec.task.container.privileged
        assert service.spec.task.container.env == ("A=1",)

    tell(tmp_path, story)


def test_services_are_listed_with_their_numbers_on_request(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.swarm.join()
        await create(world)
        await create(world, name="each", Labels={}, Mode={"Global": {}})

        async def listed(**params: Any) -> list[str]:
            return [each["Spec"]["Name"] for each in await world.get("/services", **params)]

        await until_running(world, "web", 2)
        plain = await world.get("/services")
        told = {each["Spec"]["Name"]: each for each in await world.get("/services", status="true")}

        assert "ServiceStatus" not in plain[0]
        of_id = json.dumps({"id": [told["each"]["ID"][:5]]})
        status = {"RunningTasks": 2, "DesiredTasks": 2, "CompletedTasks": 0}
        assert told["web"]["ServiceStatus"] == status
        assert await listed(filters='{"label":["tier=front"]}') == ["web"]
        assert await listed(filters='{"mode":{"global":true}}') == ["each"]
        assert await listed(filters='{"name":["we","x"]}') == ["web"]
        assert await listed(filters=of_id) == ["each"]
        assert "invalid filter 'size'" in await world.refused(
            "GET", "/services", filters='{"size":["1"]}'
        )

    tell(tmp_path, story)


def test_networks_are_named_as_clients_know_them(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        overlay = await world.ask(
            "POST", "/networks/create", {"Name": "net", "Driver": "overlay"}, expects=201
        )
        await world.ask("POST", "/networks/create", {"Name": "mine"}, expects=201)
        host = world.networks.named("host").network.id

        def on(*targets: str) -> dict[str, Any]:
            networks = [{"Target": each} for each in targets]
            return {"ContainerSpec": {"Image": "app:1"}, "Networks": networks}

        await create(world, name="a", TaskTemplate=on("net"))
        await create(world, name="b", TaskTemplate=on(host))
        local = await world.refused("POST", "/services/create", spec("c", TaskTemplate=on("mine")))
        unknown = await world.refused(
            "POST", "/services/create", spec("c", TaskTemplate=on("nowhere"))
        )

        template = (await world.get("/services/a"))["Spec"]["TaskTemplate"]
        assert template["Networks"] == [{"Target": overlay["Id"]}]
        template = (await world.get("/services/b"))["Spec"]["TaskTemplate"]
        assert template["Networks"] == [{"Target": "host"}]
        assert local.startswith("403 The network mine cannot be used with services")
        assert unknown == "404 network nowhere not found"

    tell(tmp_path, story)


def test_networks_of_old_clients_stand_at_the_top(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.ask(
            "POST", "/networks/create", {"Name": "net", "Driver": "overlay"}, expects=201
        )
        body = spec(Networks=[{"Target": "net"}])

        old = await world.client.post("/v1.43/services/create", json=body)
        new = await world.client.post("/v1.44/services/create", json=body | {"Name": "new"})

        assert old.status_code == new.status_code == 201
        services = {each.spec.name: each for each in world.swarm.view.services.values()}
        assert len(services["web"].spec.task.networks) == 1
        assert services["new"].spec.task.networks == ()

    tell(tmp_path, story)


def test_every_problem_of_a_service_is_told(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        body = spec("-web", Schedule={"Expression": "nonsense"})

        words = await world.refused("POST", "/services/create", body)
        await create(world)
        taken = await world.refused("POST", "/services/create", spec())

        assert taken.startswith("409 name conflicts with an existing object")
        assert words.startswith("400 ")
        assert "name: '-web' must be" in words
        assert "schedule: belongs to jobs" in words
        assert len(world.swarm.view.services) == 1

    tell(tmp_path, story)


def test_a_service_without_a_name_gets_one(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await create(world, name="")

        (service,) = world.swarm.view.services.values()
        assert service.spec.name.startswith("service-")

    tell(tmp_path, story)


@pytest.mark.parametrize(
    "path", ["/services", "/tasks", "/nodes", "/secrets", "/configs", "/swarm"]
)
def test_who_is_no_manager_is_told_so_in_dockers_words(tmp_path: Path, path: str) -> None:
    async def story(world: World) -> None:
        world.daemon.role = None
        outside = await world.refused("GET", path)
        world.daemon.role = Role.WORKER
        worker = await world.refused("GET", path)

        assert outside.startswith('503 This node is not a swarm manager. Use "docker swarm init"')
        assert worker.startswith("503 This node is not a swarm manager. Worker nodes")

    tell(tmp_path, story)


async def until_running(world: World, name: str, count: int) -> None:
    (service_id,) = [
        each.id for each in world.swarm.view.services.values() if each.spec.name == name
    ]
    await until(lambda: world.swarm.progress(service_id).running == count)
