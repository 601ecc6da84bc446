"""Debian's Prometheus finds what runs by asking the engine, as it asks Docker, and scrapes it.

It runs as people run it: a service in the network of what it watches, with the socket mounted.
"""

import contextlib
import json
import os
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.network.io import namespaces
from tests.cluster.hosts import Host, Lan, sh, wait_for
from tests.images import docker_archive

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

LIBRARIES = ("/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2")
METRICS = ("sh", "-c", "echo 'answered{who=\"web\"} 42' >/tmp/metrics; exec httpd -f -p 80 -h /tmp")
LONE = ("sh", "-c", "echo 'answered{who=\"lone\"} 7' >/tmp/metrics; exec httpd -f -p 80 -h /tmp")
PORT = 9090

CONFIG = """
global: {scrape_interval: 1s}
scrape_configs:
- job_name: nodes
  dockerswarm_sd_configs: [{host: unix:///docker.sock, role: nodes, refresh_interval: 1s}]
  relabel_configs:
  - source_labels: [__meta_dockerswarm_node_address]
    target_label: __address__
    replacement: "$1:9323"
  - {source_labels: [__meta_dockerswarm_node_hostname], target_label: instance}
- job_name: by-tls
  dockerswarm_sd_configs:
  - host: https://HOST:2376
    role: nodes
    refresh_interval: 1s
    tls_config: {ca_file: /certs/root.pem, cert_file: /certs/node.pem, key_file: /certs/node.pem}
  relabel_configs:
  - source_labels: [__meta_dockerswarm_node_address]
    target_label: __address__
    replacement: "$1:9323"
- job_name: services
  dockerswarm_sd_configs: [{host: unix:///docker.sock, role: services, refresh_interval: 1s}]
  relabel_configs:
  - {source_labels: [__meta_dockerswarm_service_label_scrape], regex: "yes", action: keep}
  - {source_labels: [__meta_dockerswarm_network_name], regex: watched, action: keep}
  - {source_labels: [__meta_dockerswarm_service_name], target_label: instance}
- job_name: tasks
  dockerswarm_sd_configs: [{host: unix:///docker.sock, role: tasks, refresh_interval: 1s}]
  relabel_configs:
  - {source_labels: [__meta_dockerswarm_task_desired_state], regex: running, action: keep}
  - {source_labels: [__meta_dockerswarm_service_label_scrape], regex: "yes", action: keep}
  - {source_labels: [__meta_dockerswarm_network_name], regex: watched, action: keep}
  - {source_labels: [__meta_dockerswarm_task_slot], target_label: slot}
- job_name: containers
  docker_sd_configs: [{host: unix:///docker.sock, refresh_interval: 1s}]
  relabel_configs:
  - {source_labels: [__meta_docker_container_label_scrape], regex: "yes", action: keep}
  - source_labels: [__meta_docker_port_public]
    target_label: __address__
    replacement: "HOST:$1"
  - {source_labels: [__meta_docker_container_name], target_label: instance}
"""


class Watched:
    """A manager and a worker; Prometheus is the service `prom` on the manager."""

    def __init__(self, lan: Lan) -> None:
        self.manager, self.worker = lan.hosts
        self.image = "busy:1"
        archive = docker_archive(lan.base / "busy.tar", self.image)
        self.manager.start("--docker-addr", f"{self.manager.ip}:2376")
        self.worker.start()
        self.manager.ctl("init", "--advertise-addr", self.manager.ip)
        token = self.manager.ctl("join-token", "-q", "worker").stdout.strip()
        self.worker.ctl(
            "join", "--token", token, "--advertise-addr", self.worker.ip,
            f"{self.manager.ip}:2377",
        )  # fmt: skip
        shown = ("node", "ls", "--format", "{{.Status}}")
        wait_for(
            "both nodes are ready",
            lambda: self.manager.ctl(*shown).stdout.split() == ["Ready", "Ready"],
            within_s=60,
        )
        for host in lan.hosts:
            wait_for(
                "an image is loaded",
                lambda host=host: self._loaded(host, archive),
                within_s=60,
            )
        self.config = lan.base / "prometheus.yml"
        self.config.write_text(CONFIG.replace("HOST", self.manager.ip))

    def _loaded(self, host: Host, archive: Path) -> bool:
        return host.ctl("image", "load", "-i", str(archive), check=False).returncode == 0

    def docker(self, *args: str) -> str:
        """Docker's client on the manager."""
        return sh("docker", "-H", f"unix://{self.manager.run_root}/docker.sock", *args).stdout

    def start_prometheus(self) -> None:
        """Run it, and wait until it answers."""
        binds = {"/usr/bin/prometheus": "/bin/prometheus", str(self.config): "/prometheus.yml"}
        binds |= {each: each for each in LIBRARIES}
        binds[f"{self.manager.data_root}/certificates"] = "/certs"
        mounts = [f"type=bind,src={source},dst={target},ro" for source, target in binds.items()]
        mounts.append(f"type=bind,src={self.manager.run_root}/docker.sock,dst=/docker.sock")
        self.docker(
            "service", "create", "-d", "-q", "--name", "prom", "--network", "watched",
            "--constraint", "node.role==manager",
            "--publish", f"mode=host,target=9090,published={PORT}",
            *(word for mount in mounts for word in ("--mount", mount)), self.image,
            "prometheus", "--config.file=/prometheus.yml", "--storage.tsdb.path=/tmp/p",
        )  # fmt: skip
        wait_for("Prometheus answers", lambda: self.ask("api/v1/targets"), within_s=60, every_s=0.2)

    def ask(self, path: str) -> Any:
        """What its API says; None while it does not."""
        netns = os.open(self.manager.network, os.O_RDONLY | os.O_CLOEXEC)
        try:
            with contextlib.suppress(OSError), namespaces.entered(netns):
                url = f"http://{self.manager.ip}:{PORT}/{path}"
                with urllib.request.urlopen(url, timeout=10) as answer:
                    return json.load(answer)["data"]
        finally:
            os.close(netns)
        return None

    def values(self, query: str) -> list[dict[str, str]]:
        """The labels of every series, with its value under `value`."""
        found = self.ask("api/v1/query?query=" + urllib.parse.quote(query)) or {"result": []}
        return [each["metric"] | {"value": each["value"][1]} for each in found["result"]]

    def targets(self, job: str) -> list[dict[str, Any]]:
        """What it has found and kept."""
        found = self.ask("api/v1/targets?state=active") or {"activeTargets": []}
        return [each for each in found["activeTargets"] if each["labels"]["job"] == job]

    def dropped(self) -> list[dict[str, str]]:
        """What it has found and was told to leave."""
        found = self.ask("api/v1/targets?state=dropped") or {"droppedTargets": []}
        return [each["discoveredLabels"] for each in found["droppedTargets"]]


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    lan = Lan(Path(tempfile.mkdtemp(prefix="swarm-cluster-")), hosts=2)
    try:
        found = Watched(lan)
        found.docker("network", "create", "-d", "overlay", "--attachable", "watched")
        found.docker(
            "service", "create", "-d", "-q", "--name", "web", "--label", "scrape=yes",
            "--replicas", "2", "--network", "watched", found.image, *METRICS,
        )  # fmt: skip
        found.docker(
            "run", "-d", "--name", "lone", "--label", "scrape=yes", "--publish", "8077:80",
            found.image, *LONE,
        )  # fmt: skip
        found.start_prometheus()
        yield found
    finally:
        lan.close()


