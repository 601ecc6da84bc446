from msgspec import structs

from manager import layout
from manager.explaining import NO_LIMIT, Explanation, explain
from manager.finding import find_task
from swarm.ids import NodeId
from swarm.objects import Ledger, Rollout
from swarm.specs import (
    Autoscale,
    Availability,
    Dependency,
    Mount,
    Placement,
    ReplicatedJob,
    Resources,
    RestartCondition,
    RestartPolicy,
    Taint,
    TaskSpec,
)
from swarm.states import RolloutState, TaskState
from tests.manager.orchestrator.driving import WEB, Driven
from tests.manager.world import MEBI
from tests.networks import attached


def driven(*nodes: str, **fields: object) -> Driven:
    world = Driven()
    for node in nodes:
        world.node(node, **fields)
    return world


def why(world: Driven, task: str = "", node: str | None = None) -> Explanation:
    return explain(
        world.view,
        world.fleet,
        WEB,
        task_id=find_task(world.view, task) if task else None,
        node_id=NodeId(node) if node is not None else None,
    )


def told(found: Explanation) -> dict[str, tuple[bool, str, str]]:
    return {each.hostname: (each.admits, each.filter, each.detail) for each in found.verdicts}


def test_each_node_tells_the_first_filter_that_refuses_it_and_by_how_much() -> None:
    world = Driven()
    world.node("a", cpu_millis=500, labels={"zone": "east"})
    world.node("b", labels={"zone": "west"})
    world.node("c", labels={"zone": "east"}, memory_bytes=10 * MEBI)
    world.node("d", labels={"zone": "east"}, availability=Availability.DRAIN)
    world.node("e", labels={"zone": "east"}, ready=False)
    world.node("f", labels={"zone": "east"})
    world.set_node(NodeId("f"), taints=(Taint(key="gpu"),))
    world.node("g", labels={"zone": "east"})
    task = TaskSpec(
        reservations=Resources(cpu_millis=1000, memory_bytes=100 * MEBI),
        placement=Placement(constraints=("node.labels.zone==east",)),
    )
    world.service(replicas=2, task=task)

    said = told(why(world))

    assert {host: (admits, name) for host, (admits, name, _) in said.items()} == {
        "host-a": (False, "cpu"),
        "host-b": (False, "constraint"),
        "host-c": (False, "memory"),
        "host-d": (False, "active"),
        "host-e": (False, "ready"),
        "host-f": (False, "taint"),
        "host-g": (True, ""),
    }
    assert "1" in said["host-a"][2]
    assert "0.5" in said["host-a"][2]
    assert "zone" in said["host-b"][2]


def test_where_it_fits_the_room_is_told() -> None:
    world = driven("a", "b", cpu_millis=4000)
    world.service(replicas=3, task=TaskSpec(reservations=Resources(cpu_millis=1000)))
    world.converge()

    rooms = {each.hostname: (each.tasks, each.room) for each in why(world).verdicts}

    assert rooms == {"host-a": (2, 2), "host-b": (1, 3)}


def test_without_reservations_there_is_room_for_any_number() -> None:
    world = driven("a")
    world.service()

    (only,) = why(world).verdicts

    assert only.room == NO_LIMIT


def test_one_node_may_be_asked_about() -> None:
    world = driven("a", "b")
    world.service()

    assert [each.hostname for each in why(world, node="b").verdicts] == ["host-b"]


def test_a_pending_task_says_what_it_says_in_a_listing() -> None:
    world = driven("a", cpu_millis=500)
    world.service(task=TaskSpec(reservations=Resources(cpu_millis=1000)))
    world.converge()
    (task,) = world.wanted()

    found = why(world, "web.1")

    assert found.service_name == "web"
    assert found.summary == f"web.1 is pending: {task.message}"


def test_a_task_that_runs_is_told_why_it_is_there() -> None:
    world = driven("a", "b")
    world.service(replicas=2)
    world.converge()

    found = why(world, "web.1")

    assert found.summary == "web.1 runs on host-a: no node that admits it runs fewer tasks of web"
    assert told(found)["host-a"] == (True, "", "has the task")


def test_a_task_that_would_be_elsewhere_today_says_so() -> None:
    world = driven("a")
    world.service(replicas=3)
    world.converge()
    world.node("b")
    world.converge()

    assert "host-b runs 0" in why(world, "web.1").summary


def test_a_task_that_ended_says_how() -> None:
    world = driven("a")
    world.service()
    world.converge()
    (task,) = world.live()
    world.report(task, TaskState.FAILED, error="exit code 3")

    summary = why(world, f"web.1.{task.id}").summary

    assert summary == "web.1 was on host-a and ended failed: exit code 3"


def test_a_task_that_had_to_go_says_for_whom() -> None:
    world = driven("a")
    world.service()
    world.converge()
    (task,) = world.live()
    world.write(
        (
            layout.task_key(WEB, task.id),
            structs.replace(task, desired=TaskState.SHUTDOWN, eviction="preempted by db"),
        )
    )
    world.report(task, TaskState.SHUTDOWN, message="shutdown")

    summary = why(world, f"web.1.{task.id}").summary

    assert summary == "web.1 was on host-a and ended shutdown: preempted by db"


