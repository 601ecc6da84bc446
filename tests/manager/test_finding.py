import pytest

from manager.finding import find_node, find_service, find_task
from swarm.errors import Invalid, Missing
from swarm.ids import NodeId, ServiceId, TaskId
from swarm.objects import Task
from tests.manager.world import World


def test_a_service_is_found_by_id_name_and_prefix() -> None:
    world = World()
    service = world.service("web")
    world.service("api")

    assert find_service(world.view, "s-web") == service
    assert find_service(world.view, "web") == service
    assert find_service(world.view, "s-w") == service


def test_a_name_wins_over_the_beginning_of_an_id() -> None:
    world = World()
    world.service("x")
    named = world.service("s-")

    assert find_service(world.view, "s-") == named


def test_nodes_that_share_a_hostname_have_to_be_told_apart() -> None:
    world = World()
    first = world.node("a1")
    world.node("a2")

    assert find_node(world.view, "host-a1") == first
    with pytest.raises(Invalid, match=r"node 'a' is ambiguous: 2 match \(a1, a2\)"):
        find_node(world.view, "a")


def test_what_does_not_exist_is_missing_with_a_hint() -> None:
    world = World()

    for text in ("web", ""):
        with pytest.raises(Missing, match="not found") as caught:
            find_service(world.view, text)
        assert "swarmctl service ls" in caught.value.hint


def test_a_task_is_found_by_the_beginning_of_its_id() -> None:
    world = World()
    world.task(Task(id=TaskId("abc"), service_id=ServiceId("s"), node_id=NodeId("n")))

    assert find_task(world.view, "ab") == "abc"
