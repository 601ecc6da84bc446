"""Flags of services: what is done with them, and what is printed of them."""

from collections.abc import Callable
from typing import Any

from manager import layout
from manager.control import services
from swarm.api.v1 import control_pb2 as pb
from swarm.api.v1 import objects_pb2
from swarm.codec import unpack
from swarm.objects import Revision
from swarm.specs import ContainerSpec, ServiceSpec, TaskSpec
from tests.flags import stories
from tests.flags.asking import (
    asks,
    full,
    has,
    inspecting,
    is_asked,
    lines,
    listing,
    prints,
    waiting,
)
from tests.flags.lab import ID, Lab
from tests.flags.table import PLAN, REQUEST, Proof, Row

BUSY = "busybox"
Shown = Callable[[Any], object]


def _dry(command: str, rest: str) -> Row:
    """What would be done is asked for, and nothing is done."""

    def look(lab: Lab, _: str) -> None:
        lab.furnish()
        changes = pb.CreateServiceRequest, pb.UpdateServiceRequest
        for flags, planned in ((("--dry-run",), 1), (("-d",), 0)):
            assert lab.run(*command.split(), *flags, *rest.split()).status == 0
            assert len(lab.swarm.asked(pb.PlanServiceRequest)) == planned
            assert sum(len(lab.swarm.asked(kind)) for kind in changes) == 1 - planned

    return Row(command, "--dry-run", Proof(REQUEST, look))


def _check_revision(command: str, rest: str) -> Row:
    """Only what was planned on this revision is done."""

    def look(lab: Lab, _: str) -> None:
        lab.furnish()
        lab.swarm.services[ID].service.revision = 4
        words = (*command.split(), "-d", "--check-revision")
        assert "is at revision 4, not 3" in lab.refused(*words, "3", *rest.split(), furnish=False)
        assert lab.run(*words, "4", *rest.split()).status == 0
        assert len(lab.swarm.asked(pb.UpdateServiceRequest)) == 1

    return Row(command, "--check-revision", Proof(REQUEST, look))


def _rollback_to(lab: Lab, flag: str) -> None:
    """A service had three images; without a revision the one before comes back."""

    def back_at(*flags: str) -> str:
        lab.furnish()
        assert lab.run("service", "rollback", "-d", *flags, "web").status == 0
        number = lab.sent(pb.RollbackServiceRequest).revision
        first = ServiceSpec(name="web", task=TaskSpec(container=ContainerSpec(image="first")))
        world = stories.planned(first, stories.world_of("a"))
        for name in ("second", "third"):
            stories.go_on(world, 10)
            world.change(stories.WEB, stories.with_image(first, name))
            world.plan()
        stories.go_on(world, 10)
        key = layout.revision_key(stories.WEB, number)
        revision = unpack(Revision, world.keys[key][0]) if number else None
        world.commit_now(services.rollback(world.view, stories.WEB, 0, revision, now=world.now))
        return stories.image(world)

    assert back_at(flag, "1") == "first"
    assert back_at() == "second"


def _revisions(lab: Lab) -> None:
    spec = lab.swarm.services[ID].service.spec
    first = objects_pb2.Revision(service_id=ID, number=1, spec=spec, at=1e9, cause="create")
    second = objects_pb2.Revision(service_id=ID, number=2, at=1e9, cause="update")
    second.spec.CopyFrom(spec)
    for number in range(9):
        second.spec.labels[f"label-number-{number}"] = "x" * 9
    lab.swarm.revisions = [second, first]


def _runs(lab: Lab) -> None:
    view = lab.swarm.services[ID]
    view.service.spec.replicatedjob.total = 1
    view.ledger.runs.append(objects_pb2.Run(number=4, due_at=1e9, started_at=1e9))


def _list_of(command: str, given: Callable[[Lab], None], first: str) -> tuple[Row, Row]:
    """A list whose key is not an id."""
    return (
        prints(
            command, "--format", ("--format", "{{json .}}"), lambda ran: ran.out[0], "{",
            rest="web", given=given,
        ),
        prints(command, "--quiet", "-q", lambda ran: lines(ran)[0], first, rest="web", given=given),
    )  # fmt: skip


def _history(command: str) -> tuple[Row, ...]:
    whole = has("label-number-8")
    return (
        *_list_of(command, _revisions, "2"),
        prints(command, "--no-trunc", "--no-trunc", whole, True, rest="web", given=_revisions),
    )


def _logs(flag: str, words: str, shown: Shown, expected: object) -> Row:
    return prints("service logs", flag, words, shown, expected, rest="web")


def _sent(flag: str, words: str, shown: Shown, expected: object) -> Row:
    kind = pb.ReadLogsRequest
    return asks("service logs", flag, words, kind, shown, expected, rest="web")


ROWS: tuple[Row, ...] = (
    _dry("service create", BUSY),
    _dry("service update", "--label-add a=b web"),
    _dry("service scale", "web=5"),
    _check_revision("service update", "--label-add a=b web"),
    _check_revision("service scale", "web=5"),
    *waiting("service rollback"),
    *waiting("service promote"),
    Row("service rollback", "--to", Proof(PLAN, _rollback_to)),
    *_history("service history"),
    *_history("history"),
    *_list_of("service runs", _runs, "4"),
    *listing("service ls", "label=tier=front", 1),
    *listing("service ps", "desired-state=shutdown", 1, "web"),
    *full("service ps", "web"),
    *inspecting("service inspect", "web"),
    asks("service scale", "--detach", "-d", pb.WatchServiceRequest, is_asked, False, rest="web=5"),
    _logs("--details", "--details", has("stream=stdout"), True),
    _logs("--no-resolve", "--no-resolve", has("@alpha"), False),
    _logs("--no-task-ids", "--no-task-ids", has("web.1@alpha"), True),
    _logs("--no-trunc", "--no-trunc", has("t" * 25), True),
    _logs("--raw", "--raw", lambda ran: ran.out, "hello\n"),
    _logs("--timestamps", "-t", has("2023-11-14T22:13:20.25"), True),
    _sent("--follow", "-f", lambda r: r.follow, True),
    _sent("--since", "--since 1700000000", lambda r: r.since, 1_700_000_000.0),
    _sent("--tail", "-n 3", lambda r: r.tail, 3),
)
