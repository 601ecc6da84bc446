"""Flags that are refused, sent along, or change what is printed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

from swarm.api.v1 import control_pb2 as pb
from swarm.api.v1 import daemon_pb2, objects_pb2, specs_pb2
from swarm.specs import Global, ReplicatedJob
from swarmctl.io import emptying, starting
from tests.flags import stories
from tests.flags.asking import asks, has, lines, prints
from tests.flags.lab import ID, Lab, kernel
from tests.flags.table import KERNEL, OUTPUT, PLAN, REQUEST, Proof, Row, refused

BUSY = "busybox"
Shown = Callable[[Any], object]
TOKEN = f"SWMTKN-1-{'0' * 50}-{'0' * 25}"


# -- service create ------------------------------------------------------------------------


def _mode(lab: Lab, _: str) -> None:
    assert isinstance(lab.created("--mode", "global").mode, Global)
    assert stories.each_node(lab.created("--mode", "global")) == {"a": 1, "b": 1, "c": 1}
    assert len(stories.each_node(lab.created())) == 1
    assert isinstance(lab.created("--schedule", "@daily").mode, ReplicatedJob)


def _name(lab: Lab, _: str) -> None:
    assert stories.task_name(lab.created("--name", "api")) == {"api"}
    assert stories.task_name(lab.created()) == {"web"}


def _env_file(lab: Lab, _: str) -> None:
    file: Path = lab.directory / "env"
    file.write_text("FROM_FILE=1\nBOTH=file\n")
    env = kernel(lab.created("--env-file", str(file), "-e", "BOTH=flag")).env
    assert (env["FROM_FILE"], env["BOTH"]) == ("1", "flag")
    assert "FROM_FILE" not in kernel(lab.created()).env


def _with_auth(lab: Lab, _: str) -> None:
    """The login of the registry goes to the manager, and is no part of the spec."""
    (lab.directory / "config.json").write_text(
        json.dumps({"auths": {"reg.example:5000": {"auth": "dTpw"}}})
    )
    words = ("service", "create", "-d", "--name", "web")
    lab.run(*words, "--with-registry-auth", "reg.example:5000/app")
    [request] = lab.swarm.asked(pb.CreateServiceRequest)
    assert request.registry_auth
    lab.run(*words, "reg.example:5000/app")
    [request] = lab.swarm.asked(pb.CreateServiceRequest)
    assert not request.registry_auth


def _with_auth_on_update(lab: Lab, _: str) -> None:
    (lab.directory / "config.json").write_text(
        json.dumps({"auths": {"reg.example:5000": {"auth": "dTpw"}}})
    )
    lab.updated(lab.created(), "--with-registry-auth", "--image", "reg.example:5000/app")
    [request] = lab.swarm.asked(pb.UpdateServiceRequest)
    assert request.registry_auth


def _watched(request: object) -> bool:
    return request is not None


SERVICE_CREATE: tuple[Row, ...] = (
    Row("service create", "--mode", Proof(PLAN, _mode)),
    Row("service create", "--name", Proof(PLAN, _name)),
    Row("service create", "--env-file", Proof(KERNEL, _env_file)),
    Row("service create", "--with-registry-auth", Proof(REQUEST, _with_auth)),
    asks(
        "service create",
        "--no-resolve-image",
        "--no-resolve-image",
        pb.CreateServiceRequest,
        lambda r: r.resolve_image,
        False,
        rest=f"-d {BUSY}",
    ),
    asks("service create", "--detach", "-d", pb.WatchServiceRequest, _watched, False, rest=BUSY),
    prints("service create", "--quiet", "-q", has("converged"), False, rest=BUSY),
    refused(
        "service create", "--isolation", f"service create --isolation hyperv {BUSY}", "Windows"
    ),
    refused(
        "service create",
        "--credential-spec",
        f"service create --credential-spec file://x {BUSY}",
        "Windows",
    ),
    refused(
        "service create",
        "--endpoint-mode",
        f"service create --endpoint-mode dnsrr {BUSY}",
        "no addresses to resolve to",
    ),
)


# -- service update ------------------------------------------------------------------------


def _args(lab: Lab, _: str) -> None:
    base = lab.created()
    process = kernel(lab.updated(base, "--args", "run 'a b'")).config.process
    assert process is not None
    assert process.args == ("/entry", "run", "a b")


def _image(lab: Lab, _: str) -> None:
    base = lab.created()
    assert lab.updated(base, "--image", "new").task.container.image == "new"
    [request] = lab.swarm.asked(pb.UpdateServiceRequest)
    assert request.resolve_image
    lab.updated(base, "--image", "new", "--no-resolve-image")
    [request] = lab.swarm.asked(pb.UpdateServiceRequest)
    assert not request.resolve_image


def _force(lab: Lab, _: str) -> None:
    """Nothing but the force is another, and that is enough for new tasks."""

    def replaced(*words: str) -> int:
        base = lab.created()
        world = stories.planned(base, stories.world_of("a"))
        world.converge()
        world.change(stories.WEB, lab.updated(base, *words))
        world.plan()
        return stories.stopped(world)

    assert replaced("--force") == 1
    assert replaced() == 0


def _no_autoscale(lab: Lab, _: str) -> None:
    scaled = lab.created("--autoscale", "min=1,max=9,cpu=50")
    assert stories.scaled_by_use(lab.updated(scaled, "--no-autoscale")) is None
    assert stories.scaled_by_use(scaled) == 4


def _no_schedule(lab: Lab, _: str) -> None:
    job = lab.created("--schedule", "*/5 * * * *")
    assert stories.now_and_later(lab.updated(job, "--no-schedule"))[0] == 1
    assert stories.now_and_later(job)[0] == 0


def _rollback(lab: Lab, _: str) -> None:
    lab.furnish()
    assert lab.run("service", "update", "-d", "--rollback", "web").status == 0
    [request] = lab.swarm.asked(pb.RollbackServiceRequest)
    assert (request.service_id, request.version) == (ID, 7)
    assert not lab.swarm.asked(pb.UpdateServiceRequest)
    said = lab.refused("service", "update", "--rollback", "--replicas", "2", "web")
    assert "--rollback and --replicas exclude each other" in said


SERVICE_UPDATE: tuple[Row, ...] = (
    Row("service update", "--args", Proof(KERNEL, _args)),
    Row("service update", "--image", Proof(KERNEL, _image)),
    Row("service update", "--no-resolve-image", Proof(REQUEST, _image)),
    Row("service update", "--force", Proof(PLAN, _force)),
    Row("service update", "--no-autoscale", Proof(PLAN, _no_autoscale)),
    Row("service update", "--no-schedule", Proof(PLAN, _no_schedule)),
    Row("service update", "--rollback", Proof(REQUEST, _rollback)),
    Row("service update", "--with-registry-auth", Proof(REQUEST, _with_auth_on_update)),
    asks("service update", "--detach", "-d", pb.WatchServiceRequest, _watched, False, rest="web"),
    prints("service update", "--quiet", "-q", has("converged"), False, rest="web"),
    refused("service update", "--isolation", "service update --isolation hyperv web", "Windows"),
    refused(
        "service update", "--credential-spec", "service update --credential-spec x web", "Windows"
    ),
    refused(
        "service update",
        "--endpoint-mode",
        "service update --endpoint-mode dnsrr web",
        "no addresses to resolve to",
    ),
)


# -- the other commands of services --------------------------------------------------------


def _listing(command: str, chosen: str, wanted: int, rest: str = "") -> tuple[Row, ...]:
    """The flags that all lists have."""
    return (
        prints(
            command, "--filter", f"-f {chosen}", lambda ran: len(lines(ran)), wanted + 1, rest=rest
        ),
        prints(command, "--format", "--format x{{.ID}}", lambda ran: ran.out[0], "x", rest=rest),
        prints(command, "--quiet", "-q", lambda ran: " " in ran.out, False, rest=rest),
    )


def _full(command: str, rest: str = "") -> tuple[Row, ...]:
    return (
        prints(command, "--no-resolve", "--no-resolve", has("alpha"), False, rest=rest),
        prints(command, "--no-trunc", "--no-trunc", has("x" * 40), True, rest=rest),
    )


def _inspecting(command: str, rest: str) -> tuple[Row, ...]:
    return (
        prints(command, "--format", "-f x{{.ID}}", lambda ran: ran.out[0], "x", rest=rest),
        prints(command, "--pretty", "--pretty", has("ID:  "), True, rest=rest),
    )


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


def _waiting(command: str) -> tuple[Row, Row]:
    return (
        asks(command, "--detach", "-d", pb.WatchServiceRequest, _watched, False, rest="web"),
        prints(command, "--quiet", "-q", has("converged"), False, rest="web"),
    )


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
    *_waiting("service rollback"),
    *_waiting("service promote"),
    asks(
        "service rollback",
        "--to",
        "--to 3",
        pb.RollbackServiceRequest,
        lambda r: r.revision,
        3,
        rest="-d web",
    ),
    *_list_of("service history", _revisions, "2"),
    prints(
        "service history",
        "--no-trunc",
        "--no-trunc",
        has("label-number-8"),
        True,
        rest="web",
        given=_revisions,
    ),
    *_list_of("service runs", _runs, "4"),
    *_listing("service ls", "label=tier=front", 1),
    *_listing("service ps", "desired-state=shutdown", 1, "web"),
    *_full("service ps", "web"),
    *_inspecting("service inspect", "web"),
    asks("service scale", "--detach", "-d", pb.WatchServiceRequest, _watched, False, rest="web=5"),
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
    *_listing("node ls", "role=manager", 1),
    *_listing("node ps", "desired-state=shutdown", 1, "alpha beta"),
    *_full("node ps", "alpha"),
    *_inspecting("node inspect", "beta"),
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

ROWS: tuple[Row, ...] = (*SERVICE_CREATE, *SERVICE_UPDATE, *SERVICES, *NODES, *SWARM)
