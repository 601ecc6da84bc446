from collections.abc import Callable
from typing import Any

import pytest
from msgspec import structs

from agent.io.conversations import Talk
from swarm.api.v1 import control_pb2, dispatch_pb2
from swarm.codec import from_message, to_message
from swarm.dispatch import Preflight
from swarm.errors import Invalid, Missing, Refused
from swarm.ids import NetworkId
from swarm.objects import ServiceEndpoint
from swarm.specs import EndpointSpec, NetworkSpec, Port, PublishMode, ServiceSpec, Subnet
from tests.manager.io.swarm import Agent, Swarm, service, until
from tests.networks import attached
from tests.sim.fake_store import Fault

Tell = Callable[..., None]
PORT = Port(target=80, published=8080)


async def create(swarm: Swarm, name: str = "back", **fields: Any) -> control_pb2.NetworkView:
    spec = to_message(NetworkSpec(name=name, **fields))
    answer = await swarm.call("CreateNetwork", control_pb2.CreateNetworkRequest(spec=spec))
    return answer.network


async def inspect(swarm: Swarm, name: str = "back") -> control_pb2.InspectNetworkResponse:
    return await swarm.call("InspectNetwork", control_pb2.InspectNetworkRequest(network=name))


async def remove(swarm: Swarm, name: str = "back") -> None:
    await swarm.call("RemoveNetwork", control_pb2.RemoveNetworkRequest(network=name))


def within(*targets: str, name: str = "web", ports: tuple[Port, ...] = ()) -> ServiceSpec:
    made = service(name)
    task = structs.replace(made.task, networks=attached(*targets))
    return structs.replace(made, task=task, endpoint=EndpointSpec(ports=ports))


