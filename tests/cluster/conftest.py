"""A swarm of four hosts, made once for each module that asks for it."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.hosts import Host, Lan, wait_for
from tests.images import docker_archive

# Ends at once on SIGTERM, says something first.
SERVE = ("sh", "-c", "echo started; trap 'exit 0' TERM; while :; do sleep 3600 & wait; done")


PS = "{{.ID}} {{.Node}} {{.DesiredState}} {{.CurrentState}}"


class Swarm:
    """Four hosts, of which the first is the manager, and an image in a registry."""

    def __init__(self, lan: Lan) -> None:
        self.lan = lan
        self.manager, *self.workers = lan.hosts
        registry = lan.start_registry()
        archive = docker_archive(lan.base / "busy.tar", f"{registry}/busy:1", cmd=SERVE)
        self.image = lan.push(archive, "busy:1")
        for host in lan.hosts:
            host.start()
        self.manager.ctl("init", "--advertise-addr", self.manager.ip)
        self.token = self.manager.ctl("join-token", "-q", "worker").stdout.strip()
        for host in self.workers:
            host.ctl(
                "join", "--token", self.token, "--advertise-addr", host.ip,
                f"{self.manager.ip}:2377",
            )  # fmt: skip
        wait_for("four nodes ready", lambda: len(self.ready()) == 4, within_s=60)

    def ready(self) -> list[str]:
        """Hostnames of the nodes that are ready."""
        lines = self.manager.ctl("node", "ls", "--format", "{{.Hostname}} {{.Status}}").stdout
        return [line.split()[0] for line in lines.splitlines() if line.endswith("Ready")]

    def running(self, service: str) -> list[dict[str, str]]:
        """Tasks that should and do run."""
        done = self.manager.ctl(
            "service", "ps", service, "--no-trunc", "--format", PS, check=False,
        )  # fmt: skip
        found: list[dict[str, str]] = []
        for line in done.stdout.splitlines():
            task, node, desired, current = line.split(" ", 3)
            if desired == "Running" and current.startswith("Running"):
                found.append({"id": task, "node": node})
        return found

    def wait_running(self, service: str, count: int, *, within_s: float) -> None:
        """Wait until exactly `count` tasks run."""
        wait_for(
            f"{count} tasks of {service} run",
            lambda: len(self.running(service)) == count,
            within_s=within_s,
            every_s=0.2,
        )

    def container_pids(self) -> dict[str, int]:
        """Process 1 of every container of every host."""
        return {task: pid for host in self.lan.hosts for task, pid in host.containers().items()}

    def host(self, name: str) -> Host:
        """The host with that name."""
        return next(each for each in self.lan.hosts if each.name == name)


@pytest.fixture(scope="module")
def swarm() -> Iterator[Swarm]:
    lan = Lan(Path(tempfile.mkdtemp(prefix="swarm-cluster-")), hosts=4)
    try:
        yield Swarm(lan)
    finally:
        lan.close()


@pytest.fixture(scope="module")
def lan() -> Iterator[Lan]:
    """Two bare hosts."""
    lan = Lan(Path(tempfile.mkdtemp(prefix="swarm-cluster-")), hosts=2)
    try:
        yield lan
    finally:
        lan.close()
