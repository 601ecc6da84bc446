from manager.progress import measure
from swarm.ids import NodeId, ServiceId, TaskId
from swarm.objects import Task
from swarm.specs import (
    Availability,
    Dependency,
    Global,
    Placement,
    Platform,
    RestartCondition,
    RestartPolicy,
    Taint,
    TaintEffect,
    TaskSpec,
    Toleration,
)
from swarm.states import TaskState
from tests.manager.world import World


def make_task(slot: int, *, node: str = "a", **more: object) -> Task:
    version = more.get("spec_version", 1)
    return Task(
        id=TaskId(f"t{slot}v{version}a{more.get('attempt', 1)}"),
        service_id=ServiceId("s-web"),
        slot=slot,
        node_id=NodeId(node),
        **more,
    )


def world_with(replicas: int, task: TaskSpec | None = None) -> World:
    world = World()
    world.node("a")
    world.service(replicas=replicas, task=task)
    return world


def test_tasks_count_once_they_are_observed_running() -> None:
    world = world_with(3)
    tasks = [make_task(slot) for slot in (1, 2, 3)]
    for task in tasks:
        world.task(task)
    world.report(tasks[0], TaskState.RUNNING)
    world.report(tasks[1], TaskState.PREPARING)

    found = measure(world.view, ServiceId("s-web"))

    assert (found.wanted, found.running, found.old) == (3, 1, 0)
    assert found.states == {"running": 1, "preparing": 1, "assigned": 1}
    assert found.problems == ()
    assert not found.is_converged


def test_the_commonest_reason_comes_first() -> None:
    world = world_with(4)
    for slot in (1, 2):
        world.task(make_task(slot, node="", message="no suitable node"))
    world.task(make_task(3))
    world.report(TaskId("t3v1a1"), TaskState.REJECTED, error="image not found: x")
    world.task(make_task(4))
    world.report(TaskId("t4v1a1"), TaskState.RUNNING)

    found = measure(world.view, ServiceId("s-web"))

    assert found.problems == ("no suitable node", "image not found: x")
    assert found.running == 1


def test_a_failure_speaks_for_its_replica_until_the_next_attempt_is_up() -> None:
    world = world_with(1)
    world.task(make_task(1, attempt=1, desired=TaskState.SHUTDOWN))
    world.report(TaskId("t1v1a1"), TaskState.FAILED, exit_code=7)
    world.task(make_task(1, attempt=2))

    starting = measure(world.view, ServiceId("s-web"))
    world.report(TaskId("t1v1a2"), TaskState.RUNNING)
    up = measure(world.view, ServiceId("s-web"))

    assert starting.problems == ("the task's process ended with exit code 7",)
    assert up.problems == ()
    assert up.is_converged


def test_tasks_of_an_earlier_version_or_on_their_way_out_are_old() -> None:
    world = world_with(2)
    world.task(make_task(1))
    world.task(make_task(2, desired=TaskState.SHUTDOWN))
    for name in ("t1v1a1", "t2v1a1"):
        world.report(TaskId(name), TaskState.RUNNING)
    world.new_version(ServiceId("s-web"))
    world.task(make_task(2, spec_version=2))
    world.report(TaskId("t2v2a1"), TaskState.RUNNING)

    found = measure(world.view, ServiceId("s-web"))

    assert (found.running, found.old) == (1, 2)


def test_a_task_that_ended_well_for_good_counts_as_running() -> None:
    once = TaskSpec(restart=RestartPolicy(condition=RestartCondition.ON_FAILURE))
    world = world_with(1, once)
    world.task(make_task(1))
    world.report(TaskId("t1v1a1"), TaskState.COMPLETE)

    found = measure(world.view, ServiceId("s-web"))

    assert (found.running, found.done) == (1, 1)
    assert found.is_converged
    assert found.serving == 0  # service ls says 0/1, as Docker's does


def test_a_task_that_will_be_started_again_is_not_done() -> None:
    world = world_with(1)
    world.task(make_task(1))
    world.report(TaskId("t1v1a1"), TaskState.COMPLETE)

    assert measure(world.view, ServiceId("s-web")).running == 0


def test_a_task_on_a_node_that_is_down_does_not_count() -> None:
    world = world_with(1)
    world.task(make_task(1))
    world.report(TaskId("t1v1a1"), TaskState.RUNNING)
    world.disconnect(NodeId("a"))

    found = measure(world.view, ServiceId("s-web"))

    assert found.running == 0
    assert found.problems == ("node host-a is down",)


