import pytest
from msgspec import structs

from manager import layout
from manager.control.connecting import connect, connection_event, disconnect
from manager.decisions import AttachTask, commit_for
from manager.networks.addresses import Addresses
from manager.orchestrator.planning import plan_service
from manager.scheduler.fleet import Fleet
from manager.store import Commit, Put, Unchanged
from swarm.codec import unpack
from swarm.errors import Invalid, Refused
from swarm.ids import NetworkId, TaskId
from swarm.objects import Attachment, Task
from swarm.specs import ContainerSpec, TaskSpec
from swarm.states import TaskState
from tests.manager.world import World
from tests.networks import attached

SIDE, OWN, T1 = NetworkId("n-side"), NetworkId("n-own"), TaskId("t1")


def make_world(*targets: str) -> World:
    world = World()
    world.network("own", subnet="10.0.0.0/24")
    world.network("side", subnet="10.0.1.0/24")
    _attachable(world, SIDE)
    task = TaskSpec(container=ContainerSpec(image="x"), networks=attached(*(targets or ("n-own",))))
    web, node = world.service("web", task=task), world.node("n1")
    running = Task(
        id=T1,
        service_id=web,
        service_name="web",
        slot=1,
        node_id=node,
        attachments=(Attachment(network_id=OWN, addresses=("10.0.0.2",)),) if not targets else (),
    )
    world.task(running)
    world.report(running, TaskState.RUNNING)
    return world


def _attachable(world: World, network_id: NetworkId, *, truth: bool = True) -> None:
    network = world.view.networks[network_id]
    spec = structs.replace(network.spec, attachable=truth)
    world.write((layout.network_key(network_id), structs.replace(network, spec=spec)))


def task_in(commit: Commit) -> Task:
    (put,) = (
        each
        for each in commit.operations
        if isinstance(each, Put) and each.key.startswith(layout.TASKS)
    )
    return unpack(Task, put.value)


def test_a_connection_is_one_more_attachment_without_addresses() -> None:
    world = make_world()
    key = layout.task_key(world.view.tasks[T1].service_id, T1)

    commit = connect(world.view, SIDE, T1, ("db",), now=5.0)

    assert task_in(commit).attachments == (
        Attachment(network_id=OWN, addresses=("10.0.0.2",)),
        Attachment(network_id=SIDE, aliases=("db",)),
    )
    assert Unchanged(key, world.view.version(key)) in commit.compares
    assert "names/network/side" in {each.key for each in commit.operations}


def test_the_leader_gives_a_connected_task_its_address_and_leaves_the_rest_alone() -> None:
    world = make_world()
    world.task(task_in(connect(world.view, SIDE, T1, ("db",), now=5.0)))

    for slots in (None, {1}):
        plan = plan_service(
            world.view,
            world.view.tasks[T1].service_id,
            fleet=Fleet.of(world.view),
            now=world.now,
            slots=slots,
            addresses=Addresses.of(world.view),
        )

        [decision] = [each for each in plan.decisions if isinstance(each, AttachTask)]
        assert decision.attachments[0].addresses == ("10.0.0.2",)
        assert decision.attachments[1].aliases == ("db",)
        assert decision.attachments[1].addresses[0].startswith("10.0.1.")
        assert task_in(commit_for(world.view, plan, now=6.0)).attachments == decision.attachments


def test_a_task_that_finds_no_address_is_looked_at_again() -> None:
    world = make_world()
    world.task(task_in(connect(world.view, SIDE, T1, (), now=5.0)))
    full = Addresses.of(world.view)
    while full.shortage((SIDE,)) is None:
        held = full.attach({SIDE: ()}, "others")
        assert isinstance(held, tuple)
        number = len(world.view.tasks)
        task = Task(
            id=TaskId(f"o{number}"), service_id=world.view.tasks[T1].service_id,
            service_name="others", node_id=world.view.tasks[T1].node_id, attachments=held,
        )  # fmt: skip
        world.task(structs.replace(task, desired=TaskState.SHUTDOWN))
        full = Addresses.of(world.view)

    plan = plan_service(
        world.view,
        world.view.tasks[T1].service_id,
        fleet=Fleet.of(world.view),
        now=world.now,
        addresses=full,
    )

    assert not [each for each in plan.decisions if isinstance(each, AttachTask)]
    assert plan.wake_at is not None


@pytest.mark.parametrize("target", ["host", "none"])
def test_a_task_without_interfaces_is_not_connected(target: str) -> None:
    world = make_world(target)

    with pytest.raises(Refused, match=f"has network {target} and no interfaces"):
        connect(world.view, SIDE, T1, (), now=5.0)


def test_what_cannot_be_connected_is_refused_with_the_reason() -> None:
    world = make_world()

    _attachable(world, OWN)
    with pytest.raises(Refused, match=r"task web\.1\.t1 is in network own already"):
        connect(world.view, OWN, T1, (), now=5.0)
    with pytest.raises(Invalid, match=r"aliases\[0\]: 'a b' is not a name for DNS"):
        connect(world.view, SIDE, T1, ("a b",), now=5.0)
    _attachable(world, SIDE, truth=False)
    with pytest.raises(Refused, match="network side is not attachable"):
        connect(world.view, SIDE, T1, (), now=5.0)
    _attachable(world, SIDE)
    world.report(T1, TaskState.FAILED)
    with pytest.raises(Refused, match="is not running: it is failed"):
        connect(world.view, SIDE, T1, (), now=5.0)


def test_only_what_was_connected_is_disconnected() -> None:
    world = make_world()

    with pytest.raises(Refused, match="is not in network side"):
        disconnect(world.view, SIDE, T1, force=False, now=5.0)
    with pytest.raises(Refused, match="is in network own because its service is"):
        disconnect(world.view, OWN, T1, force=True, now=5.0)
    assert disconnect(world.view, SIDE, T1, force=True, now=5.0) == Commit()
    world.task(task_in(connect(world.view, SIDE, T1, (), now=5.0)))
    commit = disconnect(world.view, SIDE, T1, force=False, now=6.0)
    assert [each.network_id for each in task_in(commit).attachments] == [OWN]


def test_an_event_tells_whom_it_is_about() -> None:
    world = make_world()

    event = connection_event(world.view.networks[SIDE], world.view.tasks[T1], "connect", now=5.0)

    assert (event.kind, event.action, event.name) == ("network", "connect", "side")
    assert event.attributes["container"] == T1
    assert event.attributes["task"] == "web.1.t1"
