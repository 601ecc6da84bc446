"""Secrets and configs through Docker's API, before a real manager."""

import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from tests.engine.io.world import World, tell

DATA = b64encode(b"correct horse").decode()


async def make(world: World, kind: str, name: str = "db", **fields: Any) -> str:
    body = {"Name": name, "Data": DATA, **fields}
    return (await world.ask("POST", f"/{kind}/create", body, expects=201))["ID"]


def test_a_secret_is_never_shown_and_a_config_is(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await make(world, "secrets", Labels={"a": "b"})
        await make(world, "configs", Templating={"Name": "golang"})

        secret, config = await world.get("/secrets/db"), await world.get("/configs/db")

        assert secret["Spec"] == {"Name": "db", "Labels": {"a": "b"}}
        assert DATA not in json.dumps(secret)
        assert config["Spec"] == {
            "Name": "db",
            "Labels": {},
            "Data": DATA,
            "Templating": {"Name": "golang"},
        }

    tell(tmp_path, story)


@pytest.mark.parametrize("kind", ["secrets", "configs"])
def test_labels_can_be_changed_and_nothing_else(tmp_path: Path, kind: str) -> None:
    async def story(world: World) -> None:
        content_id = await make(world, kind)
        made = await world.get(f"/{kind}/{content_id}")
        index = made["Version"]["Index"]
        labelled = {"Name": "db", "Labels": {"a": "b"}}
        other = labelled | {"Data": b64encode(b"other").decode()}

        await world.ask("POST", f"/{kind}/db/update", labelled | {"Data": DATA}, version=index)

        changed = await world.get(f"/{kind}/db")
        assert changed["Spec"]["Labels"] == {"a": "b"}
        assert changed["Version"]["Index"] > index
        late = await world.refused("POST", f"/{kind}/db/update", labelled, version=index)
        assert late.endswith("update out of sequence")
        index = changed["Version"]["Index"]
        assert "exists with other data" in await world.refused(
            "POST", f"/{kind}/db/update", other, version=index
        )
        renamed = await world.refused("POST", f"/{kind}/db/update", {"Name": "x"}, version=index)
        assert renamed == (
            "400 rpc error: code = InvalidArgument desc = only updates to Labels are allowed"
        )

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("data", "at"), [("I'm not base64", 1), ("YQ", 2), ("YWFh\nY?==", 6), ("é", 0)]
)
def test_what_is_not_base64_is_pointed_at(tmp_path: Path, data: str, at: int) -> None:
    async def story(world: World) -> None:
        said = await world.refused("POST", "/configs/create", {"Name": "x", "Data": data})
        assert said == f"400 Data: illegal base64 data at input byte {at}"
        broken = f"{DATA[:4]}\r\n{DATA[4:]}"
        await make(world, "configs", Data=broken)
        assert (await world.get("/configs/db"))["Spec"]["Data"] == DATA

    tell(tmp_path, story)


@pytest.mark.parametrize("kind", ["secrets", "configs"])
def test_contents_are_chosen_by_what_is_asked_for(tmp_path: Path, kind: str) -> None:
    async def story(world: World) -> None:
        first = await make(world, kind, Labels={"tier": "back"})
        await make(world, kind, "db2")

        async def names(**filters: str) -> list[str]:
            asked = json.dumps({key: [each] for key, each in filters.items()})
            return [each["Spec"]["Name"] for each in await world.get(f"/{kind}", filters=asked)]

        assert await names() == ["db", "db2"]
        assert await names(name="db") == ["db", "db2"]
        assert await names(names="db") == ["db"]
        assert await names(id=first[:6]) == ["db"]
        assert await names(label="tier") == ["db"]

    tell(tmp_path, story)


@pytest.mark.parametrize("kind", ["secrets", "configs"])
def test_what_is_used_or_taken_is_refused(tmp_path: Path, kind: str) -> None:
    async def story(world: World) -> None:
        content_id = await make(world, kind)
        word = kind.removesuffix("s").title()
        reference = {f"{word}ID": content_id, f"{word}Name": "db", "File": {"Name": "db"}}
        container = {"Image": "app:1", kind.title(): [reference]}
        service = {"Name": "web", "TaskTemplate": {"ContainerSpec": container}}
        await world.ask("POST", "/services/create", service, expects=201)

        taken = await world.refused("POST", f"/{kind}/create", {"Name": "db", "Data": DATA})
        used = await world.refused("DELETE", f"/{kind}/db")
        driver = await world.refused(
            "POST", f"/{kind}/create", {"Name": "x", "Data": DATA, "Driver": {"Name": "vault"}}
        )

        exists = f"rpc error: code = AlreadyExists desc = {word.lower()} db already exists"
        assert taken == f"409 {exists}"
        assert used.startswith("409 ")
        assert "in use by the following service: web" in used
        assert driver.startswith("400 Driver: ")
        assert (await world.refused("DELETE", f"/{kind}/nothing")).startswith("404 ")
        await world.ask("DELETE", "/services/web")
        assert await world.ask("DELETE", f"/{kind}/db", expects=204) == b""

    tell(tmp_path, story)
