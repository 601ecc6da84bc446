"""`service runs|trigger` tell of a job's runs, and start one."""

import json
from pathlib import Path

import pytest

from swarm.api.v1 import control_pb2
from swarm.codec import to_message
from swarm.errors import Refused
from swarm.objects import Ledger, Run
from swarm.specs import Replicated, ReplicatedJob, Schedule, ServiceSpec
from swarm.states import RunState
from swarmctl.runs import next_line
from tests.swarmctl.answers import NOW
from tests.swarmctl.fake_swarm import FakeSwarm
from tests.swarmctl.running import run


@pytest.fixture(autouse=True)
def backup(swarm: FakeSwarm) -> control_pb2.ServiceView:
    swarm.add_service(ServiceSpec(name="web", mode=Replicated()), service_id="id-of-web")
    spec = ServiceSpec(
        name="backup", mode=ReplicatedJob(total=3), schedule=Schedule(expression="@hourly")
    )
    swarm.add_service(spec, service_id="id-of-backup")
    view = swarm.services["id-of-backup"]
    ledger = Ledger(
        service_id="id-of-backup",
        runs=(
            Run(
                number=4,
                due_at=NOW - 7200,
                started_at=NOW - 7200,
                ended_at=NOW - 7140,
                state=RunState.COMPLETE,
                total=3,
                completed=3,
            ),
            Run(number=5, due_at=NOW - 3600, started_at=NOW - 3600, total=3, completed=1),
            Run(
                number=6,
                due_at=NOW,
                started_at=NOW,
                ended_at=NOW,
                state=RunState.SKIPPED,
                message="run 5 was still going on",
            ),
        ),
    )
    view.ledger.CopyFrom(to_message(ledger))
    view.next_firing_at = NOW + 3600
    return view


def test_runs_are_listed_newest_first(socket: Path) -> None:
    lines = run(socket, "service", "runs", "backup").out.splitlines()

    assert lines[0].split() == ["RUN", "DUE", "STARTED", "ENDED", "STATE", "TASKS"]
    assert [line.split()[0] for line in lines[1:]] == ["6", "5", "4"]
    assert lines[1].split()[-1] == "Skipped"
    assert lines[2].split()[-2:] == ["Running", "1/3"]
    assert lines[3].split()[-2:] == ["Complete", "3/3"]


def test_the_numbers_of_runs_are_for_scripts(socket: Path) -> None:
    assert run(socket, "service", "runs", "-q", "backup").out == "6\n5\n4\n"
    shown = run(socket, "service", "runs", "--format", "json", "backup").out.splitlines()
    assert json.loads(shown[0])["Message"] == "run 5 was still going on"


def test_the_next_run_is_told_beside_the_table(socket: Path) -> None:
    assert "Next run in" in run(socket, "service", "runs", "backup").err
    assert run(socket, "service", "runs", "-q", "backup").err == ""
    assert next_line(NOW + 300, now=NOW).startswith("Next run in 5 minutes, at 20")
    assert next_line(0.0, now=NOW) == ""


def test_what_is_no_job_has_no_runs(socket: Path) -> None:
    done = run(socket, "service", "runs", "web")

    assert done.status == 1
    assert "service web is no job" in done.err


def test_a_run_is_started_by_hand(socket: Path, swarm: FakeSwarm) -> None:
    assert run(socket, "service", "trigger", "backup").out == "7\n"
    (asked,) = swarm.asked(control_pb2.TriggerServiceRequest)
    assert asked.service_id == "id-of-backup"


def test_what_the_manager_refuses_is_told(socket: Path, swarm: FakeSwarm) -> None:
    swarm.refuse("TriggerService", Refused("service backup has no schedule", hint="update it"))

    done = run(socket, "service", "trigger", "backup")

    assert done.status == 1
    assert "has no schedule" in done.err
