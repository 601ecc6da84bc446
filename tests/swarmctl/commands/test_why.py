import json
from pathlib import Path

from swarm.api.v1 import control_pb2
from swarm.errors import Missing
from tests.swarmctl.fake_swarm import FakeSwarm
from tests.swarmctl.running import run

SAID = control_pb2.ExplainPlacementResponse(
    service_name="web",
    summary="web.3 is pending: no suitable node (insufficient cpu on 1 node)",
    verdicts=[
        control_pb2.NodeVerdict(
            node_id="id-1",
            hostname="n1",
            filter="cpu",
            detail="wants 1 of cpu, 0.5 of 4 are free",
            tasks=2,
        ),
        control_pb2.NodeVerdict(node_id="id-2", hostname="n2", admits=True, room=3),
        control_pb2.NodeVerdict(node_id="id-3", hostname="n3", admits=True, room=-1),
    ],
)


def test_the_reason_comes_first_and_then_every_node(swarm: FakeSwarm, socket: Path) -> None:
    swarm.explanation = SAID

    ran = run(socket, "why", "web.3")

    assert ran.status == 0
    lines = ran.out.splitlines()
    assert lines[0] == SAID.summary
    cells = [line.split(maxsplit=4) for line in lines[2:]]
    assert cells == [
        ["NODE", "FITS", "TASKS", "ROOM", "WHY"],
        ["n1", "no", "2", "0", "cpu: wants 1 of cpu, 0.5 of 4 are free"],
        ["n2", "yes", "0", "3"],
        ["n3", "yes", "0", "any"],
    ]


def test_one_node_may_be_asked_about(swarm: FakeSwarm, socket: Path) -> None:
    run(socket, "why", "web", "n1")

    [request] = swarm.asked(control_pb2.ExplainPlacementRequest)
    assert (request.target, request.node) == ("web", "n1")


def test_programs_read_json_or_a_template(swarm: FakeSwarm, socket: Path) -> None:
    swarm.explanation = SAID

    lines = run(socket, "why", "--format", "json", "web").out.splitlines()
    assert [json.loads(each)["Filter"] for each in lines] == ["cpu", "", ""]
    assert run(socket, "why", "--format", "{{.Node}}", "web").out == "n1\nn2\nn3\n"


def test_what_does_not_exist_cannot_be_explained(swarm: FakeSwarm, socket: Path) -> None:
    swarm.refuse("ExplainPlacement", Missing("no such service or task: x"))

    ran = run(socket, "why", "x")

    assert (ran.status, ran.err) == (1, "Error: no such service or task: x\n")
