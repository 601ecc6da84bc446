"""Rows tell of nodes, services, tasks and images what their tables need."""

import pytest

from swarm.api.v1 import control_pb2, objects_pb2, specs_pb2
from swarmctl.rows import (
    Detail,
    host_ports,
    image_rows,
    manager_status,
    node_row,
    printed_ports,
    service_row,
    task_error,
    task_state,
)
from swarmctl.task_rows import listing, task_rows
from tests.swarmctl.answers import DIGEST, NOW, image, node, task

MANAGER = specs_pb2.ROLE_MANAGER
DOWN = objects_pb2.NODE_STATE_DOWN


def test_a_node_marks_this_host() -> None:
    row = node_row(node("n1", availability=specs_pb2.AVAILABILITY_DRAIN), self_id="n1")

    assert row == {
        "ID": "n1",
        "Mark": "n1 *",
        "Self": True,
        "Hostname": "alpha",
        "Status": "Ready",
        "Availability": "Drain",
        "ManagerStatus": "",
        "EngineVersion": "0.1.0",
        "Address": "10.0.0.1",
        "Taints": "",
    }


@pytest.mark.parametrize(
    ("view", "text"),
    [
        (node(role=MANAGER, is_leader=True), "Leader"),
        (node(role=MANAGER), "Reachable"),
        (node(role=MANAGER, state=DOWN), "Unreachable"),
        (node(), ""),
    ],
)
def test_a_manager_says_how_it_is(view: control_pb2.NodeView, text: str) -> None:
    assert manager_status(view) == text


def test_a_service_counts_its_replicas() -> None:
    spec = specs_pb2.ServiceSpec(name="web")
    spec.task.container.image = f"docker.io/library/nginx:1@{DIGEST}"
    spec.task.placement.max_replicas_per_node = 2
    getattr(spec, "global").SetInParent()
    view = control_pb2.ServiceView(
        service=objects_pb2.Service(id="s" * 25, spec=spec), running=2, wanted=3
    )

    assert service_row(view, Detail()) == {
        "ID": "s" * 12,
        "Name": "web",
        "Mode": "global",
        "Replicas": "2/3 (max 2 per node)",
        "Image": "nginx:1",
        "Ports": "",
    }
    full = service_row(view, Detail(full=True))
    assert (full["ID"], full["Image"]) == ("s" * 25, f"nginx:1@{DIGEST}")


def test_a_job_counts_what_runs_at_a_time_and_what_completed() -> None:
    def replicas(**fields: object) -> str:
        spec = specs_pb2.ServiceSpec(name="job", **fields)
        service = objects_pb2.Service(id="s", spec=spec)
        return service_row(
            control_pb2.ServiceView(service=service, running=6, wanted=10, completed=5), Detail()
        )["Replicas"]

    job = specs_pb2.ReplicatedJob(total=10, max_concurrent=3)
    assert replicas(replicatedjob=job) == "1/3 (5/10 completed)"
    assert replicas(replicatedjob=specs_pb2.ReplicatedJob(total=10)) == "1/10 (5/10 completed)"
    assert replicas(globaljob=specs_pb2.GlobalJob()) == "1/10 (5/10 completed)"


def test_published_ports_are_listed() -> None:
    port = specs_pb2.Port(target=80, published=8080, protocol=specs_pb2.PROTOCOL_UDP)
    spec = specs_pb2.ServiceSpec(
        name="web",
        endpoint=specs_pb2.EndpointSpec(ports=[port, specs_pb2.Port(target=81)]),
    )
    view = control_pb2.ServiceView(service=objects_pb2.Service(id="s", spec=spec))

    assert service_row(view, Detail())["Ports"] == "*:8080->80/udp"
    [row] = task_rows([task("t")], Detail(), now=NOW, ports={"id-of-web": "*:1->1/tcp"})
    assert row["Ports"] == "*:1->1/tcp"


def test_a_crash_loop_says_how_often_and_when_next() -> None:
    view = task("t", state=objects_pb2.TASK_STATE_FAILED, age=2, exit_code=1)
    view.task.attempt = 4
    view.task.restarts.extend([NOW - 30, NOW - 20, NOW - 10])
    view.spec.restart.delay_s = 5.0

    [row] = task_rows([view], Detail(), now=NOW)
    assert row["CurrentState"] == "Failed 2 seconds ago (attempt 4, next in 3 seconds)"

    view.spec.restart.max_attempts = 3
    [row] = task_rows([view], Detail(), now=NOW)
    assert row["CurrentState"] == "Failed 2 seconds ago (attempt 4, the last)"