def test_a_removed_service_has_its_last_tasks_still_to_stop() -> None:
    world = world_with(1)
    world.task(make_task(1, desired=TaskState.REMOVE))
    world.report(TaskId("t1v1a1"), TaskState.RUNNING)
    world.remove_service(ServiceId("s-web"))

    found = measure(world.view, ServiceId("s-web"))

    assert found.removed
    assert (found.wanted, found.old) == (0, 1)


def test_a_global_service_wants_one_on_every_node_that_admits_it() -> None:
    world = World()
    for name in ("a", "b", "c"):
        world.node(name, labels={"zone": "east"})
    world.node("west", labels={"zone": "west"})
    world.node("drained", labels={"zone": "east"}, availability=Availability.DRAIN)
    world.node("paused", labels={"zone": "east"}, availability=Availability.PAUSE)
    world.node("silent", labels={"zone": "east"}, ready=False)
    east = TaskSpec(placement=Placement(constraints=("node.labels.zone==east",)))
    service = world.service(mode=Global(), task=east)

    assert measure(world.view, service).wanted == 3

    world.task(make_task(0, node="paused"))
    assert measure(world.view, service).wanted == 4


def test_a_global_service_does_not_wait_for_nodes_that_keep_it_away() -> None:
    """Nobody would ever run there, and whoever waits for the service would wait for ever."""
    world = World()
    for name in ("plain", "tainted", "borne", "kept"):
        world.node(name)
    keep_away = (Taint(key="gpu"),)
    world.set_node(NodeId("tainted"), taints=keep_away)
    world.set_node(NodeId("borne"), taints=(Taint(key="ssd", effect=TaintEffect.NO_EXECUTE),))
    world.set_node(NodeId("kept"), taints=keep_away)
    task = TaskSpec(placement=Placement(tolerations=(Toleration(key="ssd", any_value=True),)))
    service = world.service(mode=Global(), task=task)
    world.task(make_task(0, node="kept"))

    assert measure(world.view, service).wanted == 3

    elsewhere = Placement(platforms=(Platform(os="linux", arch="arm64"),))
    world.new_version(service, placement=elsewhere)
    assert measure(world.view, service).wanted == 0


def test_a_service_whose_missing_tasks_are_never_tried_again_is_said_to_have_failed() -> None:
    once = TaskSpec(restart=RestartPolicy(condition=RestartCondition.NONE))
    world = world_with(2, once)
    for slot in (1, 2):
        world.task(make_task(slot))
    world.report(TaskId("t1v1a1"), TaskState.FAILED, error="task: non-zero exit (3)")

    first = measure(world.view, ServiceId("s-web"))
    world.report(TaskId("t2v1a1"), TaskState.RUNNING)
    second = measure(world.view, ServiceId("s-web"))
    world.new_version(ServiceId("s-web"))
    updated = measure(world.view, ServiceId("s-web"))

    assert first.failure == ""
    assert second.failure == (
        "its task was tried as often as the restart policy allows (task: non-zero exit (3))"
    )
    assert updated.failure == ""


def test_problems_are_found_among_many_tasks_that_have_none() -> None:
    """One of three replicas failed, and what follows it is on its way."""
    world = world_with(3)
    for slot in (1, 2, 3):
        world.task(make_task(slot))
        world.report(TaskId(f"t{slot}v1a1"), TaskState.RUNNING)
    world.report(TaskId("t2v1a1"), TaskState.FAILED, error="it burns")
    world.task(make_task(2, attempt=2))

    assert measure(world.view, ServiceId("s-web")).problems == ("it burns",)


def test_an_update_that_waits_for_a_dependency_says_what_for() -> None:
    world = world_with(1, TaskSpec(depends_on=(Dependency(service="db"),)))
    world.task(make_task(1))
    world.report(TaskId("t1v1a1"), TaskState.RUNNING)
    settled = measure(world.view, ServiceId("s-web"))
    world.new_version(ServiceId("s-web"))

    found = measure(world.view, ServiceId("s-web"))

    assert settled.problems == ()
    assert found.problems == ("waits for db to run: there is no such service",)


def test_failures_of_a_version_that_is_being_replaced_are_no_news() -> None:
    world = world_with(2)
    world.task(make_task(1))
    world.report(TaskId("t1v1a1"), TaskState.FAILED, error="task: non-zero exit (3)")
    world.task(make_task(2, node="", message="no suitable node"))
    world.new_version(ServiceId("s-web"))
    updated = measure(world.view, ServiceId("s-web"))
    world.task(make_task(1, attempt=2, spec_version=2))

    begun = measure(world.view, ServiceId("s-web"))

    assert updated.problems == begun.problems == ()
