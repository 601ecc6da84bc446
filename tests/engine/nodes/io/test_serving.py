"""Nodes through Docker's API, before a real manager."""

import json
from pathlib import Path
from typing import Any

from swarm.specs import Availability
from tests.engine.io.world import World, tell


async def names(world: World, **filters: Any) -> list[str]:
    asked = {key: [each] for key, each in filters.items()}
    found = await world.get("/nodes", filters=json.dumps(asked))
    return sorted(each["Description"]["Hostname"] for each in found)


def test_a_node_is_told_with_what_it_is_and_whom_it_trusts(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        agent = await world.swarm.join("host2")

        manager, worker = await world.get("/nodes/self"), await world.get("/nodes/host2")

        assert worker["ID"] == agent.node_id
        assert worker["Spec"] == {"Labels": {}, "Role": "worker", "Availability": "active"}
        assert worker["Status"]["State"] == "ready"
        assert "ManagerStatus" not in worker
        description = worker["Description"]
        assert description["Platform"] == {"Architecture": "x86_64", "OS": "linux"}
        assert description["Resources"]["NanoCPUs"] == 4_000_000_000
        assert {"Type": "Network", "Name": "overlay"} in description["Engine"]["Plugins"]
        assert manager["ManagerStatus"]["Leader"] is True
        trust = description["TLSInfo"]
        assert trust["TrustRoot"].encode() == world.swarm.members.founded.authority.pem
        assert trust == (await world.get("/swarm"))["TLSInfo"]

    tell(tmp_path, story)


def test_nodes_are_chosen_by_what_is_asked_for(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        agent = await world.swarm.join("host2")
        await change(world, "host2", Labels={"zone": "east"})

        assert await names(world) == ["host2", "leader"]
        assert await names(world, role="worker") == ["host2"]
        assert await names(world, id=agent.node_id[:6]) == ["host2"]
        assert await names(world, name="lead") == ["leader"]
        assert await names(world, membership="accepted") == ["host2", "leader"]
        assert await names(world, membership="pending") == []
        assert await names(world, **{"node.label": "zone=east"}) == ["host2"]
        assert await names(world, label="zone=east") == []  # that asks for labels of engines
        assert "Invalid role filter" in await world.refused(
            "GET", "/nodes", filters='{"role":["boss"]}'
        )

    tell(tmp_path, story)


def test_a_change_keeps_what_docker_has_no_word_for(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        agent = await world.swarm.join("host2")
        await change(world, "host2", Taints=[{"Key": "gpu", "Effect": "no-execute"}])

        await change(world, "host2", Availability="drain", Name="two", Labels={"a": "b"})

        spec = world.swarm.view.nodes[agent.node_id].spec
        assert spec.availability is Availability.DRAIN
        assert (spec.name, spec.labels) == ("two", {"a": "b"})
        assert [each.key for each in spec.taints] == ["gpu"]
        shown = (await world.get("/nodes/host2"))["Spec"]
        assert shown == {
            "Name": "two",
            "Labels": {"a": "b"},
            "Role": "worker",
            "Availability": "drain",
            "Taints": [{"Key": "gpu", "Effect": "no-execute"}],
        }

    tell(tmp_path, story)


def test_what_cannot_be_done_with_a_node_is_refused(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.swarm.join("host2")
        version = (await world.get("/nodes/host2"))["Version"]["Index"]
        whole = {"Role": "worker", "Availability": "active"}

        late = await world.refused("POST", "/nodes/host2/update", whole, version=version + 9)
        half = await world.refused("POST", "/nodes/host2/update", {"Role": "worker"}, version=1)
        ready = await world.refused("DELETE", "/nodes/host2")
        manager = await world.refused("DELETE", "/nodes/leader", force="1")
        unknown = await world.refused("DELETE", "/nodes/nobody")

        assert late.endswith("update out of sequence")
        assert half.startswith('400 Availability: invalid Availability: ""')
        assert ready.startswith("409 ")
        assert manager.startswith("409 ")
        assert unknown.startswith("404 ")
        await world.ask("DELETE", "/nodes/host2", force="1")
        assert await names(world) == ["leader"]

    tell(tmp_path, story)


async def change(world: World, name: str, **fields: Any) -> None:
    node = await world.get(f"/nodes/{name}")
    version = node["Version"]["Index"]
    await world.ask("POST", f"/nodes/{name}/update", node["Spec"] | fields, version=version)
