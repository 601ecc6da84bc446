"""`plan`, and the flags of other commands that plan, change nothing."""

import json
from pathlib import Path

import pytest

from swarm.api.v1 import control_pb2
from swarm.errors import Invalid, Unavailable
from swarm.specs import ContainerSpec, Replicated, ServiceSpec, TaskSpec
from tests.swarmctl.fake_swarm import FakeSwarm
from tests.swarmctl.running import run

WEB = ServiceSpec(
    name="web",
    mode=Replicated(replicas=2),
    task=TaskSpec(container=ContainerSpec(image="nginx:1", env=("A=1",))),
)
MORE = control_pb2.PlanServiceResponse(
    revision=4,
    changes=[control_pb2.FieldChange(path="replicated.replicas", before="2", after="5")],
    tasks=[control_pb2.PlannedTask(action="start", name="web.3", node_hostname="n1")],
)


@pytest.fixture(autouse=True)
def web(swarm: FakeSwarm) -> None:
    """A service to plan about, at revision 4."""
    swarm.add_service(WEB, service_id="id-web")
    swarm.services["id-web"].service.revision = 4
    swarm.progress = [control_pb2.ServiceProgress(wanted=2, running=2)]


def asked(swarm: FakeSwarm) -> control_pb2.PlanServiceRequest:
    assert not swarm.asked(control_pb2.UpdateServiceRequest)
    assert not swarm.asked(control_pb2.CreateServiceRequest)
    [request] = swarm.asked(control_pb2.PlanServiceRequest)
    return request


def test_a_planned_update_says_how_to_do_just_that(swarm: FakeSwarm, socket: Path) -> None:
    swarm.plan = MORE

    ran = run(socket, "plan", "update", "--replicas", "5", "web")

    assert ran.status == 1
    assert "~ replicated.replicas  2 -> 5\n" in ran.out
    assert ran.out.endswith(
        "\nTo do just this:\n\n    swarmctl service update --check-revision 4 --replicas 5 web\n"
    )
    request = asked(swarm)
    assert (request.service_id, request.resolve_image) == ("id-web", False)
    assert request.spec.replicated.replicas == 5


def test_nothing_to_change_has_a_status_of_its_own(swarm: FakeSwarm, socket: Path) -> None:
    swarm.plan = control_pb2.PlanServiceResponse(revision=4)

    ran = run(socket, "plan", "update", "web")

    assert (ran.status, ran.out) == (0, "service web (revision 4): nothing would change\n")


@pytest.mark.parametrize(
    "words",
    [
        ["update", "--nonsense", "web"],
        ["update"],
        ["update", "nothing"],
        ["update", "--limit-memory", "1m", "web"],
        ["scale", "web=2", "db=3"],
        ["update", "--format", "yaml", "web"],
    ],
)
def test_what_cannot_be_planned_has_another(
    swarm: FakeSwarm, socket: Path, words: list[str]
) -> None:
    ran = run(socket, "plan", *words)

    assert ran.status == 255
    assert ran.err.startswith("Error: ")


def test_a_manager_that_refuses_is_quoted_with_the_flag(swarm: FakeSwarm, socket: Path) -> None:
    swarm.refuse("PlanService", Invalid("task.limits.memory_bytes: too much"))
    refused = run(socket, "plan", "update", "--replicas", "3", "web")
    swarm.refuse("PlanService", Unavailable("nobody leads"))
    unheard = run(socket, "plan", "update", "--replicas", "3", "web")

    assert (refused.status, unheard.status) == (255, 255)
    assert "--limit-memory: too much" in refused.err
    assert "nobody leads" in unheard.err


def test_a_new_service_is_planned_with_the_words_of_create(swarm: FakeSwarm, socket: Path) -> None:
    swarm.plan = control_pb2.PlanServiceResponse(tasks=MORE.tasks)

    ran = run(socket, "plan", "create", "--name", "db", "--replicas", "3", "pg:1", "serve", "-d")

    assert ran.status == 1
    assert ran.out.startswith("+ service db\n")
    assert ran.out.endswith("    swarmctl service create --name db --replicas 3 pg:1 serve -d\n")
    request = asked(swarm)
    assert (request.service_id, request.resolve_image) == ("", True)
    assert list(request.spec.task.container.args) == ["serve", "-d"]


def test_scaling_may_be_planned(swarm: FakeSwarm, socket: Path) -> None:
    swarm.plan = MORE

    ran = run(socket, "plan", "scale", "web=5")

    assert ran.status == 1
    assert ran.out.endswith("    swarmctl service scale --check-revision 4 web=5\n")
    assert asked(swarm).spec.replicated.replicas == 5


def test_programs_read_json(swarm: FakeSwarm, socket: Path) -> None:
    swarm.plan = MORE

    ran = run(socket, "plan", "update", "--format", "json", "--replicas", "5", "web")

    assert json.loads(ran.out)["Tasks"] == [
        {"Action": "start", "Name": "web.3", "Node": "n1", "From": "", "Reason": ""}
    ]


@pytest.mark.parametrize(
    "words",
    [
        ["create", "--dry-run", "nginx:1"],
        ["update", "--dry-run", "--replicas", "5", "web"],
        ["scale", "--dry-run", "web=5"],
    ],
)
def test_a_dry_run_shows_the_plan_and_succeeds(
    swarm: FakeSwarm, socket: Path, words: list[str]
) -> None:
    swarm.plan = MORE

    ran = run(socket, "service", *words)

    assert ran.status == 0
    assert "+ web.3  starts on n1\n" in ran.out
    assert "--dry-run" not in ran.out
    asked(swarm)


def test_a_change_of_what_was_planned_is_made(swarm: FakeSwarm, socket: Path) -> None:
    updated = run(
        socket, "service", "update", "-d", "--check-revision", "4", "--replicas", "5", "web"
    )
    scaled = run(socket, "service", "scale", "-d", "--check-revision", "4", "web=6")

    assert (updated.status, scaled.status) == (0, 0)
    assert len(swarm.asked(control_pb2.UpdateServiceRequest)) == 2


def test_a_change_of_anything_else_is_refused(swarm: FakeSwarm, socket: Path) -> None:
    ran = run(socket, "service", "update", "-d", "--check-revision", "3", "--replicas", "5", "web")

    assert ran.status == 1
    assert ran.err == (
        "Error: service web is at revision 4, not 3\n"
        "Hint: see what changed (swarmctl history web), and plan again\n"
    )
    assert not swarm.asked(control_pb2.UpdateServiceRequest)


def test_a_change_that_comes_between_is_seen_as_well(swarm: FakeSwarm, socket: Path) -> None:
    """The revision is right when it is read; then somebody is faster, and it no longer is."""
    swarm.conflicts = 1
    view = swarm.services["id-web"]

    def meanwhile(request: object) -> None:
        view.service.revision = 5

    swarm.requests = _Listening(meanwhile)
    ran = run(socket, "service", "update", "-d", "--check-revision", "4", "--replicas", "5", "web")

    assert ran.status == 1
    assert "is at revision 5, not 4" in ran.err


class _Listening(list[object]):
    """A list that calls somebody when an update is appended."""

    def __init__(self, heard: object) -> None:
        super().__init__()
        self._heard = heard

    def append(self, item: object) -> None:
        super().append(item)
        if isinstance(item, control_pb2.UpdateServiceRequest):
            self._heard(item)
