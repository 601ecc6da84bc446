"""`node ls|ps|inspect|update|promote|rm` show and change hosts."""

import json
from pathlib import Path

import pytest

from swarm.api.v1 import control_pb2, objects_pb2, specs_pb2
from swarm.errors import Refused
from swarmctl.io import emptying
from tests.swarmctl.answers import node, task
from tests.swarmctl.fake_swarm import NODE_ID, FakeSwarm
from tests.swarmctl.running import run


@pytest.fixture(autouse=True)
def nodes(swarm: FakeSwarm) -> None:
    """This host, which leads, and a worker."""
    swarm.nodes = [
        node("w1", hostname="beta", labels={"zone": "east"}),
        node(NODE_ID, hostname="alpha", role=specs_pb2.ROLE_MANAGER, is_leader=True),
    ]
    swarm.tasks = [task("t-1", node_id="w1"), task("t-2", slot=2, node_id=NODE_ID)]


def test_nodes_are_listed_and_this_host_is_marked(socket: Path) -> None:
    lines = run(socket, "node", "ls").out.splitlines()

    assert lines[0].split("   ")[0] == "ID"
    assert lines[1].startswith(f"{NODE_ID} *   alpha      Ready     Active         Leader")
    assert lines[2].split() == ["w1", "beta", "Ready", "Active", "0.1.0"]
    assert run(socket, "node", "ls", "-q").out == f"{NODE_ID}\nw1\n"
    first = json.loads(run(socket, "node", "ls", "--format", "json").out.splitlines()[0])
    assert (first["ID"], first["Self"], "Mark" in first) == (NODE_ID, True, False)


def test_tasks_of_this_host_are_listed_by_default(socket: Path) -> None:
    assert run(socket, "node", "ps", "-q").out == "t-2\n"
    assert run(socket, "node", "ps", "-q", "w1").out == "t-1\n"


def test_self_is_this_host(socket: Path) -> None:
    ids = run(socket, "node", "inspect", "-f", "{{.ID}}", "self", "w1").out.split()

    assert sorted(ids) == sorted([NODE_ID, "w1"])
    [detail] = json.loads(run(socket, "node", "inspect", "nope", "w1").out)
    assert detail["Spec"]["Labels"] == {"zone": "east"}
    assert "Hostname:" in run(socket, "node", "inspect", "--pretty", "w1").out


def test_self_outside_of_a_swarm_is_refused(swarm: FakeSwarm, socket: Path) -> None:
    swarm.node_id = ""

    assert "not part of a swarm" in run(socket, "node", "ps").err


def test_an_update_changes_what_it_names(swarm: FakeSwarm, socket: Path) -> None:
    flags = ("-d", "--availability", "drain", "--label-add", "disk=ssd", "--label-rm", "zone")
    ran = run(socket, "node", "update", *flags, "beta")

    assert (ran.status, ran.out) == (0, "beta\n")
    [request] = swarm.asked(control_pb2.UpdateNodeRequest)
    assert (request.node_id, request.version) == ("w1", 5)
    assert request.spec.availability == specs_pb2.AVAILABILITY_DRAIN
    assert dict(request.spec.labels) == {"disk": "ssd"}


def test_a_promotion_is_the_managers_decision(swarm: FakeSwarm, socket: Path) -> None:
    swarm.refuse("UpdateNode", Refused("promotion is not supported yet", hint="stay a worker"))

    ran = run(socket, "node", "promote", "beta")

    assert (ran.status, ran.out) == (1, "")
    assert ran.err == "Error: promotion is not supported yet\nHint: stay a worker\n"
    [request] = swarm.asked(control_pb2.UpdateNodeRequest)
    assert request.spec.role == specs_pb2.ROLE_MANAGER


def test_nodes_are_removed_by_id(swarm: FakeSwarm, socket: Path) -> None:
    ran = run(socket, "node", "rm", "--force", "beta", "nope")

    assert (ran.status, ran.out) == (1, "beta\n")
    [request] = swarm.asked(control_pb2.RemoveNodeRequest)
    assert (request.node_id, request.force) == ("w1", True)


def test_a_drain_is_watched_until_the_node_is_empty(
    swarm: FakeSwarm, socket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emptying, "PERIOD_S", 0.0)
    over = objects_pb2.TASK_STATE_SHUTDOWN
    first = [task(f"t{n}", slot=n, node_id="w1") for n in range(1, 8)]
    stopping = task("t3", slot=3, node_id="w1", desired=over)
    last = [task("t1", node_id="w1", state=over), stopping]
    swarm.tasks_of_calls = [first, last, [task("t3", slot=3, node_id="w1", state=over)]]

    ran = run(socket, "node", "update", "--availability", "drain", "beta")

    assert (ran.status, ran.err) == (0, "")
    assert ran.out == (
        "beta\n"
        "7 of 7 tasks left: web.1, web.2, web.3, web.4, web.5, 2 more\n"
        "1 of 7 tasks left: web.3 (stopping)\n"
        "Node beta is empty.\n"
    )
    assert [r.nodes for r in swarm.asked(control_pb2.ListTasksRequest)] == [["w1"]] * 3


def test_a_drain_that_is_stuck_says_what_its_replacements_wait_for(
    swarm: FakeSwarm, socket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emptying, "PERIOD_S", 0.0)
    monkeypatch.setattr(emptying, "STUCK_S", -1.0)
    staying = task("t1", slot=1, node_id="w1")
    waiting = task("t2", slot=1, node_id="", state=None, message="no suitable node")
    over = task("t1", node_id="w1", state=objects_pb2.TASK_STATE_SHUTDOWN)
    swarm.tasks_of_calls = [[staying], [staying], [staying, waiting], [over]]

    ran = run(socket, "node", "update", "--availability", "drain", "beta")

    assert ran.out == (
        "beta\n"
        "1 of 1 task left: web.1\n"
        "  web.1 stays until it is replaced: no suitable node\n"
        "Node beta is empty.\n"
    )


def test_a_drain_that_another_replica_holds_up_says_which_and_why(
    swarm: FakeSwarm, socket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only one of web may be down at once: nothing was said of why web.1 is let be."""
    monkeypatch.setattr(emptying, "PERIOD_S", 0.0)
    monkeypatch.setattr(emptying, "STUCK_S", -1.0)
    staying = task("t1", slot=1, node_id="w1")
    down = task("t7", slot=7, node_id="", state=None, message="no suitable node")
    over = task("t1", node_id="w1", state=objects_pb2.TASK_STATE_SHUTDOWN)
    swarm.tasks_of_calls = [[staying], [staying], [staying, down], [over]]

    ran = run(socket, "node", "update", "--availability", "drain", "beta")

    assert ran.out.splitlines()[1:3] == [
        "1 of 1 task left: web.1",
        "  web.1 stays while web.7 is down: no suitable node",
    ]


def test_taints_are_listed(swarm: FakeSwarm, socket: Path) -> None:
    taint = specs_pb2.Taint(key="gpu", effect=specs_pb2.TAINT_EFFECT_NO_EXECUTE)
    swarm.nodes[0].node.spec.taints.append(taint)

    form = "{{.Hostname}} {{.Taints}}"
    assert run(socket, "node", "ls", "--format", form).out == "alpha \nbeta gpu:no-execute\n"
    assert (
        "Taint:                  gpu:no-execute"
        in run(socket, "node", "inspect", "--pretty", "w1").out
    )
