"""Tasks and their addresses: together with the node, or not at all."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manager.decisions import CreateTask, WriteEndpoint
from swarm.ids import NetworkId, ServiceId
from swarm.objects import Task
from swarm.specs import (
    EndpointMode,
    EndpointSpec,
    Global,
    NetworkAttachment,
    Port,
    Replicated,
    ReplicatedJob,
    Resources,
    RestartPolicy,
    TaskSpec,
    UpdateOrder,
    UpdatePolicy,
)
from swarm.states import TaskState
from tests.manager.orchestrator.driving import WEB, Driven
from tests.networks import attached

NET = NetworkId("n-net")
LOW, HIGH = ServiceId("s-low"), ServiceId("s-high")
AT_ONCE = RestartPolicy(delay_s=0.0)


def make(subnet: str = "10.9.0.0/29", *, nodes: int = 2, **fields: object) -> Driven:
    world = Driven()
    world.nodes(nodes)
    world.network(subnet=subnet)
    fields.setdefault("task", TaskSpec(networks=attached("n-net"), restart=AT_ONCE))
    fields.setdefault("endpoint", EndpointSpec(mode=EndpointMode.DNSRR))
    world.service(**fields)
    return world


def addresses(world: Driven) -> list[str]:
    return sorted(text for task in world.live() for text in own(task))


def own(task: Task) -> list[str]:
    return [text for each in task.attachments for text in each.addresses]


def test_a_task_that_waits_for_a_node_has_no_address() -> None:
    world = make(nodes=0, replicas=1)
    world.plan()
    (waiting,) = world.live()
    assert (waiting.node_id, waiting.attachments) == ("", ())

    world.nodes(1)
    world.plan()

    (task,) = world.live()
    assert (task.id, own(task)) == (waiting.id, ["10.9.0.2"])


def test_a_service_is_reached_before_its_first_task_starts() -> None:
    world = make(replicas=2, endpoint=EndpointSpec())

    world.plan()

    kinds = [type(each) for each in world.plans[0].decisions]
    assert kinds.index(WriteEndpoint) < kinds.index(CreateTask)
    assert world.view.endpoints[WEB].virtual_addresses[0].addresses == ("10.9.0.2",)
    assert addresses(world) == ["10.9.0.3", "10.9.0.4"]


def test_what_gets_no_address_waits_and_says_so_until_one_is_freed() -> None:
    world = make(replicas=7)
    world.converge()

    waiting = [task for task in world.live() if not task.node_id]
    assert len(waiting) == 2
    assert {task.message for task in waiting} == {
        "network net (10.9.0.0/29) has no free address: 5 in use, 5 by service web"
    }
    assert world.spread()[""] == 2

    world.scale(WEB, 4)
    world.converge()
    world.scale(WEB, 5)
    world.converge()
    assert len(addresses(world)) == 5


def test_the_address_of_one_that_ended_goes_to_one_that_waits() -> None:
    world = make(replicas=6)
    world.converge()
    ended = next(task for task in world.live() if task.node_id)
    waiting = next(task for task in world.live() if not task.node_id)

    world.report(ended, TaskState.FAILED, exit_code=1)
    world.plan()

    started = {task.id: task for task in world.live() if task.node_id}
    successor = [task for task in world.live() if task.slot == ended.slot]
    assert own(ended)[0] in addresses(world)
    assert (waiting.id in started) is not bool(successor[0].node_id)


def test_a_rolling_update_in_a_full_network_goes_on_as_addresses_are_freed() -> None:
    world = make(replicas=5, update=UpdatePolicy(parallelism=2))
    world.converge()

    world.new_version(WEB)
    world.converge()

    assert [task.spec_version for task in world.live()] == [2] * 5
    assert len(addresses(world)) == 5


def test_one_that_would_start_first_waits_for_an_address_and_leaves_the_old_one_alone() -> None:
    world = make(replicas=5, update=UpdatePolicy(order=UpdateOrder.START_FIRST))
    world.converge()
    before = addresses(world)

    world.new_version(WEB)
    world.converge()

    running = [task for task in world.live() if task.node_id]
    (waiting,) = (task for task in world.live() if not task.node_id)
    assert [task.spec_version for task in running] == [1] * 5
    assert sorted(text for task in running for text in own(task)) == before
    assert "has no free address" in waiting.message


def test_two_versions_that_wait_for_addresses_do_not_keep_the_leader_busy() -> None:
    world = make(replicas=7, update=UpdatePolicy(parallelism=1))
    world.converge()

    world.new_version(WEB)
    world.converge()

    assert [task.spec_version for task in world.live()] == [2] * 7
    assert len(addresses(world)) == 5


@pytest.mark.parametrize("mode", [Global(), ReplicatedJob(total=7)])
def test_every_kind_of_service_gets_addresses_or_waits(mode: object) -> None:
    world = make(nodes=7, mode=mode)
    world.plan()

    started = [task for task in world.live() if task.node_id]
    waiting = [task for task in world.live() if not task.node_id]
    assert (len(started), len(waiting)) == (5, 2)
    assert len(addresses(world)) == 5
    assert all("has no free address" in task.message for task in waiting)

    world.report(started[0], TaskState.COMPLETE)
    world.plan()
    assert len([task for task in world.live() if task.node_id]) == 5


def test_a_task_is_in_the_networks_of_its_own_version() -> None:
    world = make(replicas=1, update=UpdatePolicy(parallelism=1))
    world.network("front", subnet="10.8.0.0/24")
    world.network("ingress", subnet="10.255.0.0/24", ingress=True)
    world.converge()

    front = NetworkAttachment(target="n-front", aliases=("shop",))
    world.new_version(WEB, networks=(front, *attached("n-net")))
    world.set_service(WEB, endpoint=EndpointSpec(ports=(Port(target=80, published=80),)))
    world.new_version(WEB)
    world.converge()

    (task,) = world.live()
    assert [each.network_id for each in task.attachments] == ["n-ingress", "n-front", "n-net"]
    assert task.attachments[1].aliases == ("shop",)


def test_tasks_without_networks_have_no_addresses_and_services_no_endpoint() -> None:
    world = make(replicas=3, task=TaskSpec(networks=attached("host")), endpoint=EndpointSpec())

    world.converge()

    assert all(task.attachments == () for task in world.live())
    assert not world.view.endpoints


def test_a_network_that_was_removed_is_named_by_what_waits_for_it() -> None:
    world = make(replicas=1, nodes=0)
    world.write(("networks/n-net", None))
    world.nodes(1)

    world.plan()
    (waiting,) = world.live()
    assert waiting.message == "network n-net does not exist any more"

    world.network()
    world.plan()
    assert addresses(world) == ["10.9.0.2"]


def test_a_removed_service_leaves_neither_endpoint_nor_port_nor_address() -> None:
    world = make(replicas=3, endpoint=EndpointSpec(ports=(Port(target=80),)))
    world.network("ingress", subnet="10.255.0.0/24", ingress=True)
    world.new_version(WEB)
    world.converge()
    assert world.view.endpoints

    world.remove_service(WEB)
    world.converge()

    left = [key for key in world.keys if key.startswith(("endpoints/", "names/port/", "tasks/"))]
    assert left == []
    assert world.addresses.shortage([NET]) is None


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_law_no_two_tasks_that_may_run_share_an_address(data: st.DataObject) -> None:
    """Through scaling, updates, failures and nodes that come and go, in a network too small."""
    world = make(replicas=3, nodes=3, endpoint=EndpointSpec())
    nodes = sorted(world.view.nodes)
    for _ in range(data.draw(st.integers(1, 12))):
        match data.draw(st.sampled_from(["scale", "update", "fail", "obey", "lose", "return"])):
            case "scale":
                world.scale(WEB, data.draw(st.integers(0, 7)))
            case "update":
                world.new_version(WEB)
            case "fail":
                world.obey(fails=lambda task: task.slot % 2 == 0)
            case "lose":
                node_id = data.draw(st.sampled_from(nodes))
                if node_id in world.view.sessions:
                    world.disconnect(node_id)
            case "return":
                for node_id in nodes:
                    if node_id not in world.view.sessions:
                        world.connect(node_id)
            case _:
                world.obey()
        world.plan()
        vips = [
            text
            for endpoint in world.view.endpoints.values()
            for each in endpoint.virtual_addresses
            for text in each.addresses
        ]
        may_run = [
            task
            for task in world.view.tasks.values()
            if task.node_id and not world.view.state(task).is_terminal
        ]
        held = [*vips, *(text for task in may_run for text in own(task))]
        assert len(held) == len(set(held))
        assert all(len(own(task)) == 1 for task in may_run)
    for node_id in nodes:
        if node_id not in world.view.sessions:
            world.connect(node_id)
    world.scale(WEB, 2)
    world.converge()
    assert all("has no free address" not in task.message for task in world.live())


@pytest.mark.parametrize("mode", [Replicated(replicas=2), Global(), ReplicatedJob(total=2)])
def test_nobody_gives_way_to_who_would_find_no_address(mode: object) -> None:
    """Or it would be stopped and started again for ever, and nobody gain by it."""
    world = make(replicas=5, nodes=0)
    world.node("a", cpu_millis=1000)
    low = TaskSpec(reservations=Resources(cpu_millis=900), restart=AT_ONCE)
    world.service("low", task=low)
    world.converge()
    assert len(world.live(LOW)) == 1

    wide = Resources(cpu_millis=500)
    high = TaskSpec(networks=attached("n-net"), reservations=wide, restart=AT_ONCE, priority=9)
    world.service("high", mode=mode, task=high)
    world.converge()

    assert [task.attempt for task in world.live(LOW)] == [1]
    assert all("has no free address" in task.message for task in world.live(HIGH))


def test_a_plan_that_is_too_large_for_a_network_starts_what_it_can_and_says_so_of_the_rest() -> (
    None
):
    world = make(replicas=20)

    world.converge()

    waiting = [task for task in world.live() if not task.node_id]
    assert (len(addresses(world)), len(waiting)) == (5, 15)
    assert {task.message for task in waiting} == {
        "network net (10.9.0.0/29) has no free address: 5 in use, 5 by service web"
    }
