"""This node's volumes through Docker's API."""

import json
from pathlib import Path
from typing import Any

from tests.engine.io.world import World, tell


async def make(world: World, **fields: Any) -> dict[str, Any]:
    return await world.ask("POST", "/volumes/create", fields, expects=201)


async def names(world: World, **filters: str) -> list[str]:
    asked = json.dumps({key: [each] for key, each in filters.items()})
    return [each["Name"] for each in (await world.get("/volumes", filters=asked))["Volumes"]]


def test_a_volume_is_made_read_and_removed(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        options = {"type": "tmpfs", "device": "tmpfs"}
        made = await make(world, Name="data", Labels={"a": "b"}, DriverOpts=options)

        assert made == {
            "CreatedAt": "1970-01-01T00:00:05Z",
            "Driver": "local",
            "Labels": {"a": "b"},
            "Mountpoint": "",
            "Name": "data",
            "Options": {"device": "tmpfs", "type": "tmpfs"},
            "Scope": "local",
        }
        assert await world.get("/volumes/data") == made
        assert await world.get("/volumes") == {"Volumes": [made], "Warnings": None}
        await world.ask("DELETE", "/volumes/data", expects=204)
        assert await world.refused("DELETE", "/volumes/data") == "404 no such volume: data"
        await world.ask("DELETE", "/volumes/data", expects=204, force="true")

    tell(tmp_path, story)


def test_volumes_are_chosen_by_what_is_asked_for(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await make(world, Name="data", Labels={"tier": "back"})
        await make(world, Name="logs")
        world.volumes.volumes["data"].users.append("web.1")

        assert await names(world, name="at") == ["data"]
        assert await names(world, dangling="true") == ["logs"]
        assert await names(world, dangling="0") == ["data"]
        assert await names(world, label="tier=back") == ["data"]
        assert await names(world, driver="local") == ["data", "logs"]

    tell(tmp_path, story)


def test_pruning_spares_names_that_somebody_chose_unless_told(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        nameless = (await make(world))["Name"]
        await make(world, Name="mine")
        await make(world, Name="used")
        world.volumes.volumes["used"].users.append("web.1")

        first = await world.ask("POST", "/volumes/prune")
        second = await world.ask("POST", "/volumes/prune", filters='{"all":["true"]}')

        assert first == {"VolumesDeleted": [nameless], "SpaceReclaimed": 7}
        assert second["VolumesDeleted"] == ["mine"]
        assert await names(world) == ["used"]

    async def with_an_old_client(world: World) -> None:
        await make(world, Name="mine")
        answer = await world.client.post("/v1.41/volumes/prune")
        assert answer.json()["VolumesDeleted"] == ["mine"]

    tell(tmp_path / "a", story)
    tell(tmp_path / "b", with_an_old_client)


def test_what_no_volume_can_be_is_refused(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        driver = await world.refused("POST", "/volumes/create", {"Driver": "nfs"})
        cluster = await world.refused("POST", "/volumes/create", {"ClusterVolumeSpec": {}})

        assert driver.startswith('404 plugin "nfs" not found')
        assert cluster.startswith("400 ClusterVolumeSpec: ")
        assert not world.volumes.volumes

    tell(tmp_path, story)