def test_a_task_that_came_to_its_good_end_is_not_to_run() -> None:
    """Who counts the tasks with `--filter desired-state=running` does not mean those."""
    complete = task("t", state=objects_pb2.TASK_STATE_COMPLETE)
    stopped = task(
        "u", state=objects_pb2.TASK_STATE_COMPLETE, desired=objects_pb2.TASK_STATE_SHUTDOWN
    )

    assert [row["DesiredState"] for row in task_rows([complete, stopped], Detail(), now=NOW)] == [
        "Complete",
        "Shutdown",
    ]


def test_a_task_that_had_to_go_says_why() -> None:
    """Nothing failed, and yet somebody will ask where the replica went."""
    view = task("t", state=objects_pb2.TASK_STATE_SHUTDOWN, desired=objects_pb2.TASK_STATE_SHUTDOWN)
    view.task.eviction = "preempted by db"

    [row] = task_rows([view], Detail(), now=NOW)

    assert row["Error"] == '"preempted by db"'


def test_a_task_that_has_settled_does_not_speak_of_its_past() -> None:
    def state(age: float) -> str:
        view = task("t", age=age)
        view.task.attempt = 4
        view.task.restarts.extend([NOW - 900])
        [row] = task_rows([view], Detail(), now=NOW)
        return row["CurrentState"]

    assert state(3) == "Running 3 seconds ago (attempt 4)"
    assert state(300) == "Running 5 minutes ago"


def test_runs_have_a_column_and_the_newest_comes_first() -> None:
    views = [task("old", slot=1), task("new", slot=1), task("plain", service="api")]
    views[0].task.run, views[1].task.run = 7, 8

    rows = list(task_rows(views[:2], Detail(), now=NOW))

    assert [(row["ID"], row["Name"], row["Run"]) for row in rows] == [
        ("new", "web.1", "8"),
        ("old", "web.1", "7"),
    ]
    assert "Run" in listing(views).columns
    assert "Run" not in listing(views[2:]).columns


def test_older_attempts_hang_below_the_newest_of_their_slot() -> None:
    shutdown = objects_pb2.TASK_STATE_SHUTDOWN
    failed = objects_pb2.TASK_STATE_FAILED
    views = [
        task("t-old", slot=1, age=500, state=failed, desired=shutdown, exit_code=3),
        task("t-two", slot=2, age=90),
        task("t-new", slot=1, age=3),
        task("t-mid", slot=1, age=200, state=failed, desired=shutdown, error="x" * 40),
    ]

    rows = list(task_rows(views, Detail(), now=NOW))

    assert [(row["ID"], row["Name"]) for row in rows] == [
        ("t-new", "web.1"),
        ("t-mid", r" \_ web.1"),
        ("t-old", r" \_ web.1"),
        ("t-two", "web.2"),
    ]
    assert [row["CurrentState"] for row in rows] == [
        "Running 3 seconds ago",
        "Failed 3 minutes ago",
        "Failed 8 minutes ago",
        "Running about a minute ago",
    ]
    assert [row["DesiredState"] for row in rows] == ["Running", "Shutdown", "Shutdown", "Running"]
    assert [row["Error"] for row in rows] == [
        "",
        f'"{"x" * 29}…"',
        '"task: non-zero exit (3)"',
        "",
    ]


@pytest.mark.parametrize(
    ("state", "health", "text"),
    [
        (objects_pb2.TASK_STATE_RUNNING, 0, "Running 10 seconds ago"),
        (objects_pb2.TASK_STATE_STARTING, 1, "Starting 10 seconds ago (health: starting)"),
        (objects_pb2.TASK_STATE_RUNNING, 2, "Running 10 seconds ago (healthy)"),
        (objects_pb2.TASK_STATE_RUNNING, 3, "Running 10 seconds ago (unhealthy)"),
        (objects_pb2.TASK_STATE_FAILED, 3, "Failed 10 seconds ago"),
    ],
)
def test_a_task_with_a_check_says_how_well_it_is(state: int, health: int, text: str) -> None:
    view = task("t1", state=state)
    view.observation.health = objects_pb2.HealthState.ValueType(health)

    [row] = task_rows([view], Detail(), now=NOW)

    assert row["CurrentState"] == text


def test_tasks_of_a_global_service_are_told_apart_by_node() -> None:
    views = [task("b", slot=0, node_id="n2"), task("a", slot=0, node_id="n1")]

    rows = list(task_rows(views, Detail(), now=NOW))

    assert [row["Name"] for row in rows] == ["web.n1", "web.n2"]


