"""Networks through Docker's API: this node's, and a real manager's."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from agent.assignments import Wanted
from swarm.api.v1 import containers_pb2
from swarm.ids import TaskId
from swarm.specs import NetworkDriver, NetworkSpec, Role, Subnet
from swarm.standalone import container_id_of
from swarm.states import TaskState
from tests.engine.io.world import World, tell
from tests.engine.services.io.test_serving import create, until_running
from tests.manager.io.swarm import Agent, obedient, until
from tests.manager.io.test_guests import attach, release

OVERLAY = {"Name": "net", "Driver": "overlay"}


async def make(world: World, **fields: Any) -> str:
    return (await world.ask("POST", "/networks/create", fields, expects=201))["Id"]


async def names(world: World, **filters: str) -> set[str]:
    asked = json.dumps({key: [each] for key, each in filters.items()})
    return {each["Name"] for each in await world.get("/networks", filters=asked)}


def test_networks_of_the_node_and_of_the_swarm_are_one_list(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        net = await make(world, **OVERLAY, Labels={"tier": "back"})
        mine = await make(world, Name="mine")

        every_nodes = {"bridge", "host", "none"}
        swarms = {"net", *await names(world, scope="swarm")}
        assert await names(world) == {*every_nodes, *swarms, "mine"}
        assert await names(world, driver="overlay") == swarms
        assert await names(world, scope="local") == {*every_nodes, "mine"}
        assert await names(world, type="builtin") == every_nodes
        assert await names(world, label="tier=back") == {"net"}
        assert await names(world, name="^ne") == {"net"}
        assert await names(world, id=mine[:12]) == {"mine"}
        assert await names(world, dangling="true") == {"net", "mine"}
        assert len(net) == 25
        assert "invalid filter" in await world.refused(
            "GET", "/networks", filters='{"type":["odd"]}'
        )

    tell(tmp_path, story)


def test_a_network_is_made_as_was_asked(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        net = await make(
            world,
            Name="net",
            Driver="overlay",
            Attachable=True,
            EnableIPv6=True,
            Labels={"a": "b"},
            Options={"com.docker.network.driver.mtu": "1400"},
            IPAM={
                "Driver": "default",
                "Config": [
                    {
                        "Subnet": "10.7.0.0/24",
                        "IPRange": "10.7.0.128/25",
                        "Gateway": "10.7.0.1",
                        "AuxiliaryAddresses": {"router": "10.7.0.2"},
                    }
                ],
            },
        )

        (spec,) = [n.spec for n in world.swarm.view.networks.values() if n.spec.name == "net"]
        assert spec == NetworkSpec(
            name="net",
            driver=NetworkDriver.OVERLAY,
            attachable=True,
            ipv6=True,
            labels={"a": "b"},
            mtu=1400,
            subnets=(
                Subnet(
                    subnet="10.7.0.0/24",
                    ip_range="10.7.0.128/25",
                    gateway="10.7.0.1",
                    aux_addresses={"router": "10.7.0.2"},
                ),
            ),
        )
        shown = await world.get("/networks/net")
        assert shown["Id"] == net
        assert (shown["Scope"], shown["Driver"]) == ("swarm", "overlay")
        assert shown["Attachable"] is shown["EnableIPv6"] is True
        assert shown["IPAM"]["Config"][0] == {
            "Subnet": "10.7.0.0/24",
            "IPRange": "10.7.0.128/25",
            "Gateway": "10.7.0.1",
            "AuxiliaryAddresses": {"router": "10.7.0.2"},
        }
        assert shown["Options"]["com.docker.network.driver.mtu"] == "1400"

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"Driver": "host"}, '403 only one instance of "host" network is allowed'),
        ({"Driver": "macvlan"}, '404 plugin "macvlan" not found'),
        ({"Driver": "overlay", "Scope": "local"}, "400 Scope: an overlay is the swarm's"),
        ({"Scope": "global"}, "400 Scope: there is no 'global'"),
        ({"ConfigOnly": True}, "400 ConfigOnly"),
        ({"IPAM": {"Driver": "mine"}}, "400 IPAM.Driver: there is no 'mine'"),
        ({"IPAM": {"Options": {"a": "b"}}}, "400 IPAM.Options"),
        ({"Options": {"com.docker.network.driver.mtu": "big"}}, "is not a number of bytes"),
        ({"Driver": "overlay", "Options": {"mtu": "1"}}, "400 mtu: 1 is not in"),
        ({"Driver": "overlay", "Options": {"odd": "1"}}, "400 options[odd]: there is no option"),
        ({"Driver": "overlay", "Name": "bridge"}, "400 name: bridge is a network that every node"),
    ],
)  # fmt: skip
def test_what_no_network_can_be_is_refused(
    tmp_path: Path, fields: dict[str, Any], words: str
) -> None:
    async def story(world: World) -> None:
        refused = await world.refused("POST", "/networks/create", {"Name": "net", **fields})

        assert words in refused
        assert "net" not in await names(world)

    tell(tmp_path, story)


def test_a_name_is_taken_once_on_the_node_and_in_the_swarm(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await make(world, **OVERLAY)
        await make(world, Name="mine")

        for body in (OVERLAY, {"Name": "net"}, {"Name": "mine"}):
            refused = await world.refused("POST", "/networks/create", body)
            assert refused.startswith(f"409 network with name {body['Name']} already exists")

    tell(tmp_path, story)


def test_a_network_is_meant_by_id_name_or_beginning_in_a_scope(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        net = await make(world, **OVERLAY)
        mine = await make(world, Name="mine")

        assert (await world.get(f"/networks/{mine[:10]}"))["Name"] == "mine"
        assert (await world.get(f"/networks/{net[:6]}", scope="swarm"))["Name"] == "net"
        assert (await world.refused("GET", "/networks/net", scope="local")).startswith(
            "404 network net not found"
        )
        # docker asks so before it creates a service with `--network host`.
        host = await world.get("/networks/host", scope="swarm")
        assert (host["Id"], host["Scope"]) == ("host", "swarm")
        assert (await world.get("/networks/host"))["Scope"] == "local"

    tell(tmp_path, story)


def test_members_are_those_of_this_node_and_all_when_it_is_verbose(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        net = await make(world, **OVERLAY)
        await world.swarm.join("host2")
        template = {"ContainerSpec": {"Image": "app:1"}, "Networks": [{"Target": "net"}]}
        await create(world, TaskTemplate=template)
        await until_running(world, "web", 2)
        view = containers_pb2.ContainerView(id="c" * 64, name="lonely")
        view.endpoints.add(network_id=net, endpoint_id="e", addresses=["10.0.0.9/24"])
        stopped = containers_pb2.ContainerView(id="d" * 64, name="stopped")
        stopped.endpoints.add(network_id=net)
        world.containers.views += [view, stopped]

        plain = await world.get("/networks/net")
        verbose = await world.get("/networks/net", verbose="true")

        assert list(plain["Containers"]) == ["c" * 64]  # the tasks are on another node
        assert plain["Containers"]["c" * 64]["IPv4Address"] == "10.0.0.9/24"
        assert [each["Name"] for each in plain["Peers"]] == ["host2"]
        assert "Services" not in plain
        web = verbose["Services"]["web"]
        assert len(web["Tasks"]) == 2
        assert web["VIP"]

    tell(tmp_path, story)


def test_what_is_used_or_every_nodes_own_stays(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await make(world, **OVERLAY)
        await make(world, Name="idle", Driver="overlay")
        await make(world, Name="mine")
        await make(world, Name="used")
        world.networks.named("used").users.append("somebody")
        template = {"ContainerSpec": {"Image": "app:1"}, "Networks": [{"Target": "net"}]}
        await create(world, TaskTemplate=template)

        assert (await world.refused("DELETE", "/networks/net")).startswith("409 ")
        assert (await world.refused("DELETE", "/networks/bridge")).startswith(
            "403 bridge is a pre-defined network"
        )
        found = await world.ask("POST", "/networks/prune")
        assert sorted(found["NetworksDeleted"]) == ["idle", "mine"]
        assert {"net", "used", "bridge"} <= await names(world)
        assert await world.ask("POST", "/networks/prune") == {"NetworksDeleted": None}

    tell(tmp_path, story)


def test_a_network_goes_once_the_tasks_of_what_is_gone_have_left_it(tmp_path: Path) -> None:
    """docker stack rm asks for a service and its network in one breath.

    1. The service is removed, and its task takes its time to end.
    2. The network is to be removed, and the answer waits.
    3. The task ends, and with it the network.
    """

    def slow(agent: Agent, wanted: Wanted) -> TaskState | None:
        return None if wanted.task.desired > TaskState.RUNNING else obedient(agent, wanted)

    async def story(world: World) -> None:
        net = await make(world, **OVERLAY)
        agent = await world.swarm.join("host2", answer=slow)
        template = {"ContainerSpec": {"Image": "app:1"}, "Networks": [{"Target": "net"}]}
        await create(world, Mode={"Replicated": {"Replicas": 1}}, TaskTemplate=template)
        await until_running(world, "web", 1)
        (task_id,) = agent.tasks
        await world.ask("DELETE", "/services/web")

        removing = asyncio.ensure_future(world.ask("DELETE", "/networks/net", expects=204))

        await until(lambda: agent.tasks[task_id].task.desired > TaskState.RUNNING)
        assert net in world.swarm.view.networks
        assert not removing.done()
        agent.report(task_id, TaskState.SHUTDOWN)
        await removing
        assert net not in world.swarm.view.networks

    tell(tmp_path, story)


def test_containers_of_other_nodes_are_those_of_a_service_without_a_name(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        net = await make(world, **OVERLAY, Attachable=True)
        agent = await world.swarm.join("host2")
        assert await names(world, dangling="true") == {"net"}
        (address,) = await attach(agent, "a" * 64, network=net, name="lonely")

        shown = await world.get("/networks/net", verbose="true")
        assert shown["Containers"] == {}
        assert [each["Name"] for each in shown["Peers"]] == ["host2"]
        (task,) = shown["Services"][""]["Tasks"]
        assert (task["Name"], task["EndpointIP"]) == ("lonely", address)
        assert task["Info"] == {"Host IP": shown["Peers"][0]["IP"]}
        assert await names(world, dangling="true") == set()
        assert "has active endpoints" in await world.refused("DELETE", "/networks/net")
        assert await world.ask("POST", "/networks/prune") == {"NetworksDeleted": None}

        await release(agent, "a" * 64)
        assert await names(world, dangling="true") == {"net"}
        await world.ask("DELETE", "/networks/net", expects=204)

    tell(tmp_path, story)


def test_pruning_takes_what_its_filters_say(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await make(world, Name="a", Driver="overlay", Labels={"keep": "1"})
        await make(world, Name="b", Driver="overlay")
        await make(world, Name="old")  # of the year 1970

        async def pruned(**filters: list[str]) -> list[str]:
            return (await world.ask("POST", "/networks/prune", filters=json.dumps(filters)))[
                "NetworksDeleted"
            ]

        assert await pruned(until=["1h"]) == ["old"]
        assert await pruned(**{"label!": ["keep"]}) == ["b"]
        assert await pruned(label=["keep=1"]) == ["a"]

    tell(tmp_path, story)


def test_containers_are_connected_where_they_are(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        """A task's container is the managers' to connect, and any other this node's."""
        net = await make(world, Name="net", Driver="overlay", Attachable=True)
        mine = await make(world, Name="mine")
        agent = await world.swarm.join("host2")
        await create(world, Mode={"Replicated": {"Replicas": 1}})
        await until_running(world, "web", 1)
        (task_id,) = agent.tasks
        task = containers_pb2.ContainerView(id=container_id_of(TaskId(task_id)), task_id=task_id)
        world.containers.views += [task, containers_pb2.ContainerView(id="c" * 64, name="c1")]
        config = {"Aliases": ["db"], "IPAMConfig": {"IPv4Address": "10.0.0.7"}}

        await world.ask("POST", "/networks/net/connect", {"Container": task.id})
        for name in ("net", "mine"):
            body = {"Container": "c1", "EndpointConfig": config}
            await world.ask("POST", f"/networks/{name}/connect", body)
        await world.ask("POST", "/networks/net/disconnect", {"Container": "c1", "Force": True})

        (attached,) = world.swarm.view.tasks[task_id].attachments
        assert attached.network_id == net
        first, second, third = world.containers.asked
        assert (first.container, first.network.network) == ("c" * 64, net)
        assert (list(second.network.aliases), second.network.network) == (["db"], mine)
        assert second.network.ipv4_address == "10.0.0.7"
        assert (third.network, third.force) == (net, True)
        await world.ask("POST", "/networks/net/disconnect", {"Container": task.id})
        assert not world.swarm.view.tasks[task_id].attachments

    tell(tmp_path, story)


def test_what_cannot_be_connected_is_refused(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await make(world, **OVERLAY)
        world.containers.views.append(containers_pb2.ContainerView(id="c" * 64, name="c1"))

        async def connect(network: str, container: str) -> str:
            return await world.refused(
                "POST", f"/networks/{network}/connect", {"Container": container}
            )

        assert "403 Could not attach to network net" in await connect("net", "c1")
        assert "404 No such container" in await connect("net", "nobody")
        assert "404 network nowhere not found" in await connect("nowhere", "c1")
        assert "400 Container: must be given" in await connect("net", "")

    tell(tmp_path, story)


def test_beside_a_worker_the_nodes_own_networks_are_all_there_is(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await make(world, **OVERLAY)
        world.daemon.role = Role.WORKER

        assert await names(world) == {"bridge", "host", "none"}
        assert (await world.refused("POST", "/networks/create", OVERLAY)).startswith(
            "503 This node is not a swarm manager"
        )
        await make(world, Name="mine")

    tell(tmp_path, story)
