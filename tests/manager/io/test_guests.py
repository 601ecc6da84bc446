"""Containers of single nodes that come into the swarm's networks, through a real manager."""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from msgspec import structs

from manager.io import guests, leader
from swarm.api.v1 import control_pb2, dispatch_pb2
from swarm.codec import to_message
from swarm.errors import Invalid, Missing, Refused, SwarmError, Unavailable
from swarm.ids import NetworkId, TaskId
from swarm.io.rpc import failure
from swarm.specs import NetworkSpec, Subnet
from tests.manager.io.swarm import Agent, Swarm, service, until
from tests.networks import attached

Tell = Callable[..., None]
ONE, TWO = "1" * 64, "2" * 64


async def network(swarm: Swarm, name: str = "back", **fields: Any) -> NetworkId:
    fields = {"attachable": True, "subnets": (Subnet(subnet="10.9.0.0/29"),), **fields}
    spec = to_message(NetworkSpec(name=name, **fields))
    answer = await swarm.call("CreateNetwork", control_pb2.CreateNetworkRequest(spec=spec))
    return NetworkId(answer.network.network.id)


async def attach(agent: Agent, container: str, *addresses: str, **fields: Any) -> list[str]:
    asked = {"network": "back", "name": f"c{container[0]}", **fields}
    request = dispatch_pb2.AttachGuestRequest(container_id=container, addresses=addresses, **asked)
    return list((await _answered(_dispatcher(agent).AttachGuest(request))).addresses)


async def release(agent: Agent, container: str, network_id: str = "") -> None:
    request = dispatch_pb2.ReleaseGuestRequest(container_id=container, network_id=network_id)
    await _answered(_dispatcher(agent).ReleaseGuest(request))


def _dispatcher(agent: Agent) -> Any:
    assert agent._link is not None
    return agent._link.dispatcher


async def _answered(call: Any) -> Any:
    try:
        return await call
    except grpc.RpcError as err:
        raise failure(err) from err


def test_a_container_comes_in_is_known_to_all_and_goes(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        agents = [await swarm.join(), await swarm.join()]
        back = await network(swarm)
        spec = service()
        in_it = structs.replace(spec, task=structs.replace(spec.task, networks=attached("back")))
        await swarm.run(in_it)
        [task] = swarm.view.tasks.values()
        at = next(each for each in agents if each.node_id == task.node_id)
        here = next(each for each in agents if each is not at)

        given = await attach(here, ONE, aliases=("www",))
        assert await attach(here, ONE, aliases=("www",)) == given

        for agent in agents:
            known = agent.assignments.topology
            await until(lambda known=known: back in known.endpoints(TaskId(ONE)))
            found = known.endpoints(TaskId(ONE))[back]
            assert (found.task_name, found.aliases, list(found.addresses)) == (
                "c1",
                ("www",),
                given,
            )
            assert found.node_id == here.node_id
            assert back in known.endpoints(task.id), "and it knows whom it may reach"
        told = await swarm.call("InspectNetwork", control_pb2.InspectNetworkRequest(network="back"))
        assert [(each.name, list(each.addresses)) for each in told.guests] == [("c1", given)]
        assert told.capacity == "10.9.0.0/29: 3 of 5 addresses taken"
        with pytest.raises(Refused, match="in use"):
            await swarm.call("RemoveNetwork", control_pb2.RemoveNetworkRequest(network="back"))
        await release(here, ONE, back)
        await release(here, ONE)
        for agent in agents:
            known = agent.assignments.topology
            await until(lambda known=known: not known.endpoints(TaskId(ONE)))
        assert f"network/{back}" not in here.assignments.topology.records

    tell(story)


def test_what_cannot_be_is_refused_and_nothing_is_left_of_it(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        agents = [await swarm.join(), await swarm.join()]
        await network(swarm)
        await network(swarm, "closed", attachable=False, subnets=())
        await attach(agents[0], ONE, "10.9.0.5")

        async def refused(error: type[SwarmError], words: str, *args: str, **fields: Any) -> None:
            with pytest.raises(error, match=words):
                await attach(agents[1], *args, **fields)

        await refused(Missing, "network nowhere not found", TWO, network="nowhere")
        await refused(Refused, "closed not manually attachable", TWO, network="closed")
        await refused(Refused, "address 10.9.0.5 of network back is in use", TWO, "10.9.0.5")
        await refused(Refused, "10.8.0.5 is not in a subnet", TWO, "10.8.0.5")
        await refused(Refused, "is not this node's", ONE)
        await refused(Invalid, "not the id of a container", "short")
        await release(agents[1], ONE)
        assert [each.id for each in swarm.view.guests.values()] == [ONE]

        for number in range(4):
            await attach(agents[1], f"{number + 3}" * 64)
        await refused(Refused, "network back .* has no free address", TWO)
        assert len(swarm.view.guests) == 5

    tell(story)


def test_many_at_once_get_an_address_each(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        agents = [await swarm.join(), await swarm.join()]
        await network(swarm, subnets=(Subnet(subnet="10.9.0.0/26"),))

        found = await asyncio.gather(*(attach(agents[n % 2], f"{n:064x}") for n in range(40)))

        addresses = [address for each in found for address in each]
        assert len(set(addresses)) == len(addresses) == 40

    tell(story)


def test_without_a_leader_nobody_waits_for_ever(
    tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(swarm: Swarm) -> None:
        agent = await swarm.join()
        await network(swarm)
        monkeypatch.setattr(guests, "PLACED_WITHIN_S", 0.05)
        monkeypatch.setattr(leader, "plan_guest", lambda *_: None)

        with pytest.raises(Unavailable, match="nobody gave the container an address"):
            await attach(agent, ONE)

        assert swarm.view.guests == {}

    tell(story)
