"""Flags of the swarm as a whole, and of the host that becomes part of it."""

from collections.abc import Callable
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from msgspec import structs

from agent.io.host import describe
from manager import layout
from manager.ca.issuing import BACK_DATED_S
from manager.dispatch.sessions import Sessions, heartbeat_period
from manager.newcomers import is_wanted
from swarm.api.v1 import control_pb2 as pb
from swarm.api.v1 import daemon_pb2
from swarm.certificates import load_certificate, validity
from swarm.codec import from_message
from swarm.ids import ClusterId, NodeId
from swarm.objects import Cluster
from swarm.specs import Availability, ClusterSpec, GenericResource, Replicated, Role, ServiceSpec
from swarmctl.io import starting
from swarmd.io.founding import Foundation
from swarmd.main import parse
from swarmd.parts import agent_config
from swarmd.settings import Membership, Settings
from tests.flags import stories
from tests.flags.asking import asks, prints
from tests.flags.lab import Lab, Planned
from tests.flags.stories import world_of
from tests.flags.table import PLAN, REQUEST, Proof, Row, elsewhere, refused

Shown = Callable[[Any], object]
TOKEN = f"SWMTKN-1-{'0' * 50}-{'0' * 25}"
_JOIN = f"--token {TOKEN} 10.0.0.1:2377"


def _swarm(
    flag: str,
    words: str,
    shown: Callable[[ClusterSpec], object],
    expected: object,
    *,
    where: str = REQUEST,
) -> tuple[Row, Row]:
    """A setting of the swarm, on `init` and on `update`."""

    def of(request: Any) -> object:
        return shown(from_message(ClusterSpec, request.spec))

    return (
        asks("init", flag, words, daemon_pb2.InitRequest, of, expected, where=where),
        asks("update", flag, words, pb.UpdateClusterRequest, of, expected, where=where),
    )


def _world(spec: ClusterSpec) -> Planned:
    world = world_of("a")
    world.write((layout.CLUSTER, Cluster(id=ClusterId("c"), spec=spec)))
    return world


def _certified(spec: ClusterSpec) -> int:
    """How long the certificate of a new swarm's manager is good for, but for its back-dating."""
    with TemporaryDirectory() as directory:
        address = "10.0.0.1:2377"
        founded = Foundation(
            Settings(data_root=directory), spec, listen_addr=address, advertise_addr=address
        )
    begins, ends = validity(load_certificate(founded.identity.certificate))
    return round(ends - begins - min(BACK_DATED_S, spec.cert_expiry_s / 10))


def _patience(spec: ClusterSpec) -> float | None:
    """After how many seconds of silence a node is given up."""
    sessions = Sessions()
    period_s = heartbeat_period(spec.heartbeat_s, 1)
    sessions.begin(NodeId("a"), "s", heartbeat_s=period_s, now=0.0)
    return sessions.next_deadline()


def _remembered(spec: ClusterSpec) -> int:
    """How many attempts are kept of a task that failed again and again."""
    world = stories.planned(ServiceSpec(name="web"), _world(spec))
    for _ in range(12):
        world.converge()
        stories.fail(world)
        world.plan()
        world.wait(60.0)
    return len(world.view.tasks_of(stories.WEB))


def _spreads(spec: ClusterSpec) -> bool:
    """Whether the leader moves tasks to a node that joins."""
    return is_wanted(_world(spec).view)


def _here(
    flag: str, words: str, shown: Shown, expected: object, *, where: str = REQUEST
) -> tuple[Row, Row]:
    """A flag of `init` and `join` about this host."""
    first, later = daemon_pb2.InitRequest, daemon_pb2.JoinRequest
    return (
        asks("init", flag, words, first, shown, expected, where=where),
        asks("join", flag, words, later, shown, expected, rest=_JOIN, where=where),
    )


def _taken(request: Any) -> int:
    """How many of two tasks the node takes that was made or let in."""
    world = world_of("a")
    world.set_node(NodeId("a"), availability=Availability(request.availability))
    return sum(stories.places(stories.planned(_two(), world)).values())


def _reached(request: Any) -> str:
    """Where the agent of the node that was made or let in says that its tasks are reached."""
    membership = Membership(
        node_id=NodeId("a"),
        cluster_id=ClusterId("c"),
        role=Role.WORKER,
        listen_addr="10.0.0.1:2377",
        advertise_addr="10.0.0.1:2377",
        data_path_addr=request.data_path_addr,
    )
    return describe(agent_config(Settings(), membership, hostname="h"), ()).data_path_addr


