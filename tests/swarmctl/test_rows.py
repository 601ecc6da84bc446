"""Rows tell of nodes, services, tasks and images what their tables need."""

import pytest

from swarm.api.v1 import control_pb2, objects_pb2, specs_pb2
from swarmctl.rows import (
    Detail,
    image_rows,
    manager_status,
    node_row,
    service_row,
    task_error,
    task_rows,
    task_state,
)
from tests.swarmctl.answers import DIGEST, NOW, image, node, task

MANAGER = specs_pb2.ROLE_MANAGER
DOWN = objects_pb2.NODE_STATE_DOWN


def test_a_node_marks_this_host() -> None:
    row = node_row(node("n1", availability=specs_pb2.AVAILABILITY_DRAIN), self_id="n1")

    assert row == {
        "ID": "n1",
        "Mark": "n1 *",
        "Self": "true",
        "Hostname": "alpha",
        "Status": "Ready",
        "Availability": "Drain",
        "ManagerStatus": "",
        "EngineVersion": "0.1.0",
        "Address": "10.0.0.1",
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
