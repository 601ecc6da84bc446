from prometheus_client import generate_latest

from manager.metrics import TABLE, Metrics
from swarm.ids import NodeId, TaskId
from swarm.objects import Task
from swarm.states import TaskState
from tests.manager.world import World


def scrape(world: World) -> str:
    metrics = Metrics()
    metrics.follow(lambda: world.view)
    return generate_latest(metrics.registry).decode()


def test_every_row_of_the_table_is_served() -> None:
    metrics = Metrics()
    metrics.follow(lambda: World().view)

    served = {family.name.removesuffix("_total") for family in metrics.registry.collect()}

    assert {row.name.removesuffix("_total") for row in TABLE} == served


def test_objects_are_counted_as_the_view_has_them() -> None:
    world = World()
    world.node("n1")
    world.node("n2", ready=False)
    world.service("web")
    for number in range(3):
        world.task(Task(id=TaskId(f"t{number}"), service_id="s-web", node_id=NodeId("n1")))
    world.report(TaskId("t0"), TaskState.RUNNING)

    text = scrape(world)

    assert "swarm_manager_services 1.0" in text
    assert 'swarm_manager_nodes{state="ready"} 1.0' in text
    assert 'swarm_manager_nodes{state="unknown"} 1.0' in text
    assert 'swarm_manager_tasks{state="running"} 1.0' in text
    assert 'swarm_manager_tasks{state="assigned"} 2.0' in text


def test_names_follow_the_house_rules() -> None:
    for row in TABLE:
        assert row.name.startswith("swarm_manager_")
        assert (row.kind == "counter") == row.name.endswith("_total")
        assert row.help.endswith(".")
