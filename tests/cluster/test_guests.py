"""Containers that somebody runs on one node, in a network of the swarm: two real nodes."""

import os
import signal
from pathlib import Path

import pytest

from tests.callers import SERVE, page, resolve
from tests.cluster.hosts import Host, Lan, wait_for
from tests.images import docker_archive

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]


class Pair:
    """A manager and a worker, an attachable network, and a service in it."""

    def __init__(self, lan: Lan) -> None:
        self.manager, self.worker = lan.hosts
        registry = lan.start_registry()
        archive = docker_archive(lan.base / "web.tar", f"{registry}/web:1", cmd=SERVE)
        self.image = lan.push(archive, "web:1")
        for host in lan.hosts:
            host.start()
            host.ctl("pull", "-q", self.image)
        self.manager.ctl("init", "--advertise-addr", self.manager.ip)
        token = self.manager.ctl("join-token", "-q", "worker").stdout.strip()
        address = f"{self.manager.ip}:2377"
        self.worker.ctl("join", "--token", token, "--advertise-addr", self.worker.ip, address)
        shown = ("node", "ls", "--format", "{{.Status}}")
        wait_for(
            "both nodes are ready",
            lambda: self.manager.ctl(*shown).stdout.split() == ["Ready", "Ready"],
            within_s=60,
        )
        self.manager.ctl("network", "create", "--attachable", "--subnet", "10.77.0.0/24", "mesh")
        self.manager.ctl("network", "create", "closed")
        self.manager.ctl(
            "service", "create", "-q", "--name", "db", "--network", "mesh", "--constraint",
            f"node.hostname=={self.manager.name}", self.image, timeout=120,
        )  # fmt: skip

    def run(self, host: Host, name: str, *flags: str) -> int:
        """Run a container that serves its host name; its first process."""
        host.ctl("run", "-d", "--name", name, "--hostname", name, *flags, self.image)
        return self.pid(host, name)

    def pid(self, host: Host, name: str) -> int:
        [found] = host.json("inspect", "--type", "container", name)
        return found["State"]["Pid"]

    def address(self, host: Host, name: str, network: str = "mesh") -> str:
        [found] = host.json("inspect", "--type", "container", name)
        return found["NetworkSettings"]["Networks"][network]["IPAddress"]


@pytest.fixture(scope="module")
def pair(lan: Lan) -> Pair:
    return Pair(lan)


def answers(place: int | Path, name: str) -> str:
    """What whoever has a name says, asked by that name."""
    try:
        return next((page(place, each).strip() for each in resolve(place, name)), "")
    except OSError:
        return ""


def awaited(place: int, name: str, expected: str) -> None:
    wait_for(f"{name} answers {expected}", lambda: answers(place, name) == expected, within_s=60)


def test_a_container_reaches_a_service_and_is_reached_from_another_node(pair: Pair) -> None:
    """1. A container on the worker reaches a service on the manager by its name.

    2. One on the manager reaches it by its name and its alias, and the other way round.
    3. It stops: nobody knows its name any more, and its address is free.
    """
    guest = pair.run(pair.worker, "guest", "--network", "mesh", "--network-alias", "www")
    wait_for("db answers", lambda: len(answers(guest, "db")) == 12, within_s=60)

    other = pair.run(pair.manager, "other", "--network", "mesh")
    for name in ("guest", "www", "guest.mesh"):
        awaited(other, name, "guest")
    awaited(guest, "other", "other")

    address = pair.address(pair.worker, "guest")
    pair.worker.ctl("stop", "-t", "0", "guest")
    wait_for("its name is gone", lambda: answers(other, "guest") == "", within_s=60)
    pair.manager.ctl(
        "run", "-d", "--name", "late", "--network", "mesh", "--ip", address, pair.image
    )
    pair.manager.ctl("rm", "-f", "late", "other")
    pair.worker.ctl("start", "guest")
    assert pair.address(pair.worker, "guest")
    pair.worker.ctl("rm", "-f", "guest")
    wait_for(
        "nobody is in it",
        lambda: "10.77.0.0/24: 2 of" in pair.manager.ctl("network", "inspect", "-v", "mesh").stdout,
        within_s=60,
    )


def test_what_cannot_be_joined_is_refused_with_the_reason(pair: Pair) -> None:
    taken = pair.run(pair.worker, "taken", "--network", "mesh", "--ip", "10.77.0.9")
    assert taken

    for flags, words in (
        (("--network", "closed"), "not manually attachable"),
        (("--network", "nowhere"), "network nowhere not found"),
        (("--network", "mesh", "--ip", "10.77.0.9"), "10.77.0.9 of network mesh is in use"),
        (("--network", "mesh", "--ip", "10.78.0.9"), "10.78.0.9 is not in a subnet"),
    ):
        done = pair.manager.ctl("run", "--rm", *flags, pair.image, "true", check=False)
        assert done.returncode == 125
        assert words in done.stderr
    done = pair.manager.ctl("network", "rm", "closed", check=False)
    assert done.returncode == 0
    pair.worker.ctl("rm", "-f", "taken")


def test_a_container_is_connected_while_it_runs_and_outlives_its_agent(pair: Pair) -> None:
    """The agent is killed, and its successor releases what ended meanwhile."""
    guest = pair.run(pair.worker, "guest")
    gone = pair.run(pair.worker, "gone", "--network", "mesh")
    assert gone
    pair.worker.ctl("network", "connect", "--alias", "probe", "mesh", "guest")
    other = pair.run(pair.manager, "other", "--network", "mesh")
    awaited(other, "probe", "guest")
    wait_for("db answers", lambda: len(answers(guest, "db")) == 12, within_s=60)

    killed = set(pair.worker.kill("agent.main"))
    os.kill(gone, signal.SIGKILL)
    awaited(other, "probe", "guest")
    wait_for(
        "the agent is back",
        lambda: set(pair.worker.pids_of("agent.main")) - killed,
        within_s=60,
    )
    wait_for("its name is gone", lambda: answers(other, "gone") == "", within_s=60)
    awaited(other, "guest", "guest")
    awaited(guest, "other", "other")

    pair.worker.ctl("network", "disconnect", "mesh", "guest")
    wait_for("its name is gone", lambda: answers(other, "probe") == "", within_s=60)
    pair.worker.ctl("rm", "-f", "guest", "gone")
    pair.manager.ctl("rm", "-f", "other")
