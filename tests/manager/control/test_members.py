import pytest

from manager.control.members import Members, members_of, why_not_serving
from manager.control.networks import tasks_in
from swarm.ids import NetworkId, NodeId, TaskId
from swarm.objects import Attachment, ServiceEndpoint, Task, VirtualAddress
from swarm.specs import EndpointSpec, NetworkAttachment, Port, TaskSpec
from swarm.states import HealthState, NodeState, TaskState
from tests.manager.world import World

BACK, N1 = NetworkId("n-back"), NodeId("n1")


def members(world: World) -> Members:
    return members_of(world.view, BACK, tasks_in(world.view, BACK))


def make_world() -> World:
    world = World()
    world.network("back", subnet="10.0.0.0/24", subnet6="fd00::/64")
    world.node("n1")
    task = TaskSpec(networks=(NetworkAttachment(target=BACK, aliases=("www",)),))
    endpoint = EndpointSpec(ports=(Port(target=80),))
    web = world.service("web", replicas=2, task=task, endpoint=endpoint)
    own = VirtualAddress(network_id=BACK, addresses=("10.0.0.2", "fd00::2"))
    chosen = (Port(target=80, published=30001),)
    world.write(
        ("endpoints/s-web", ServiceEndpoint(service_id=web, virtual_addresses=(own,), ports=chosen))
    )
    for slot in (1, 2):
        held = Attachment(network_id=BACK, addresses=(f"10.0.0.{slot + 2}", f"fd00::{slot + 2}"))
        world.task(
            Task(
                id=TaskId(f"t{slot}"),
                service_id=web,
                service_name="web",
                slot=slot,
                node_id=N1,
                attachments=(held,),
            )
        )
    world.report(TaskId("t1"), TaskState.RUNNING)
    return world


def test_a_network_is_shown_with_its_services_tasks_and_nodes() -> None:
    found = members(make_world())

    [web] = found.services
    assert (web.name, web.addresses, web.aliases) == ("web", ("10.0.0.2", "fd00::2"), ("www",))
    assert [port.published for port in web.ports] == [30001]
    assert [(each.name, each.why_not) for each in web.tasks] == [
        ("web.1.t1", ""),
        ("web.2.t2", "it is assigned"),
    ]
    [peer] = found.peers
    assert (peer.hostname, peer.number, peer.tasks, peer.state) == (
        "host-n1", 1, 2, NodeState.READY,
    )  # fmt: skip
    assert found.capacity == (
        "10.0.0.0/24: 3 of 253 addresses taken; fd00::/64: 3 of 2^64 addresses taken"
    )


def test_tasks_of_a_service_that_is_gone_are_shown_under_its_name() -> None:
    world = make_world()
    world.remove_service(world.view.tasks[TaskId("t1")].service_id)

    [web] = members(world).services

    assert (web.name, web.addresses, len(web.tasks)) == ("web", (), 2)


def test_a_service_without_tasks_is_shown_all_the_same() -> None:
    world = make_world()
    world.service("api", task=TaskSpec(networks=(NetworkAttachment(target=BACK),)))

    assert [each.name for each in members(world).services] == ["api", "web"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda world: world.report(TaskId("t1"), TaskState.RUNNING,
                                    health=HealthState.UNHEALTHY), "health check fails"),
        (lambda world: world.report(TaskId("t1"), TaskState.FAILED), "it is failed"),
        (lambda world: world.disconnect(N1), "its node is down"),
    ],
)  # fmt: skip
def test_a_task_that_does_not_answer_says_why(change: object, words: str) -> None:
    world = make_world()
    assert callable(change)
    change(world)

    assert words in why_not_serving(world.view, world.view.tasks[TaskId("t1")])
