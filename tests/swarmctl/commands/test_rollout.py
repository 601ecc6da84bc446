"""`service rollback`, `service promote` and `service history`."""

from pathlib import Path

import pytest

from swarm.api.v1 import control_pb2, objects_pb2
from swarm.codec import to_message
from swarm.errors import Refused
from swarm.ids import ServiceId
from swarm.objects import ROLLED_BACK, Revision, Rollout
from swarm.specs import ContainerSpec, Replicated, ServiceSpec, TaskSpec
from swarm.states import RolloutState
from tests.swarmctl.fake_swarm import FakeSwarm
from tests.swarmctl.running import run

WEB = ServiceSpec(
    name="web",
    mode=Replicated(replicas=2),
    task=TaskSpec(container=ContainerSpec(image="web:1")),
)
WHY = f"{ROLLED_BACK}task t1 (web.1) failed: task: non-zero exit (3)"


def progress(
    state: RolloutState, message: str = "", *, old: int = 0
) -> control_pb2.ServiceProgress:
    rollout: objects_pb2.Rollout = to_message(
        Rollout(state=state, message=message, spec_version=2, started_at=9.0)
    )
    return control_pb2.ServiceProgress(
        wanted=2, running=2, old=old, rollout=rollout, states={"running": 2}
    )


@pytest.fixture(autouse=True)
def web(swarm: FakeSwarm) -> None:
    """A service to roll back."""
    swarm.add_service(WEB, service_id="id-web")
    swarm.progress = [
        progress(RolloutState.ROLLBACK_STARTED, old=1),
        progress(RolloutState.ROLLBACK_COMPLETED),
    ]


@pytest.mark.parametrize(("words", "revision"), [([], 0), (["--to", "3"], 3)])
def test_a_rollback_names_what_it_is_based_on_and_waits(
    swarm: FakeSwarm, socket: Path, words: list[str], revision: int
) -> None:
    ran = run(socket, "service", "rollback", *words, "web")

    assert ran.status == 0
    assert ran.out == "web\noverall progress: 2 out of 2 tasks\nverify: Service web converged\n"
    (request,) = swarm.asked(control_pb2.RollbackServiceRequest)
    assert (request.service_id, request.version, request.revision) == ("id-web", 7, revision)


def test_revisions_count_from_one(swarm: FakeSwarm, socket: Path) -> None:
    ran = run(socket, "service", "rollback", "--to", "0", "web")

    assert ran.status == 1
    assert "revisions count from 1" in ran.err
    assert not swarm.asked(control_pb2.RollbackServiceRequest)


def test_a_promotion_waits_for_the_rest(swarm: FakeSwarm, socket: Path) -> None:
    swarm.progress = [
        progress(RolloutState.UPDATING, old=1),
        progress(RolloutState.COMPLETED),
    ]

    ran = run(socket, "service", "promote", "web")

    assert (ran.status, ran.out.splitlines()[-1]) == (0, "verify: Service web converged")
    (request,) = swarm.asked(control_pb2.PromoteServiceRequest)
    assert request.service_id == "id-web"


def test_what_cannot_be_promoted_is_told(swarm: FakeSwarm, socket: Path) -> None:
    swarm.refuse("PromoteService", Refused("service web has nothing to promote"))

    ran = run(socket, "service", "promote", "web")

    assert ran.status == 1
    assert "nothing to promote" in ran.err


def test_an_update_that_was_rolled_back_fails(swarm: FakeSwarm, socket: Path) -> None:
    swarm.progress = [
        progress(RolloutState.UPDATING, old=1),
        progress(RolloutState.ROLLBACK_STARTED, WHY, old=1),
        progress(RolloutState.ROLLBACK_COMPLETED, WHY),
    ]

    ran = run(socket, "service", "update", "--force", "web")

    assert ran.status == 1
    assert f"service web: {WHY}" in ran.err


@pytest.mark.parametrize("quiet", [[], ["-q"]])
def test_an_update_that_was_paused_fails_and_says_how_to_go_on(
    swarm: FakeSwarm, socket: Path, quiet: list[str]
) -> None:
    swarm.progress = [progress(RolloutState.PAUSED, "update paused: task t1 failed", old=1)]

    ran = run(socket, "service", "update", *quiet, "--force", "web")

    assert ran.status == 1
    assert "service web: update paused: task t1 failed" in ran.err
    assert "swarmctl service promote web" in ran.err


def test_an_update_that_holds_for_its_canaries_is_done(swarm: FakeSwarm, socket: Path) -> None:
    told = "1 of 2 replicas are canaries: promote them or roll back"
    swarm.progress = [progress(RolloutState.CANARY, told, old=1)]

    ran = run(socket, "service", "update", "--force", "web")

    assert (ran.status, ran.out.splitlines()[-1]) == (0, f"verify: Service web holds: {told}")


@pytest.mark.parametrize("words", [("service", "history"), ("history",)])
def test_a_history_is_listed_the_newest_first(
    swarm: FakeSwarm, socket: Path, words: tuple[str, ...]
) -> None:
    swarm.revisions = [
        to_message(
            Revision(
                service_id=ServiceId("id-web"),
                number=number,
                spec=ServiceSpec(name="web", mode=Replicated(replicas=number)),
                spec_version=1,
                at=1e9,
                cause=cause,
            )
        )
        for number, cause in ((2, "scale"), (1, "create"))
    ]

    table = run(socket, *words, "web").out.splitlines()
    numbers = run(socket, *words, "-q", "web").out

    assert [line.split()[0] for line in table] == ["REVISION", "2", "1"]
    assert table[1].endswith("replicas 1 to 2")
    assert numbers == "2\n1\n"
