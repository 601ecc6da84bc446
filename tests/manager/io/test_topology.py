"""What agents hear of their networks through a real manager: at first all of it, then the news."""

import asyncio
from collections.abc import Callable

import pytest
from msgspec import structs

from manager import layout
from manager.store import Commit, Put
from swarm.codec import pack
from swarm.dispatch import Diff
from swarm.ids import NetworkId
from swarm.objects import Network
from swarm.specs import EndpointSpec, NetworkSpec, Port, ServiceSpec, Subnet
from swarm.states import TaskState
from tests.manager.io.swarm import Agent, Swarm, service, until
from tests.networks import attached

Tell = Callable[..., None]
BACK = NetworkId("n-back")


async def network(swarm: Swarm, *, encrypted: bool = False, subnet: str = "10.9.0.0/24") -> None:
    """Store a network, as the control API would."""
    made = Network(
        id=BACK,
        spec=NetworkSpec(name="back", encrypted=encrypted),
        vni=5000,
        subnets=(Subnet(subnet=subnet, gateway=subnet.replace(".0/", ".1/").partition("/")[0]),),
    )
    await swarm.manager.mirror.commit(Commit((), (Put(layout.network_key(BACK), pack(made)),)))


def within(spec: ServiceSpec) -> ServiceSpec:
    return structs.replace(spec, task=structs.replace(spec.task, networks=attached(BACK)))


def known(agent: Agent, kind: str) -> list[str]:
    records = agent.assignments.topology.records
    return sorted(key for key in records if key.startswith(f"{kind}/"))


def test_agents_of_one_network_know_each_others_tasks(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        agents = [await swarm.join(), await swarm.join()]
        await network(swarm)
        service_id = await swarm.run(within(service(replicas=4)))

        for agent in agents:
            await until(
                lambda agent=agent: (
                    all(
                        each.is_serving
                        for task_id in swarm.view.tasks
                        for each in agent.assignments.topology.endpoints(task_id).values()
                    )
                    and len(known(agent, "endpoint")) == 4
                )
            )
            assert known(agent, "network") == ["network/n-back"]
            assert known(agent, "service") == [f"service/n-back/{service_id}"]
            assert len(known(agent, "peer")) == 2
        assert swarm.view.endpoints[service_id].virtual_addresses[0].addresses == ("10.9.0.2",)

    tell(story)


def test_a_change_reaches_the_other_node_in_a_diff_of_one_record(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        agents = [await swarm.join(), await swarm.join()]
        await network(swarm)
        await swarm.run(within(service(replicas=2)))
        await until(lambda: all(len(known(each, "endpoint")) == 2 for each in agents))
        teller, hearer = agents
        (task_id,) = teller.tasks
        await until(lambda: hearer.assignments.topology.endpoints(task_id)[BACK].is_serving)
        hearer.heard.clear()

        teller.report(task_id, TaskState.FAILED, exit_code=1)
        await until(lambda: not hearer.assignments.topology.endpoints(task_id))

        news = [each for each in hearer.heard if isinstance(each, Diff)]
        assert f"endpoint/{BACK}/{task_id}" in {
            key for each in news for key in each.topology.removed
        }
        assert sum(len(each.topology.records()) for each in news) <= 2

    tell(story)


def test_a_session_in_sync_begins_with_all_there_is_of_networks(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        agent = await swarm.join()
        await network(swarm)
        await swarm.run(within(service()))
        await until(lambda: known(agent, "endpoint"))
        await agent.disconnect()
        agent.heard.clear()

        welcome = await agent.connect(swarm.address)
        await until(lambda: [each for each in agent.heard if isinstance(each, Diff)])

        (first, *_) = (each for each in agent.heard if isinstance(each, Diff))
        assert welcome.in_sync
        assert first.topology.is_complete
        assert [each.network_id for each in first.topology.endpoints] == [BACK]

    tell(story)


def test_a_published_port_is_known_to_a_node_without_any_task(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        agents = [await swarm.join(), await swarm.join()]
        spec = structs.replace(service(), endpoint=EndpointSpec(ports=(Port(target=80),)))

        service_id = await swarm.run(spec)

        for agent in agents:
            await until(lambda agent=agent: known(agent, "publication"))
            found = agent.assignments.topology.records[f"publication/{service_id}"]
            assert 30000 <= found.ports[0].published <= 32767  # type: ignore[union-attr]

    tell(story)


def test_a_task_without_an_address_waits_and_starts_when_there_is_one(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        await swarm.join()
        await network(swarm, subnet="10.9.0.0/29")
        await swarm.create(within(service(replicas=6)))
        view = swarm.view
        (service_id,) = view.services

        def waiting() -> list[str]:
            return [each.message for each in view.tasks.values() if not each.node_id]

        await until(lambda: len(view.tasks) == 6 and len(waiting()) == 2)
        assert "network back (10.9.0.0/29) has no free address: 5 in use" in waiting()[0]

        await swarm.scale(service_id, 4)
        await until(lambda: not waiting() and len(view.tasks) == 4)

    tell(story)


def test_the_leader_makes_a_secret_for_encrypted_networks_that_agents_hear(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        agent = await swarm.join()
        await network(swarm, encrypted=True)
        await swarm.run(within(service()))

        await until(lambda: known(agent, "key"))

        (key,) = known(agent, "key")
        secret = agent.assignments.topology.records[key].secret  # type: ignore[union-attr]
        (stored,) = swarm.fake.list_now(layout.KEYS).items
        assert len(secret) == 32
        assert secret not in stored.value
        assert not any(secret.hex() in repr(each) for each in agent.heard)

    tell(story)


@pytest.mark.parametrize("nodes", [3])
def test_a_node_that_joins_is_numbered_and_told_of(nodes: int, tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        await asyncio.gather(*(swarm.join() for _ in range(nodes)))

        numbers = [node.number for node in swarm.view.nodes.values()]
        assert sorted(numbers) == list(range(1, nodes + 2))

    tell(story)
