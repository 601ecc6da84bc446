import pytest

from manager.control.targets import full_name, nodes_with, running_task, sampled, unreachable
from manager.events import task_name
from manager.finding import find_task
from swarm.errors import Invalid, Missing, Refused
from swarm.ids import NodeId, ServiceId, TaskId
from swarm.objects import Task
from swarm.states import TaskState
from tests.manager.world import World


def task(
    world: World,
    name: str,
    state: TaskState = TaskState.RUNNING,
    *,
    slot: int = 1,
    service: str = "web",
    created_at: float = 0.0,
) -> Task:
    made = Task(
        id=TaskId(name),
        service_id=ServiceId(f"s-{service}"),
        service_name=service,
        slot=slot,
        node_id=NodeId("n1"),
        created_at=created_at,
    )
    world.task(made)
    world.report(made, state)
    return made


def world_of(*services: str) -> World:
    world = World()
    world.node("n1")
    for each in services:
        world.service(each)
    return world


def test_a_task_is_meant_by_its_id_its_beginning_and_its_names() -> None:
    world = world_of("web")
    found = task(world, "abcdef")

    for text in ("abcdef", "abc", "web.1", "web.1.abcdef", "web"):
        assert running_task(world.view, text).id == found.id


def test_a_name_means_the_attempt_that_runs() -> None:
    world = world_of("web")
    task(world, "running", created_at=1.0)
    task(world, "preparing", TaskState.PREPARING, created_at=2.0)

    assert running_task(world.view, "web.1").id == "running"


def test_an_id_means_that_task_even_if_another_attempt_runs() -> None:
    world = world_of("web")
    task(world, "running", created_at=1.0)
    task(world, "failed", TaskState.FAILED)

    with pytest.raises(Refused, match=r"task web\.1\.failed is not running: it is failed"):
        running_task(world.view, "fail")


def test_a_task_that_waits_for_its_first_health_check_can_be_looked_into() -> None:
    world = world_of("web")
    task(world, "t1", TaskState.STARTING)

    assert running_task(world.view, "web.1").id == "t1"


def test_a_service_with_several_tasks_does_not_say_which() -> None:
    world = world_of("web")
    task(world, "t1", slot=1)
    task(world, "t2", slot=2)

    with pytest.raises(Invalid, match=r"service web has 2 running tasks \(web\.1, web\.2\)"):
        running_task(world.view, "web")


def test_a_service_without_a_running_task_is_refused() -> None:
    world = world_of("web")
    task(world, "t1", TaskState.FAILED)

    with pytest.raises(Refused, match="service web has no running task"):
        running_task(world.view, "web")


def test_what_is_neither_task_nor_service_is_missing() -> None:
    with pytest.raises(Missing, match="task 'nothing' not found"):
        running_task(world_of("web").view, "nothing")


def test_two_ids_with_one_beginning_are_ambiguous() -> None:
    world = world_of("web")
    task(world, "abc1", slot=1)
    task(world, "abc2", slot=2)

    with pytest.raises(Invalid, match="ambiguous"):
        running_task(world.view, "abc")


def test_samples_may_be_asked_of_tasks_and_of_whole_services() -> None:
    world = world_of("web", "api")
    task(world, "t1", slot=1)
    task(world, "t2", slot=2)
    task(world, "t3", service="api")

    tasks, services = sampled(world.view, ["web", "api.1"])

    assert (tasks, services) == ({"t3"}, {"s-web"})
    assert nodes_with(world.view, tasks, services) == {"n1"}
    assert nodes_with(world.view, frozenset(), frozenset()) == {"n1"}
    with pytest.raises(Missing):
        sampled(world.view, ["none"])


def test_the_id_of_a_service_means_its_tasks_to_come_as_well() -> None:
    world = world_of("web")
    task(world, "t1")

    assert sampled(world.view, ["web"]) == ({"t1"}, frozenset())
    assert sampled(world.view, ["s-web"]) == (frozenset(), {"s-web"})


def test_a_node_that_is_away_is_told_from_one_that_is_down() -> None:
    world = world_of()

    assert unreachable(world.view, NodeId("n1")) == (
        "node host-n1 cannot be reached: its agent is not connected"
    )
    world.disconnect(NodeId("n1"))
    assert "it is down" in unreachable(world.view, NodeId("n1"))


def test_a_full_name_ends_with_the_id() -> None:
    assert full_name(task(world_of("web"), "abc")) == "web.1.abc"


def test_what_waits_for_room_on_each_node_is_meant_by_the_name_that_is_listed() -> None:
    world = world_of("web")
    waits = Task(id=TaskId("abc"), service_id=ServiceId("s-web"), service_name="web")
    world.task(waits)

    assert find_task(world.view, task_name(waits)) == "abc"
    assert full_name(waits) == "web.abc"
