"""`service ls|ps|inspect|rm|logs` show and remove what there is."""

import json
from pathlib import Path

import pytest

from swarm.api.v1 import control_pb2, objects_pb2
from swarm.specs import ContainerSpec, Replicated, ServiceSpec, TaskSpec
from tests.swarmctl.answers import node, task
from tests.swarmctl.fake_swarm import FakeSwarm
from tests.swarmctl.running import run


@pytest.fixture(autouse=True)
def services(swarm: FakeSwarm) -> None:
    """Two services, one with tasks."""
    for name, replicas in (("web", 3), ("db", 1)):
        spec = ServiceSpec(
            name=name,
            mode=Replicated(replicas=replicas),
            task=TaskSpec(container=ContainerSpec(image=f"docker.io/library/{name}:1")),
        )
        swarm.add_service(spec, service_id=f"id-of-{name}", running=1)
    swarm.nodes = [node("n1", hostname="alpha"), node("n2", hostname="beta")]
    swarm.tasks = [
        task("t-new", slot=1),
        task(
            "t-old",
            slot=1,
            age=99,
            state=objects_pb2.TASK_STATE_FAILED,
            desired=objects_pb2.TASK_STATE_SHUTDOWN,
            exit_code=1,
        ),
        task("t-db", service="db", node_id="n2", hostname="beta"),
    ]


def test_services_are_listed_by_name(socket: Path) -> None:
    assert run(socket, "service", "ls").out == (
        "ID          NAME      MODE         REPLICAS   IMAGE     PORTS\n"
        "id-of-db    db        replicated   1/1        db:1\n"
        "id-of-web   web       replicated   1/3        web:1\n"
    )


@pytest.mark.parametrize(
    ("words", "out"),
    [
        (["-q"], "id-of-db\nid-of-web\n"),
        (["--format", "{{.Name}}: {{.Replicas}}"], "db: 1/1\nweb: 1/3\n"),
        (["--filter", "name=web", "-q"], "id-of-web\n"),
        (["-f", "mode=global", "-q"], ""),
        (
            ["--format", r"table {{.Name}}\t{{.Image}}"],
            "NAME      IMAGE\ndb        db:1\nweb       web:1\n",
        ),
    ],
)
def test_a_list_is_selected_and_shaped(socket: Path, words: list[str], out: str) -> None:
    ran = run(socket, "service", "ls", *words)

    assert (ran.status, ran.out) == (0, out)


def test_an_unknown_filter_asks_nothing(swarm: FakeSwarm, socket: Path) -> None:
    ran = run(socket, "service", "ls", "--filter", "nmae=web")

    assert ran.status == 1
    assert "there are id, label, mode, name" in ran.err
    assert swarm.requests == []


def test_tasks_are_listed_with_their_history(socket: Path) -> None:
    lines = run(socket, "service", "ps", "web").out.splitlines()

    assert lines[0].split("  ")[0] == "ID"
    assert [line.split()[0] for line in lines[1:]] == ["t-new", "t-old"]
    assert r" \_ web.1 " in lines[2]
    assert '"task: non-zero exit (1)"' in lines[2]


def test_tasks_of_several_services_are_asked_for_by_id(swarm: FakeSwarm, socket: Path) -> None:
    run(socket, "service", "ps", "web", "db")

    [request] = swarm.asked(control_pb2.ListTasksRequest)
    assert sorted(request.services) == ["id-of-db", "id-of-web"]


def test_tasks_are_selected(socket: Path) -> None:
    ran = run(socket, "service", "ps", "-q", "-f", "desired-state=running", "web")

    assert ran.out == "t-new\n"


def test_tasks_on_this_host_are_selected(swarm: FakeSwarm, socket: Path) -> None:
    swarm.tasks[0].task.node_id = swarm.node_id

    ran = run(socket, "service", "ps", "-q", "-f", "node=self", "web")

    assert ran.out == f"{swarm.tasks[0].task.id}\n"


def test_a_service_is_inspected(socket: Path) -> None:
    [detail] = json.loads(run(socket, "service", "inspect", "web", "none").out)
    image = run(
        socket, "service", "inspect", "-f", "{{.Spec.TaskTemplate.ContainerSpec.Image}}", "web"
    )

    assert detail["Spec"]["Mode"] == {"Replicated": {"Replicas": 3}}
    assert image.out == "docker.io/library/web:1\n"
    assert "Service Mode:" in run(socket, "service", "inspect", "--pretty", "web").out
    assert "Service Mode:" in run(socket, "service", "inspect", "--format=pretty", "web").out


def test_pretty_and_format_exclude_each_other(socket: Path) -> None:
    ran = run(socket, "service", "inspect", "--pretty", "-f", "json", "web")

    assert ran.status == 1
    assert "exclude each other" in ran.err


def test_what_exists_is_removed_and_what_does_not_is_told(swarm: FakeSwarm, socket: Path) -> None:
    ran = run(socket, "service", "rm", "nope", "web")

    assert (ran.status, ran.out) == (1, "web\n")
    assert "no such service: nope" in ran.err
    removed = [each.service_id for each in swarm.asked(control_pb2.RemoveServiceRequest)]
    assert removed == ["id-of-web"]


@pytest.mark.parametrize("words", [["list"], ["ls"]])
def test_lists_have_a_long_name(socket: Path, words: list[str]) -> None:
    assert "NAME" in run(socket, "service", *words).out


def line(data: bytes, *, stderr: bool = False) -> control_pb2.LogLine:
    return control_pb2.LogLine(
        task_id="t" * 25, node_id="n1", at=1.5, stderr=stderr, data=data, service_name="web", slot=1
    )


def test_logs_keep_their_streams_apart(swarm: FakeSwarm, socket: Path) -> None:
    swarm.logs = [
        control_pb2.LogBatch(lines=[line(b"one"), line(b"two", stderr=True)]),
        control_pb2.LogBatch(lines=[line(b"three\n")]),
    ]

    ran = run(socket, "service", "logs", "-f", "-n", "5", "--since", "10m", "web")

    assert ran.out == "web.1.tttttttttttt@alpha    | one\nweb.1.tttttttttttt@alpha    | three\n"
    assert ran.err == "web.1.tttttttttttt@alpha    | two\n"
    [request] = swarm.asked(control_pb2.ReadLogsRequest)
    assert (list(request.services), list(request.tasks)) == (["id-of-web"], [])
    assert (request.follow, request.tail, request.stdout, request.stderr) == (True, 5, True, True)
    assert request.since > 0


def test_logs_of_one_task_are_read_raw(swarm: FakeSwarm, socket: Path) -> None:
    swarm.logs = [control_pb2.LogBatch(lines=[line(b"\xff raw")])]
    swarm.tasks = [task("t-new")]

    ran = run(socket, "service", "logs", "--raw", "t-new")

    [request] = swarm.asked(control_pb2.ReadLogsRequest)
    assert (list(request.tasks), request.tail, request.follow) == (["t-new"], -1, False)
    assert ran.raw == b"\xff raw\n"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--tail", "many", "web"], "--tail 'many'"),
        (["--since", "soon", "web"], "'soon' is not a time"),
    ],
)
def test_logs_refuse_nonsense(swarm: FakeSwarm, socket: Path, words: list[str], text: str) -> None:
    ran = run(socket, "service", "logs", *words)

    assert ran.status == 1
    assert text in ran.err
    assert swarm.requests == []


def test_logs_of_nothing_are_refused(swarm: FakeSwarm, socket: Path) -> None:
    swarm.tasks = []

    assert "no such service or task: nope" in run(socket, "service", "logs", "nope").err