def test_tasks_of_a_global_service_that_wait_are_no_attempts_at_the_same() -> None:
    views = [task("b", slot=0, node_id=""), task("a", slot=0, node_id="")]

    rows = list(task_rows(views, Detail(), now=NOW))

    assert [row["Name"] for row in rows] == ["web.a", "web.b"]


def test_ids_are_shown_where_names_are_not_wanted() -> None:
    [row] = task_rows([task("t" * 25)], Detail(named=False, full=True), now=NOW)

    assert (row["ID"], row["Name"], row["Node"]) == ("t" * 25, "id-of-web.1", "n1")


@pytest.mark.parametrize(
    ("view", "state", "error"),
    [
        (task("t", state=None), "assigned", ""),
        (
            task("t", state=None, node_id="", message="no suitable node"),
            "pending",
            "no suitable node",
        ),
        (
            task("t", state=objects_pb2.TASK_STATE_FAILED, exit_code=137, oom_killed=True),
            "failed",
            "out of memory",
        ),
        (
            task("t", state=objects_pb2.TASK_STATE_REJECTED, error="no such image"),
            "rejected",
            "no such image",
        ),
        (task("t", state=objects_pb2.TASK_STATE_COMPLETE), "complete", ""),
        (task("t", message="ignored once placed"), "running", ""),
    ],
)
def test_a_task_says_what_it_does_and_why_not(
    view: control_pb2.TaskView, state: str, error: str
) -> None:
    assert (task_state(view), task_error(view)) == (state, error)


def test_a_task_that_waits_for_a_secret_says_so() -> None:
    view = task("t", state=objects_pb2.TASK_STATE_PREPARING)
    before = task_error(view)
    view.observation.message = "waiting for secret db"

    assert (before, task_error(view)) == ("", "waiting for secret db")


def test_an_image_has_a_row_per_name_and_one_without_names() -> None:
    images = [
        image("bbb", age=1000),
        image("aaa", "docker.io/library/busybox:1", "localhost:5000/x/y:2", age=90),
    ]

    rows = list(image_rows(images, Detail(), now=NOW))

    assert [(r["Repository"], r["Tag"], r["ID"]) for r in rows] == [
        ("busybox", "1", "aaa"),
        ("localhost:5000/x/y", "2", "aaa"),
        ("<none>", "<none>", "bbb"),
    ]
    assert rows[0]["CreatedSince"] == "about a minute ago"
    assert rows[0]["Size"] == "4.26MB"


def test_ports_that_follow_each_other_are_one_range() -> None:
    port = specs_pb2.Port
    found = [port(target=80 + n, published=8000 + n) for n in (2, 0, 1)]
    found += [port(target=80, published=9000), port(target=90, published=9001)]
    found += [
        port(target=53, published=53, ip="10.1.2.3"),
        port(target=53, published=53, ip="fd00::1"),
    ]
    found += [port(target=80, published=8000, protocol=specs_pb2.PROTOCOL_SCTP), port(target=5)]

    assert printed_ports(found).split(", ") == [
        "*:8000-8002->80-82/tcp",
        "*:9000->80/tcp",
        "*:9001->90/tcp",
        "*:8000->80/sctp",
        "10.1.2.3:53->53/tcp",
        "[fd00::1]:53->53/tcp",
    ]


def test_a_service_lists_what_every_node_has_and_its_tasks_what_theirs_have() -> None:
    on_node = specs_pb2.Port(target=90, published=90, mode=specs_pb2.PUBLISH_MODE_HOST)
    open_port = specs_pb2.Port(target=80)
    spec = specs_pb2.ServiceSpec(
        name="web", endpoint=specs_pb2.EndpointSpec(ports=[open_port, on_node])
    )
    decided = objects_pb2.ServiceEndpoint(ports=[specs_pb2.Port(target=80, published=30001)])
    view = control_pb2.ServiceView(service=objects_pb2.Service(spec=spec), endpoint=decided)
    running = task("t")
    running.observation.ports.add(target=90, published=32801, mode=specs_pb2.PUBLISH_MODE_HOST)

    assert service_row(view, Detail())["Ports"] == "*:30001->80/tcp"
    assert host_ports(view) == "*:90->90/tcp"
    [row] = task_rows([running], Detail(), now=NOW, ports={"id-of-web": host_ports(view)})
    assert row["Ports"] == "*:32801->90/tcp"
