"""`task inspect` shows what is known of a task, and of its health."""

import json
from pathlib import Path

from swarm.api.v1 import control_pb2, objects_pb2
from swarm.errors import Missing
from tests.swarmctl.answers import NOW, task
from tests.swarmctl.fake_swarm import FakeSwarm
from tests.swarmctl.running import run

CHECK = control_pb2.HealthResult(
    started_at=NOW, finished_at=NOW + 1.5, exit_code=1, output="refused\n"
)


def probed() -> control_pb2.TaskView:
    view = task("t1")
    view.observation.health = objects_pb2.HEALTH_STATE_UNHEALTHY
    view.observation.failing_streak = 3
    return view


def test_the_last_checks_are_shown_in_dockers_words(swarm: FakeSwarm, socket: Path) -> None:
    swarm.tasks, swarm.health = [probed()], [CHECK]

    ran = run(socket, "task", "inspect", "t1")

    assert (ran.status, ran.err) == (0, "")
    [found] = json.loads(ran.out)
    assert found["ID"] == "t1"
    assert found["Status"]["Health"] == {
        "Status": "unhealthy",
        "FailingStreak": 3,
        "Log": [
            {
                "Start": "2023-11-14T22:13:20Z",
                "End": "2023-11-14T22:13:21.5Z",
                "ExitCode": 1,
                "Output": "refused\n",
            }
        ],
    }


def test_a_template_reaches_the_health(swarm: FakeSwarm, socket: Path) -> None:
    swarm.tasks = [probed()]

    ran = run(socket, "task", "inspect", "-f", "{{.Status.Health.FailingStreak}}", "t1")

    assert ran.out == "3\n"


def test_a_node_that_does_not_answer_is_named_and_the_rest_is_shown(
    swarm: FakeSwarm, socket: Path
) -> None:
    swarm.tasks, swarm.unreachable = [probed()], "node alpha cannot be reached: it is down"

    ran = run(socket, "task", "inspect", "t1")

    assert ran.status == 0
    assert "node alpha cannot be reached" in ran.err
    assert json.loads(ran.out)[0]["Status"]["Health"]["Log"] == []


def test_a_task_that_is_not_there_is_an_error(swarm: FakeSwarm, socket: Path) -> None:
    swarm.refuse("InspectTask", Missing("task 'x' not found"))

    ran = run(socket, "task", "inspect", "x")

    assert (ran.status, ran.out) == (1, "")
    assert "task 'x' not found" in ran.err