def test_a_task_that_is_tried_no_more_says_so_and_so_does_its_service() -> None:
    """Every node would take it, and yet it does not run: only the restart policy says why."""
    world = driven("a")
    never = RestartPolicy(condition=RestartCondition.NONE)
    world.service(task=TaskSpec(restart=never))
    world.converge()
    (task,) = world.live()
    world.report(task, TaskState.FAILED, error="exit code 3")
    world.plan()

    assert why(world, "web.1").summary == (
        "web.1 was on host-a and ended failed: exit code 3; its restart policy allows no other"
        " attempt"
    )
    assert why(world).summary == (
        "web runs 0 tasks of 1; its task was tried as often as the restart policy allows"
        " (exit code 3)"
    )


def test_a_service_in_a_crash_loop_says_what_its_tasks_fail_of() -> None:
    world = driven("a")
    world.service(task=TaskSpec(restart=RestartPolicy(delay_s=60.0)))
    world.converge()
    (task,) = world.live()
    world.report(task, TaskState.FAILED, error="exit code 3")
    world.plan()

    assert why(world).summary == "web runs 0 tasks of 1; its tasks fail: exit code 3"


def test_a_job_says_how_much_of_it_is_done() -> None:
    world = driven("a")
    world.service(mode=ReplicatedJob(max_concurrent=1, total=2))
    world.plan()
    world.obey()
    (task,) = world.live()
    assert why(world).summary == "web completed 0 of 2 tasks, and runs 1"
    world.report(task, TaskState.COMPLETE)
    world.plan()

    assert why(world).summary == "web completed 1 of 2 tasks, and runs 0"


def test_a_task_whose_node_is_silent_is_not_vouched_for() -> None:
    world = driven("a")
    world.service()
    world.converge()
    (task,) = world.live()
    world.disconnect(NodeId("a"))

    assert "nobody knows" in why(world, f"web.1.{task.id}").summary


def test_a_task_that_is_to_leave_says_why() -> None:
    world = driven("a")
    world.service()
    world.converge()
    (task,) = world.live()
    world.task(structs.replace(task, eviction="node a is drained"))

    assert why(world, "web.1").summary.endswith("until its replacement is up: node a is drained")


def test_a_slot_whose_data_is_elsewhere_is_refused_by_that() -> None:
    world = driven("a", "b")
    container = structs.replace(
        TaskSpec().container, mounts=(Mount(source="data", target="/data"),)
    )
    world.service(task=TaskSpec(container=container))
    world.converge()

    said = told(why(world, "web.1"))

    assert said["host-b"][:2] == (False, "volume")
    assert "host-a" in said["host-b"][2]


def test_a_service_sums_up_what_holds_it_up() -> None:
    world = driven("a", cpu_millis=1000)
    world.service(replicas=2, task=TaskSpec(reservations=Resources(cpu_millis=600)))
    world.converge()
    world.set_service(WEB, autoscale=Autoscale(least=2, most=4, cpu_percent=50))
    world.write(
        (
            f"ledgers/{WEB}",
            Ledger(
                service_id=WEB,
                rollout=Rollout(state=RolloutState.PAUSED, message="web.1 failed"),
                scale_message="cannot scale: no route",
            ),
        )
    )

    summary = why(world).summary

    assert summary.startswith("web runs 1 task of 2; 1 task pending: no suitable node")
    assert "its rollout is paused: web.1 failed" in summary
    assert summary.endswith("autoscaling: cannot scale: no route")


def test_a_dependency_is_what_a_task_waits_for() -> None:
    world = driven("a")
    world.service(task=TaskSpec(depends_on=(Dependency(service="db"),)))
    world.converge()

    assert "db" in why(world, "web.1").summary


def test_a_rollout_that_waits_for_another_service_says_so_and_nothing_of_failures() -> None:
    world = driven("a")
    world.service()
    world.converge()
    world.new_version(WEB, depends_on=(Dependency(service="db"),))
    world.plan()

    assert why(world).summary == (
        "web runs 1 task of 1; it waits for db to run: there is no such service;"
        " its rollout is updating"
    )


def test_a_task_of_a_service_that_is_gone_can_be_asked_about() -> None:
    world = driven("a")
    world.service()
    world.converge()
    (task,) = world.live()
    world.remove_service(WEB)

    found = explain(world.view, world.fleet, WEB, task_id=task.id)

    assert found.service_name == "web"


def test_a_task_and_its_service_say_which_network_is_full_and_by_whom() -> None:
    world = driven("a")
    world.network("back", subnet="10.9.0.0/29")
    world.service(replicas=5, task=TaskSpec(networks=attached("n-back")))
    world.converge()
    (waiting,) = (task for task in world.live() if not task.node_id)

    full = "network back (10.9.0.0/29) has no free address: 5 in use, 5 by service web"
    assert why(world, f"web.{waiting.slot}").summary == f"web.{waiting.slot} is pending: {full}"
    assert why(world).summary == f"web runs 4 tasks of 5; 1 task pending: {full}"
    assert [each.admits for each in why(world, f"web.{waiting.slot}").verdicts] == [True]


def test_a_task_whose_node_left_does_not_run_while_its_successor_waits() -> None:
    world = driven("a", "b")
    world.service(replicas=2, task=TaskSpec(reservations=Resources(cpu_millis=3000)))
    world.converge()

    world.write((layout.session_key(NodeId("a")), None), (layout.node_key(NodeId("a")), None))
    world.plan()

    assert why(world).summary.startswith("web runs 1 task of 2; 1 task pending: no suitable node")