def test_a_network_is_made_listed_and_removed(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        made = await create(swarm, labels={"a": "b"})
        listed = await swarm.call("ListNetworks", control_pb2.ListNetworksRequest())
        await remove(swarm)

        assert [each.network.spec.name for each in listed.networks] == ["back", "ingress"]
        assert listed.networks[0] == made
        assert made.network.vni >= 4097
        with pytest.raises(Missing, match="network 'back' not found"):
            await inspect(swarm)

    tell(story)


def test_a_service_is_in_the_networks_that_it_names_and_keeps_them(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        await swarm.join()
        made = await create(swarm)
        await swarm.run(within("back"))
        found = await inspect(swarm)

        [web] = found.services
        [task] = web.tasks
        assert list(found.network.services) == ["web"]
        assert found.network.tasks == 1
        assert task.is_serving
        assert list(task.addresses) != list(web.virtual_addresses)
        assert [peer.hostname for peer in found.peers] == ["host"]
        [stored] = (await swarm.services("web")).services
        assert [each.target for each in stored.service.spec.task.networks] == [made.network.id]
        assert [each.spec.name for each in stored.networks] == ["back"]
        with pytest.raises(Refused, match="network back is in use by the following service: web"):
            await remove(swarm)

    tell(story)


def test_a_network_that_nobody_made_is_refused_with_the_nearest(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        await create(swarm)
        with pytest.raises(Invalid, match="there is no network 'bakc'; did you mean back"):
            await swarm.create(within("bakc"))

        assert not swarm.view.services

    tell(story)


def test_a_name_is_free_once_the_network_is_gone(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        first = await create(swarm)
        await remove(swarm)
        second = await create(swarm)

        assert first.network.id != second.network.id
        assert first.network.subnets != second.network.subnets  # reused late

    tell(story)


def test_other_addresses_are_chosen_where_a_host_is_in_the_way(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        agent = await swarm.join()
        hit = "subnets[0]: 10.0.0.0/24 hits 10.0.0.0/16, which is reached by eth1"
        agent.problems = (hit,)

        def answered(agent: Agent) -> list[Preflight]:
            return [each for each in agent.heard if isinstance(each, Preflight)]

        with pytest.raises(Refused) as caught:
            await create(swarm, subnets=(Subnet(subnet="10.0.0.0/24"),))
        assert caught.value.message == (
            "subnets[0].subnet: 10.0.0.0/24 overlaps 10.0.0.0/16, which is reached by eth1 "
            "(on host)"
        )
        assert answered(agent)[-1].subnets == ("10.0.0.0/24",)
        assert [each.spec.name for each in swarm.view.networks.values()] == ["ingress"]
        before = len(answered(agent))
        await create(swarm)
        asked = [each.subnets for each in answered(agent)[before:]]
        assert len({*asked}) == len(asked) > 1

    tell(story)


def test_a_lost_answer_makes_no_second_network(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        swarm.fake.fail_next("commit", Fault.LOST_ANSWER)
        await create(swarm)

        names = [each.spec.name for each in swarm.view.networks.values()]
        assert sorted(names) == ["back", "ingress"]

    tell(story)


def test_only_what_nobody_uses_is_pruned(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        await create(swarm)
        await create(swarm, "unused")
        await swarm.create(within("back"))
        answer = await swarm.call("PruneNetworks", control_pb2.PruneNetworksRequest())

        assert list(answer.removed) == ["unused"]

    tell(story)


def test_a_port_is_published_once_and_free_again_with_its_service(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        web = (await swarm.create(within(ports=(PORT,)))).service.service.id
        with pytest.raises(Refused, match="8080/tcp is already published by service web"):
            await swarm.create(within(name="api", ports=(PORT,)))
        assert [each.spec.name for each in swarm.view.services.values()] == ["web"]

        await swarm.call("RemoveService", control_pb2.RemoveServiceRequest(service_id=web))
        await swarm.create(within(name="api", ports=(PORT,)))

    tell(story)


def test_an_update_moves_ports_and_a_rollback_moves_them_back_if_it_can(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        web = (await swarm.create(within(ports=(PORT,)))).service.service.id
        [view] = (await swarm.services(web)).services
        view.service.spec.endpoint.ports[0].published = 9090
        await swarm.call(
            "UpdateService",
            control_pb2.UpdateServiceRequest(
                service_id=web, version=view.version, spec=view.service.spec
            ),
        )
        await swarm.create(within(name="api", ports=(PORT,)))
        back = control_pb2.RollbackServiceRequest(service_id=web)

        with pytest.raises(Refused, match="8080/tcp is already published by service api"):
            await swarm.call("RollbackService", back)
        await swarm.call("RemoveService", control_pb2.RemoveServiceRequest(service_id="api"))
        await swarm.call("RollbackService", back)
        assert swarm.view.names["port", "tcp-8080"] == web
        assert ("port", "tcp-9090") not in swarm.view.names

    tell(story)


def test_a_port_that_a_host_uses_is_refused_and_says_where(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        agent = await swarm.join("busy")
        await swarm.join("free")
        agent.problems = ("ports[0]: 8080/tcp is used by a program of the host",)
        on_node = structs.replace(PORT, mode=PublishMode.HOST)

        with pytest.raises(Invalid) as caught:
            await swarm.create(within(ports=(structs.replace(PORT, published=0), PORT)))
        assert caught.value.problems == (
            "endpoint.ports[1].published: 8080/tcp is used by a program of the host (on busy)",
        )
        assert not swarm.view.services
        await swarm.create(within(ports=(on_node,)))  # the other node can have it

    tell(story)


def test_a_port_that_was_left_open_is_shown_once_it_is_chosen(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        await swarm.join()
        await swarm.run(within(ports=(structs.replace(PORT, published=0),)))
        [view] = (await swarm.services("web")).services
        endpoint = from_message(ServiceEndpoint, view.endpoint)

        assert endpoint.ports[0].published >= 30000

    tell(story)


def test_a_running_task_is_connected_and_disconnected(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        agent = await swarm.join()
        side = NetworkId((await create(swarm, "side", attachable=True)).network.id)
        await swarm.run(within())
        [task] = swarm.view.tasks.values()
        joined = control_pb2.ConnectNetworkRequest(network="side", task="web.1", aliases=["db"])

        answer = await swarm.call("ConnectNetwork", joined)
        [address] = answer.addresses
        await until(lambda: agent.tasks[task.id].task.attachments)
        [attachment] = agent.tasks[task.id].task.attachments
        assert (attachment.network_id, attachment.addresses) == (side, (address,))
        assert (attachment.aliases, answer.message) == (("db",), "")
        with pytest.raises(Refused, match=r"network side is in use by the following task: web\.1"):
            await remove(swarm, "side")

        left = control_pb2.DisconnectNetworkRequest(network="side", task="web.1")
        await swarm.call("DisconnectNetwork", left)
        await until(lambda: not agent.tasks[task.id].task.attachments)
        with pytest.raises(Refused, match="is not in network side"):
            await swarm.call("DisconnectNetwork", left)
        await remove(swarm, "side")

    tell(story)


def test_a_plan_shows_networks_by_their_names(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        await create(swarm)
        request = control_pb2.PlanServiceRequest(spec=to_message(within("back")))
        answer = await swarm.call("PlanService", request)

        changes = {each.path: each.after for each in answer.changes}
        assert changes["task.networks[back]"] == "attached"

    tell(story)


def test_every_node_of_a_network_reports_on_all_others(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        asked: list[tuple[str, list[str]]] = []

        def reporting(agent: Agent) -> Any:
            async def report(talk: Talk, question: dispatch_pb2.Question) -> None:
                peers = list(question.network_check.node_ids)
                asked.append((agent.node_id, peers))
                found = [control_pb2.PeerReport(node_id=each, reachable=True) for each in peers]
                await talk.conclude(network_report=control_pb2.NetworkReport(mtu=1450, peers=found))

            return report

        agents = [await swarm.join(name) for name in ("a", "b", "c")]
        for agent in agents[:2]:
            agent.respond["network_check"] = reporting(agent)
        await create(swarm)
        spec = within("back")
        await swarm.run(structs.replace(spec, mode=structs.replace(spec.mode, replicas=3)))
        reports = await swarm.ask("CheckNetwork", control_pb2.CheckNetworkRequest(network="back"))

        found = {each.hostname: each for each in reports}
        assert {*found} == {"a", "b", "c"}
        assert {peer.hostname for peer in found["a"].peers} == {"b", "c"}
        assert found["b"].mtu == 1450
        assert found["c"].unreachable  # it knows no such question
        assert all(node_id not in peers for node_id, peers in asked)

    tell(story)


def test_the_data_path_of_a_swarm_stays(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        before = (await swarm.call("GetCluster", control_pb2.GetClusterRequest())).cluster.spec
        other = type(before)()
        other.CopyFrom(before)
        other.data_path_port = 7789

        with pytest.raises(Invalid, match="data_path_port: 4789 cannot become 7789"):
            await swarm.call("UpdateCluster", control_pb2.UpdateClusterRequest(spec=other))
        assert list(before.address_pools) == ["10.0.0.0/8"]

    tell(story)


def test_a_connection_that_was_overtaken_is_decided_again(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        await swarm.join()
        await create(swarm, "side", attachable=True)
        await swarm.run(within())
        swarm.fake.fail_next("commit", Fault.CONFLICT)

        answer = await swarm.call(
            "ConnectNetwork", control_pb2.ConnectNetworkRequest(network="side", task="web.1")
        )

        assert answer.addresses

    tell(story)
