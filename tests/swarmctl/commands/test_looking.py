import signal
import subprocess
import sys
from pathlib import Path

import pytest

from swarm.api.v1 import control_pb2, objects_pb2
from swarm.errors import Missing, Refused
from tests.swarmctl.fake_swarm import FakeSwarm
from tests.swarmctl.running import run


def stats(swarm: FakeSwarm) -> None:
    swarm.stats = [
        control_pb2.StatsBatch(
            node_id="n1",
            node_hostname="east",
            tasks=[
                control_pb2.TaskStats(
                    task_id="a" * 25,
                    service_name="web",
                    slot=1,
                    cpu_percent=5.0,
                    pids=2,
                    memory_bytes=1 << 20,
                    memory_limit_bytes=1 << 30,
                )
            ],
        )
    ]


def test_top_is_a_table_of_processes(swarm: FakeSwarm, socket: Path) -> None:
    swarm.processes = control_pb2.ListProcessesResponse(
        at=2e9,
        memory_bytes=1 << 30,
        processes=[control_pb2.Process(pid=5, ppid=1, user="app", tty="?", args=["sleep", "9"])],
    )

    ran = run(socket, "top", "web.1")
    chosen = run(socket, "top", "web.1", "-o", "pid,args")

    assert swarm.asked(control_pb2.ListProcessesRequest)[0].task == "web.1"
    headings, row = ran.out.splitlines()
    assert headings.split()[:3] == ["UID", "PID", "PPID"]
    assert row.split()[:3] == ["app", "5", "1"]
    assert row.endswith("sleep 9")
    assert chosen.out.split() == ["PID", "COMMAND", "5", "sleep", "9"]


def test_top_refuses_what_it_does_not_know_before_it_asks(swarm: FakeSwarm, socket: Path) -> None:
    ran = run(socket, "top", "web.1", "-o", "nonsense")

    assert ran.status == 1
    assert "'nonsense': not a column" in ran.err
    assert not swarm.asked(control_pb2.ListProcessesRequest)


def test_one_sample_is_printed_and_that_is_all(swarm: FakeSwarm, socket: Path) -> None:
    stats(swarm)

    ran = run(socket, "stats", "--no-stream", "web.1")

    (request,) = swarm.asked(control_pb2.WatchStatsRequest)
    assert (list(request.tasks), request.once) == (["web.1"], True)
    headings, row = ran.out.splitlines()
    assert headings.split("   ")[0] == "TASK ID"
    assert row.split()[:4] == ["a" * 12, "web.1", "east", "5.00%"]


@pytest.mark.parametrize(
    ("form", "text"),
    [("{{.Name}} {{.CPUPerc}}", "web.1 5.00%\n"), ("{{.ID}}", f"{'a' * 12}\n")],
)
def test_samples_are_printed_in_any_form(
    swarm: FakeSwarm, socket: Path, form: str, text: str
) -> None:
    stats(swarm)

    assert run(socket, "stats", "--no-stream", "--format", form).out == text


def test_all_shows_tasks_that_do_not_run(swarm: FakeSwarm, socket: Path) -> None:
    stats(swarm)
    for name, slot, desired in (
        ("a" * 25, 1, objects_pb2.TASK_STATE_RUNNING),
        ("b" * 25, 2, objects_pb2.TASK_STATE_RUNNING),
        ("c" * 25, 3, objects_pb2.TASK_STATE_SHUTDOWN),
    ):
        task = objects_pb2.Task(id=name, service_name="web", slot=slot, desired=desired)
        swarm.tasks.append(control_pb2.TaskView(task=task))

    form = "{{.Name}} {{.PIDs}}"
    ran = run(socket, "stats", "--all", "--no-stream", "--format", form)

    assert ran.out == "web.1 2\nweb.2 --\n"


def test_samples_are_printed_again_and_again(swarm: FakeSwarm, socket: Path) -> None:
    stats(swarm)
    process = subprocess.Popen(
        [sys.executable, "-m", "swarmctl.main", "-H", f"unix://{socket}", "stats",
         "--format", "{{.Name}}"],
        stdout=subprocess.PIPE,
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == [b"web.1\n"] * 2
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)

    assert process.returncode == 130


def test_tasks_are_paused_and_go_on_one_by_one(swarm: FakeSwarm, socket: Path) -> None:
    assert run(socket, "pause", "web.1", "web.2").out == "web.1\nweb.2\n"
    assert run(socket, "unpause", "web.1").out == "web.1\n"

    asked = swarm.asked(control_pb2.PauseTaskRequest)
    assert [(each.task, each.paused) for each in asked] == [
        ("web.1", True),
        ("web.2", True),
        ("web.1", False),
    ]


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("ListProcesses", ("top", "x")),
        ("PauseTask", ("pause", "x")),
        ("WatchStats", ("stats", "x")),
        ("WatchStats", ("stats", "--no-stream", "x")),
    ],
)
def test_what_the_manager_refuses_is_said(
    swarm: FakeSwarm, socket: Path, method: str, words: tuple[str, ...]
) -> None:
    for error in (Missing("task 'x' not found"), Refused("a worker may not")):
        swarm.refuse(method, error)

        ran = run(socket, *words)

        assert (ran.status, ran.out) == (1, "")
        assert error.message in ran.err
