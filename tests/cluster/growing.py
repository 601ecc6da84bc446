"""A swarm whose manager takes no tasks, and to which hosts come while a test looks."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tests.cluster.hosts import Host, Lan, wait_for
from tests.images import docker_archive

SERVE = ("sh", "-c", "trap 'exit 0' TERM; while :; do sleep 3600 & wait; done")


class Growing:
    """The first host manages, the next `workers` hosts work, and the others have yet to join.

    `own` are flags of one host's daemon, by the host's name.
    """

    def __init__(
        self, lan: Lan, *, workers: int, own: Mapping[str, tuple[str, ...]] | None = None
    ) -> None:
        self.lan = lan
        self.manager, *others = lan.hosts
        self.workers, (self.late, *_) = others[:workers], others[workers:]
        registry = lan.start_registry()
        archive = docker_archive(lan.base / "busy.tar", f"{registry}/busy:1", cmd=SERVE)
        self.image = lan.push(archive, "busy:1")
        for host in lan.hosts:
            host.start(*(own or {}).get(host.name, ()))
        manager = self.manager
        manager.ctl("init", "--advertise-addr", manager.ip, "--availability", "pause")
        self.token = manager.ctl("join-token", "-q", "worker").stdout.strip()
        for host in self.workers:
            self.join(host)
        self.wait_ready(1 + workers)

    def join(self, host: Host) -> None:
        host.ctl(
            "join", "--token", self.token, "--advertise-addr", host.ip, f"{self.manager.ip}:2377"
        )

    @contextmanager
    def joined(self, host: Host) -> Iterator[None]:
        """That host in the swarm, for a while; whatever runs there is stopped in the end."""
        before = self.ready()
        self.join(host)
        try:
            yield
        finally:
            host.ctl("leave")
            self.manager.ctl("node", "rm", "--force", host.name)
            self.wait_ready(before)

    def ready(self) -> int:
        lines = self.manager.ctl("node", "ls", "--format", "{{.Status}}").stdout
        return lines.split().count("Ready")

    def wait_ready(self, count: int) -> None:
        wait_for(f"{count} nodes ready", lambda: self.ready() == count, within_s=60)

    def running(self, service: str) -> list[str]:
        """The hosts of the tasks that should and do run."""
        form = "{{.Node}} {{.DesiredState}} {{.CurrentState}}"
        done = self.manager.ctl("service", "ps", service, "--format", form, check=False)
        lines = (line.split(" ") for line in done.stdout.splitlines())
        return [node for node, desired, current, *_ in lines if desired == current == "Running"]

    def tasks(self, service: str) -> list[dict[str, Any]]:
        """The lines of `service ps`."""
        form = ("--no-trunc", "--format", "{{json .}}")
        shown = self.manager.ctl("service", "ps", service, *form, check=False).stdout
        return [json.loads(line) for line in shown.splitlines()]

    def create(self, name: str, *flags: str) -> None:
        self.manager.ctl("service", "create", "-q", "--name", name, *flags)

    def remove(self, *names: str) -> None:
        self.manager.ctl("service", "rm", *names)
