import pytest

from manager.finding import find_node, find_service, find_task
from swarm.errors import Invalid, Missing
from swarm.ids import NodeId, ServiceId, TaskId
from swarm.objects import Task
from swarm.states import TaskState
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


def attempts(world: World, *ids: str, slot: int = 1, node: str = "a1") -> None:
    """Tasks of one replica of the service `web`, each newer than the one before."""
    for age, each in enumerate(ids):
        world.task(
            Task(
                id=TaskId(each),
                service_id=ServiceId("s-web"),
                service_name="web",
                slot=slot,
                node_id=NodeId(node),
                created_at=float(age),
            )
        )


def test_a_name_means_the_newest_attempt_at_a_replica() -> None:
    world = World()
    world.service("web")
    attempts(world, "old1", "new1")
    attempts(world, "other", slot=11)

    assert find_task(world.view, "web.1") == "new1"
    assert find_task(world.view, "web.11") == "other"


def test_a_name_with_an_id_means_that_attempt() -> None:
    world = World()
    world.service("web")
    attempts(world, "old1", "new1")

    assert find_task(world.view, "web.1.old1") == "old1"
    assert find_task(world.view, "web.1.ol") == "old1"


def test_a_task_that_should_run_wins_over_a_newer_one_that_should_not() -> None:
    world = World()
    world.service("web")
    attempts(world, "wanted")
    stopped = Task(
        id=TaskId("stopped"), service_id=ServiceId("s-web"), service_name="web", slot=1,
        node_id=NodeId("a1"), desired=TaskState.SHUTDOWN, created_at=9.0,
    )  # fmt: skip
    world.task(stopped)

    assert find_task(world.view, "web.1") == "wanted"


def test_a_task_of_a_global_service_is_named_after_its_node() -> None:
    world = World()
    world.service("my.web")
    world.node("a1")
    world.task(
        Task(
            id=TaskId("t"),
            service_id=ServiceId("s-my.web"),
            service_name="my.web",
            node_id=NodeId("a1"),
        )
    )

    assert find_task(world.view, "my.web.a1") == "t"
    assert find_task(world.view, "my.web.host-a1") == "t"


def test_names_of_nothing_are_missing() -> None:
    world = World()
    world.service("web")
    attempts(world, "abc")

    for text in ("web.2", "web.", "web..abc", "web.1.", "web.1.x", ".1", "we.1"):
        with pytest.raises(Missing):
            find_task(world.view, text)