def test_every_node_is_found_and_scraped(watched: Watched) -> None:
    wait_for(
        "both nodes are up",
        lambda: (
            {x["instance"] for x in watched.values('up{job="nodes"} == 1')} >= {"host1", "host2"}
        ),
        within_s=60,
        every_s=0.2,
    )

    def ready() -> dict[str, dict[str, str]]:
        labels = [each["discoveredLabels"] for each in watched.targets("nodes")]
        found = {each["__meta_dockerswarm_node_hostname"]: each for each in labels}
        states = {each["__meta_dockerswarm_node_status"] for each in labels}
        return found if found.keys() == {"host1", "host2"} and states == {"ready"} else {}

    found = wait_for("both are told to be ready", ready, within_s=60, every_s=0.2)
    assert found["host1"]["__meta_dockerswarm_node_role"] == "manager"
    assert found["host1"]["__meta_dockerswarm_node_manager_leader"] == "true"
    assert found["host2"]["__meta_dockerswarm_node_role"] == "worker"
    assert found["host2"]["__meta_dockerswarm_node_address"] == watched.worker.ip


def test_the_same_is_found_from_afar_with_a_managers_certificate(watched: Watched) -> None:
    wait_for(
        "both nodes are up",
        lambda: len(watched.values('up{job="by-tls"} == 1')) == 2,
        within_s=60,
        every_s=0.2,
    )


def test_a_service_is_found_and_scraped_at_its_virtual_address(watched: Watched) -> None:
    wait_for(
        "the service answers",
        lambda: [x["value"] for x in watched.values('answered{job="services"}')] == ["42"],
        within_s=60,
        every_s=0.2,
    )

    [target] = watched.targets("services")
    labels = target["discoveredLabels"]
    assert labels["__meta_dockerswarm_service_name"] == "web"
    assert labels["__meta_dockerswarm_service_mode"] == "replicated"
    assert labels["__meta_dockerswarm_network_name"] == "watched"


def test_tasks_are_found_and_scraped_on_every_node_and_follow_a_scale(watched: Watched) -> None:
    def slots() -> list[str]:
        return sorted(x["slot"] for x in watched.values('answered{job="tasks"}'))

    wait_for("two tasks answer", lambda: slots() == ["1", "2"], within_s=60, every_s=0.2)

    def told() -> set[tuple[str, str]]:
        labels = [each["discoveredLabels"] for each in watched.targets("tasks")]
        return {
            (x["__meta_dockerswarm_node_hostname"], x["__meta_dockerswarm_task_state"])
            for x in labels
        }

    both = {("host1", "running"), ("host2", "running")}
    wait_for("both nodes run one", lambda: told() == both, within_s=60, every_s=0.2)

    watched.docker("service", "scale", "-d", "web=3")

    wait_for("three tasks answer", lambda: slots() == ["1", "2", "3"], within_s=60, every_s=0.2)


def test_containers_are_found_and_scraped_tasks_among_them(watched: Watched) -> None:
    wait_for(
        "the container answers",
        lambda: any(x["value"] == "7" for x in watched.values('answered{job="containers"}')),
        within_s=60,
        every_s=0.2,
    )

    [target] = watched.targets("containers")
    assert target["discoveredLabels"]["__meta_docker_container_name"] == "/lone"

    def others() -> set[str | None]:
        return {x.get("__meta_docker_container_label_com_docker_swarm_service_name")
                for x in watched.dropped() if "__meta_docker_container_id" in x}  # fmt: skip

    wait_for("tasks are found", lambda: {"web", "prom"} <= others(), within_s=60, every_s=0.2)


def test_it_goes_on_finding_after_the_engine_was_killed(watched: Watched) -> None:
    watched.manager.kill("engine.main")

    watched.docker("service", "scale", "-d", "web=1")

    wait_for(
        "one task is left",
        lambda: len(watched.targets("tasks")) == 1,
        within_s=60,
        every_s=0.2,
    )