def _two() -> ServiceSpec:
    return ServiceSpec(name="web", mode=Replicated(replicas=2))


def _daemon(command: str, flag: str, word: str, wanted: dict[str, object], rest: str = "") -> Row:
    """A flag of the node daemon that `init` and `join` start where none runs."""

    def look(lab: Lab, _: str) -> None:
        started: list[str] = []

        def start(session: object, flags: starting.DaemonFlags, **_: object) -> None:
            started[:] = starting.arguments(flags)

        def settings(*given: str) -> Settings:
            with patch.object(starting, "ensure_running", start):
                ran = lab.run(command, *given, *rest.split())
            assert ran.status == 0, ran.err
            return parse(started)

        assert settings(flag, word) == structs.replace(Settings(), **wanted)
        assert settings() == Settings()

    return Row(command, flag, Proof(REQUEST, look))


_OF_DAEMON: dict[str, tuple[str, dict[str, object]]] = {
    "--cgroup-parent": ("mine", {"cgroup_parent": "mine"}),
    "--data-root": ("/srv/swarm", {"data_root": "/srv/swarm"}),
    "--docker-addr": ("10.0.0.1:2376", {"docker_addr": "10.0.0.1:2376"}),
    "--docker-socket": ("/run/d.sock", {"docker_socket": "/run/d.sock"}),
    "--hostname": ("h1", {"hostname": "h1"}),
    "--insecure-registry": ("reg:5000", {"insecure_registries": ("reg:5000",)}),
    "--node-generic-resource": (
        "gpu=UUID1",
        {"generic_resources": (GenericResource(kind="gpu", names=("UUID1",)),)},
    ),
    "--label": ("a=b", {"labels": {"a": "b"}}),
    "--metrics-addr": ("127.0.0.1:9999", {"metrics_addr": "127.0.0.1:9999"}),
    "--run-root": ("/run/other", {"run_root": "/run/other"}),
    "--userns-remap": ("default", {"userns_remap": "default"}),
}


def _token(lab: Lab, _: str) -> None:
    assert lab.run("join", "--token", TOKEN, "10.0.0.1:2377").status == 0
    [request] = lab.swarm.asked(daemon_pb2.JoinRequest)
    assert request.token == TOKEN
    assert "token" in lab.refused("join", "10.0.0.1:2377")


_LEADS_NOWHERE = {
    "--autolock": ("--autolock", "the data key"),
    "--external-ca": ("--external-ca protocol=cfssl,url=https://x", "own authority"),
    "--force-new-cluster": ("--force-new-cluster", "has one manager"),
}

ROWS: tuple[Row, ...] = (
    *_swarm("--cert-expiry", "--cert-expiry 48h", _certified, 172800),
    *_swarm("--dispatcher-heartbeat", "--dispatcher-heartbeat 3s", _patience, 9.0),
    *_swarm("--task-history-limit", "--task-history-limit 2", _remembered, 2, where=PLAN),
    *_swarm("--rebalance-on-join", "--rebalance-on-join", _spreads, True, where=PLAN),
    asks(
        "init",
        "--prometheus-url",
        "--prometheus-url http://p:9090",
        daemon_pb2.InitRequest,
        lambda r: r.spec.prometheus_url,
        "http://p:9090",
    ),
    elsewhere(
        "update",
        "--prometheus-url",
        PLAN,
        "tests/cluster/test_forecasts.py::test_a_service_follows_what_prometheus_says",
    ),
    *_here("--advertise-addr", "--advertise-addr 10.9.9.9", lambda r: r.advertise_addr, "10.9.9.9"),
    *_here(
        "--listen-addr", "--listen-addr 10.9.9.9:2377", lambda r: r.listen_addr, "10.9.9.9:2377"
    ),
    *_here("--data-path-addr", "--data-path-addr 10.8.8.8", _reached, "10.8.8.8"),
    *_here("--availability", "--availability drain", _taken, 0, where=PLAN),
    *(
        refused("init", flag, f"init {words}", reason)
        for flag, (words, reason) in _LEADS_NOWHERE.items()
    ),
    refused("update", "--autolock", "update --autolock", "the data key"),
    refused("update", "--external-ca", "update --external-ca x", "own authority"),
    *(_daemon("init", flag, *each) for flag, each in _OF_DAEMON.items()),
    *(_daemon("join", flag, *each, rest=_JOIN) for flag, each in _OF_DAEMON.items()),
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
