"""Flags that are refused, sent along, or change what is printed."""

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from swarm.api.v1 import control_pb2 as pb
from swarm.api.v1 import daemon_pb2, objects_pb2, specs_pb2
from swarmctl.io import emptying, starting
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
from tests.flags.table import OUTPUT, REQUEST, Proof, Row, refused

BUSY = "busybox"
Shown = Callable[[Any], object]
TOKEN = f"SWMTKN-1-{'0' * 50}-{'0' * 25}"


# -- the other commands of services --------------------------------------------------------


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


SERVICES: tuple[Row, ...] = (
    _dry("service create", BUSY),
    _dry("service update", "--label-add a=b web"),
    _dry("service scale", "web=5"),
    _check_revision("service update", "--label-add a=b web"),
    _check_revision("service scale", "web=5"),
    *waiting("service rollback"),
    *waiting("service promote"),
    asks(
        "service rollback",
        "--to",
        "--to 3",
        pb.RollbackServiceRequest,
        lambda r: r.revision,
        3,
        rest="-d web",
    ),
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


# -- nodes ---------------------------------------------------------------------------------


def _drain(lab: Lab, _: str) -> None:
    """Without -d the command waits until the node is empty."""
    lab.furnish()
    lab.swarm.tasks = []
    ran = lab.run("node", "update", "--availability", "drain", "beta")
    assert ran.out.endswith("Node beta is empty.\n")
    ran = lab.run("node", "update", "-d", "--availability", "drain", "beta")
    assert ran.out == "beta\n"
    assert not lab.swarm.asked(pb.ListTasksRequest)
    assert emptying.PERIOD_S > 0


def _node(flag: str, words: str, shown: Shown, expected: object) -> Row:
    kind = pb.UpdateNodeRequest
    return asks("node update", flag, words, kind, shown, expected, rest="-d beta")


NODES: tuple[Row, ...] = (
    *listing("node ls", "role=manager", 1),
    *listing("node ps", "desired-state=shutdown", 1, "alpha beta"),
    *full("node ps", "alpha"),
    *inspecting("node inspect", "beta"),
    asks("node rm", "--force", "-f", pb.RemoveNodeRequest, lambda r: r.force, True, rest="beta"),
    Row("node update", "--detach", Proof(OUTPUT, _drain)),
    _node(
        "--availability",
        "--availability pause",
        lambda r: r.spec.availability,
        specs_pb2.AVAILABILITY_PAUSE,
    ),
    _node("--drain-timeout", "--drain-timeout 90s", lambda r: r.spec.drain_timeout_s, 90.0),
    _node("--label-add", "--label-add disk=ssd", lambda r: r.spec.labels.get("disk"), "ssd"),
    _node("--label-rm", "--label-rm zone", lambda r: dict(r.spec.labels), {}),
    _node("--role", "--role manager", lambda r: r.spec.role, specs_pb2.ROLE_MANAGER),
    _node("--taint-add", "--taint-add x:no-execute", lambda r: len(r.spec.taints), 2),
    _node("--taint-rm", "--taint-rm gpu", lambda r: len(r.spec.taints), 0),
)


# -- the swarm -----------------------------------------------------------------------------


def _swarm(flag: str, words: str, shown: Shown, expected: object) -> tuple[Row, Row]:
    """A setting of the swarm, on `init` and on `update`."""
    first, later = daemon_pb2.InitRequest, pb.UpdateClusterRequest
    return (
        asks("init", flag, words, first, shown, expected),
        asks("update", flag, words, later, shown, expected),
    )


def _switch(flag: str, shown: Shown) -> tuple[Row, Row]:
    return _swarm(flag, flag, shown, True)


def _here(flag: str, words: str, shown: Shown, expected: object) -> tuple[Row, Row]:
    """A flag of `init` and `join` about this host."""
    join = f"--token {TOKEN} 10.0.0.1:2377"
    return (
        asks("init", flag, words, daemon_pb2.InitRequest, shown, expected),
        asks("join", flag, words, daemon_pb2.JoinRequest, shown, expected, rest=join),
    )


def _daemon(command: str, flag: str, *words: str, rest: str = "") -> Row:
    """A flag of the node daemon that `init` and `join` start where none runs."""

    def look(lab: Lab, _: str) -> None:
        started: list[str] = []

        def start(session: object, flags: starting.DaemonFlags, **_: object) -> None:
            started[:] = starting.arguments(flags)

        def line(*given: str) -> str:
            with patch.object(starting, "ensure_running", start):
                ran = lab.run(command, *given, *rest.split())
            assert ran.status == 0, ran.err
            return " ".join(started)

        assert line(flag, *words) == " ".join((flag, *words))
        assert flag not in line()

    return Row(command, flag, Proof(REQUEST, look))


_JOIN = f"--token {TOKEN} 10.0.0.1:2377"
_OF_DAEMON = {
    "--cgroup-parent": "mine",
    "--data-root": "/srv/swarm",
    "--hostname": "h1",
    "--insecure-registry": "reg:5000",
    "--node-generic-resource": "gpu=UUID1",
    "--label": "a=b",
    "--metrics-addr": "127.0.0.1:9999",
    "--run-root": "/run/other",
    "--userns-remap": "default",
}


def _token(lab: Lab, _: str) -> None:
    assert lab.run("join", "--token", TOKEN, "10.0.0.1:2377").status == 0
    [request] = lab.swarm.asked(daemon_pb2.JoinRequest)
    assert request.token == TOKEN
    assert "token" in lab.refused("join", "10.0.0.1:2377")


_LEADS_NOWHERE = {
    "--autolock": ("--autolock", "the data key"),
    "--external-ca": ("--external-ca protocol=cfssl,url=https://x", "own authority"),
    "--data-path-addr": ("--data-path-addr eth0", "no data path"),
    "--data-path-port": ("--data-path-port 4789", "no data path"),
    "--default-addr-pool": ("--default-addr-pool 10.0.0.0/8", "to give addresses to"),
    "--default-addr-pool-mask-length": ("--default-addr-pool-mask-length 24", "to give addresses"),
    "--force-new-cluster": ("--force-new-cluster", "has one manager"),
}

SWARM: tuple[Row, ...] = (
    *_swarm("--cert-expiry", "--cert-expiry 48h", lambda r: r.spec.cert_expiry_s, 172800.0),
    *_swarm(
        "--dispatcher-heartbeat", "--dispatcher-heartbeat 3s", lambda r: r.spec.heartbeat_s, 3.0
    ),
    *_swarm(
        "--task-history-limit", "--task-history-limit 2", lambda r: r.spec.task_history_limit, 2
    ),
    *_swarm(
        "--prometheus-url",
        "--prometheus-url http://p:9090",
        lambda r: r.spec.prometheus_url,
        "http://p:9090",
    ),
    *_switch("--rebalance-on-join", lambda r: r.spec.rebalance_on_join),
    *_here("--advertise-addr", "--advertise-addr 10.9.9.9", lambda r: r.advertise_addr, "10.9.9.9"),
    *_here(
        "--listen-addr", "--listen-addr 10.9.9.9:2377", lambda r: r.listen_addr, "10.9.9.9:2377"
    ),
    *_here(
        "--availability",
        "--availability drain",
        lambda r: r.availability,
        specs_pb2.AVAILABILITY_DRAIN,
    ),
    *(
        refused("init", flag, f"init {words}", reason)
        for flag, (words, reason) in _LEADS_NOWHERE.items()
    ),
    refused("update", "--autolock", "update --autolock", "the data key"),
    refused("update", "--external-ca", "update --external-ca x", "own authority"),
    refused(
        "join",
        "--data-path-addr",
        f"join --data-path-addr eth0 --token {TOKEN} 10.0.0.1:2377",
        "no data path",
    ),
    *(_daemon("init", flag, word) for flag, word in _OF_DAEMON.items()),
    *(_daemon("join", flag, word, rest=_JOIN) for flag, word in _OF_DAEMON.items()),
    Row("join", "--token", Proof(REQUEST, _token)),
    prints("join-token", "--quiet", "-q", lambda ran: ran.out, "SWMTKN-1-worker\n", rest="worker"),
    asks(
        "join-token",
        "--rotate",
        "--rotate",
        pb.GetJoinTokenRequest,
        lambda r: r.rotate,
        True,
        rest="worker",
    ),
    asks("leave", "--force", "-f", daemon_pb2.LeaveRequest, lambda r: r.force, True),
)

ROWS: tuple[Row, ...] = (*SERVICES, *NODES, *SWARM)
