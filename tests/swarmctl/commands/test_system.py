"""`events`, `status`, `version` and `completion`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from swarm import __version__
from swarm.api.v1 import control_pb2, objects_pb2, specs_pb2
from swarm.specs import ContainerSpec, ServiceSpec, TaskSpec
from tests.swarmctl.fake_swarm import NODE_ID, FakeSwarm
from tests.swarmctl.running import run


def event(kind: str, action: str, name: str, *, at: float = 1e9) -> objects_pb2.Event:
    return objects_pb2.Event(at=at, kind=kind, action=action, id=f"id-{name}", name=name)


def test_events_are_followed_and_selected(swarm: FakeSwarm, socket: Path) -> None:
    swarm.events = [event("service", "create", "web"), event("node", "down", "alpha")]

    ran = run(socket, "events", "--since", "10m", "-f", "type=node")

    assert ran.out == "2001-09-09T01:46:40.000000000Z node down id-alpha (name=alpha)\n"
    assert swarm.asked(control_pb2.WatchEventsRequest)[0].since > 0
    lines = run(socket, "events", "--format", "json").out.splitlines()
    assert [json.loads(line)["Action"] for line in lines] == ["create", "down"]


def test_events_end_at_the_time_asked_for(swarm: FakeSwarm, socket: Path) -> None:
    swarm.events, swarm.endless = [event("service", "create", "web")], True

    ran = run(socket, "events", "--since", "1h", "--until", "0", "--format", "{{.Action}}")

    assert (ran.status, ran.out) == (0, "create\n")


def test_the_status_shows_the_parts(swarm: FakeSwarm, socket: Path) -> None:
    text = run(socket, "status").out

    assert f"Node ID:     {NODE_ID}" in text
    assert "Swarm:       active" in text
    assert text.splitlines()[-1].split()[:2] == ["agent", "12"]
    assert run(socket, "info", "-f", "{{.Role}}").out == "manager\n"


def test_a_host_without_a_swarm_is_inactive(swarm: FakeSwarm, socket: Path) -> None:
    swarm.node_id = ""

    assert "Swarm:       inactive" in run(socket, "status").out


def test_versions_of_both_sides_are_shown(swarm: FakeSwarm, socket: Path) -> None:
    assert run(socket, "version").out == f"Client: swarmctl {__version__}\nServer: swarmd 0.1.0\n"
    assert run(socket, "version", "-f", "{{.Server.Version}}").out == "0.1.0\n"


def test_without_a_daemon_the_client_has_a_version_still(socket: Path) -> None:
    ran = run(socket, "version")

    assert ran.status == 1
    assert ran.out == f"Client: swarmctl {__version__}\n"
    assert "is it running?" in ran.err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shells_completion_is_printed(socket: Path, shell: str) -> None:
    ran = run(socket, "completion", shell)

    assert ran.status == 0
    assert "_SWARMCTL_COMPLETE" in ran.out


def completed(socket: Path, words: str) -> list[str]:
    """What bash would be offered after `words`."""
    ran = subprocess.run(
        [sys.executable, "-m", "swarmctl.main"],
        env=os.environ
        | {
            "_SWARMCTL_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split(" ")) - 1),
            "SWARM_HOST": f"unix://{socket}",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stderr == ""
    return [line.partition(",")[2] for line in ran.stdout.split()]


def test_commands_and_flags_are_completed(socket: Path) -> None:
    assert completed(socket, "swarmctl service cr") == ["create"]
    assert completed(socket, "swarmctl service create --limit-") == [
        "--limit-cpu",
        "--limit-memory",
        "--limit-pids",
    ]


def test_names_are_completed_from_the_swarm(swarm: FakeSwarm, socket: Path) -> None:
    for name in ("web", "worker", "db"):
        spec = ServiceSpec(name=name, task=TaskSpec(container=ContainerSpec(image="x")))
        swarm.add_service(spec, service_id=f"id-{name}")

    labels = {"com.docker.stack.namespace": "shop"}
    swarm.add_service(ServiceSpec(name="shop_web", labels=labels), service_id="id-shop")

    assert completed(socket, "swarmctl service ps w") == ["web", "worker"]
    assert completed(socket, "swarmctl stack rm ") == ["shop"]


def test_values_of_flags_are_completed(swarm: FakeSwarm, socket: Path) -> None:
    swarm.secrets = [control_pb2.SecretView(spec=specs_pb2.SecretSpec(name="key"))]
    swarm.configs = [control_pb2.ConfigView(spec=specs_pb2.ConfigSpec(name="nginx.conf"))]
    swarm.add_service(ServiceSpec(name="db"), service_id="id-db")
    create = "swarmctl service create"

    assert completed(socket, f"{create} --mode rep") == ["replicated", "replicated-job"]
    assert completed(socket, f"{create} --update-order ") == ["start-first", "stop-first"]
    assert completed(socket, f"{create} --update-failure-action r") == ["rollback"]
    assert completed(socket, f"{create} --secret k") == ["key"]
    assert completed(socket, f"{create} --config n") == ["nginx.conf"]
    assert completed(socket, f"{create} --depends-on d") == ["db"]
    assert completed(socket, f"{create} --network h") == ["host"]
    assert completed(socket, "swarmctl service update --secret-rm ") == ["key"]


def test_flags_are_listed_by_what_they_are_about(socket: Path) -> None:
    lines = run(socket, "service", "create", "--help").out.splitlines()

    headings = [line for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert headings[0] == "Container:"
    assert headings[-1] == "Options:"
    assert {"Health:", "Placement:", "Resources:", "Updates and rollbacks:"} < set(headings)


def test_a_swarm_that_does_not_answer_offers_nothing(socket: Path) -> None:
    assert completed(socket, "swarmctl service ps w") == []
