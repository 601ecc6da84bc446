"""`init`, `join`, `join-token` and `leave` speak as Docker does."""

from pathlib import Path

import pytest

from swarm.api.v1 import control_pb2, daemon_pb2, specs_pb2
from swarm.errors import Refused
from tests.swarmctl.fake_swarm import NODE_ID, FakeSwarm
from tests.swarmctl.running import run

TOKEN = f"SWMTKN-1-{'0' * 50}-{'0' * 25}"


def test_init_prints_how_others_join(swarm: FakeSwarm, socket: Path) -> None:
    ran = run(socket, "init", "--advertise-addr", "10.0.0.1", "--dispatcher-heartbeat", "500ms")

    assert ran.out == (
        f"Swarm initialized: current node ({NODE_ID}) is now a manager.\n\n"
        "To add a worker to this swarm, run the following command:\n\n"
        "    swarmctl join --token SWMTKN-1-worker 10.0.0.1:2377\n\n"
        "To add a manager to this swarm, run 'swarmctl join-token manager' and follow the "
        "instructions.\n"
    )
    [request] = swarm.asked(daemon_pb2.InitRequest)
    assert request.advertise_addr == "10.0.0.1"
    assert request.spec.heartbeat_s == 0.5
    assert request.availability == specs_pb2.AVAILABILITY_ACTIVE


def test_init_twice_is_the_daemons_refusal(swarm: FakeSwarm, socket: Path) -> None:
    swarm.refuse("Init", Refused("this node is already part of a swarm", hint="leave it first"))

    ran = run(socket, "swarm", "init")

    assert (ran.status, ran.out) == (1, "")
    assert ran.err == "Error: this node is already part of a swarm\nHint: leave it first\n"


def test_a_setting_that_would_break_the_swarm_starts_nothing(
    swarm: FakeSwarm, socket: Path
) -> None:
    ran = run(socket, "init", "--cert-expiry", "1m")

    assert ran.status == 1
    assert "--cert-expiry" in ran.err
    assert swarm.requests == []


def test_join_says_what_the_node_is_now(swarm: FakeSwarm, socket: Path) -> None:
    ran = run(socket, "join", "--token", TOKEN, "--availability", "drain", "10.0.0.1:2377")

    assert (ran.status, ran.out) == (0, "This node joined a swarm as a worker.\n")
    [request] = swarm.asked(daemon_pb2.JoinRequest)
    assert (request.token, request.manager_addr) == (TOKEN, "10.0.0.1:2377")
    assert request.availability == specs_pb2.AVAILABILITY_DRAIN


@pytest.mark.parametrize("token", ["SWMTKN-1-short", "", "hello"])
def test_a_malformed_token_starts_nothing(swarm: FakeSwarm, socket: Path, token: str) -> None:
    ran = run(socket, "join", "--token", token, "10.0.0.1:2377")

    assert ran.status == 1
    assert "token" in ran.err
    assert swarm.requests == []


def test_a_token_is_shown_with_its_command(swarm: FakeSwarm, socket: Path) -> None:
    assert run(socket, "join-token", "worker").out == (
        "To add a worker to this swarm, run the following command:\n\n"
        "    swarmctl join --token SWMTKN-1-worker 10.0.0.1:2377\n\n"
    )
    assert run(socket, "join-token", "-q", "manager").out == "SWMTKN-1-manager\n"
    assert [x.rotate for x in swarm.asked(control_pb2.GetJoinTokenRequest)] == [False, False]


def test_a_rotated_token_is_new(swarm: FakeSwarm, socket: Path) -> None:
    ran = run(socket, "swarm", "join-token", "--rotate", "worker")

    assert ran.out.startswith("Successfully rotated worker join token.\n\n")
    assert "SWMTKN-1-worker-new" in ran.out
    assert [x.rotate for x in swarm.asked(control_pb2.GetJoinTokenRequest)] == [True]


def test_leave_may_be_forced(swarm: FakeSwarm, socket: Path) -> None:
    assert run(socket, "leave", "--force").out == "Node left the swarm.\n"
    assert [x.force for x in swarm.asked(daemon_pb2.LeaveRequest)] == [True]
