"""The docker command, unmodified, makes a swarm of two hosts and runs services on it."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.conftest import SERVE
from tests.cluster.hosts import Host, Lan, wait_for
from tests.images import docker_archive

WEB = "mkdir /www; echo served > /www/index.html; exec httpd -f -h /www"

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

# Watching for five seconds whether new tasks stay up is what makes docker's commands slow.
QUICKLY = ("--update-monitor", "100ms", "--rollback-monitor", "100ms", "--stop-grace-period", "1s")
PAGE = "mkdir /www; cat /run/secrets/key /settings > /www/p; exec httpd -f -p 80 -h /www"


class Docker:
    """The docker command on one host."""

    def __init__(self, host: Host, home: Path) -> None:
        self.host = host
        self._environment = os.environ | {
            "DOCKER_HOST": f"unix://{host.run_root}/docker.sock",
            "DOCKER_CONFIG": str(home / "config"),
            "LC_ALL": "C",
        }
        self._environment.pop("DOCKER_API_VERSION", None)

    def __call__(self, *args: str, stdin: str = "", cwd: Path | None = None) -> str:
        """What the command prints; it has to succeed."""
        done = self.ask(*args, stdin=stdin, cwd=cwd)
        words = f"docker {' '.join(args)}: {done.returncode}\n{done.stdout}{done.stderr}"
        assert done.returncode == 0, f"{words}\n{self.host.log.read_text()[-3000:]}"
        return done.stdout.strip()

    def ask(
        self, *args: str, stdin: str = "", cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """The command, whatever comes of it."""
        return subprocess.run(
            ["docker", *args], input=stdin, cwd=cwd, env=self._environment,
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip

    def refused(self, *args: str) -> str:
        """What the command complains about."""
        done = self.ask(*args)
        assert done.returncode != 0, done.stdout
        return done.stderr.strip()

    def json(self, *args: str) -> Any:
        """An object that is inspected."""
        (found,) = json.loads(self(*args))
        return found

    def fetch(self, address: str) -> str:
        """What a web server says to a client on this host."""
        done = subprocess.run(
            ["nsenter", f"--net={self.host.network}", "curl", "-s", "-m", "3", address],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.stdout

    def reach(self, container: str, name: str) -> None:
        """Wait until a container of this host is served by whoever has the name."""
        ask = ("exec", container, "wget", "-qO-", f"http://{name}/")
        wait_for(
            f"{container} reaches {name}",
            lambda: self.ask(*ask).stdout == "served\n",
            within_s=60,
            every_s=0.2,
        )


class World:
    """A manager, a worker, and an image in a registry."""

    def __init__(self, lan: Lan) -> None:
        registry = lan.start_registry()
        archive = docker_archive(lan.base / "busy.tar", f"{registry}/busy:1", cmd=SERVE)
        self.image = lan.push(archive, "busy:1")
        self.work = lan.base / "work"
        self.work.mkdir()
        for host in lan.hosts:
            host.start()
        self.manager, self.worker = (Docker(host, self.work) for host in lan.hosts)
        said = self.manager("swarm", "init", "--advertise-addr", "eth0")
        assert "docker swarm join --token SWMTKN-1-" in said
        self.join()

    def join(self) -> None:
        """Have the worker in the swarm, and wait until it is ready."""
        token = self.manager("swarm", "join-token", "-q", "worker")
        ip, address = self.worker.host.ip, f"{self.manager.host.ip}:2377"
        self.worker("swarm", "join", "--advertise-addr", ip, "--token", token, address)
        wait_for(
            "two nodes are ready",
            lambda: self.manager("node", "ls", "--format", "{{.Status}}") == "Ready\nReady",
            within_s=60,
            every_s=0.1,
        )

    def replicas(self, name: str) -> str:
        """Such as 2/2."""
        form = ("--format", "{{.Name}} {{.Replicas}}")
        lines = self.manager("service", "ls", "--filter", f"name={name}", *form).splitlines()
        return next(line.removeprefix(f"{name} ") for line in lines if line.startswith(f"{name} "))

    def wait_state(self, name: str, wanted: str) -> Any:
        """Wait until a service's rollout is in a state: docker may think it over before us."""

        def found() -> Any:
            spec = self.manager.json("service", "inspect", name)
            return spec if spec.get("UpdateStatus", {}).get("State") == wanted else None

        return wait_for(f"{name} is {wanted}", found, within_s=30, every_s=0.2)

    def wait_replicas(self, name: str, wanted: str) -> None:
        """Wait until the service is told to have so many."""
        wait_for(
            f"{name} has {wanted}",
            lambda: self.replicas(name) == wanted,
            within_s=60,
            every_s=0.2,
        )


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    if shutil.which("docker") is None:
        pytest.skip("docker cannot be found; make .venv/.tests installs it")
    lan = Lan(Path(tempfile.mkdtemp(prefix="swarm-cluster-")), hosts=2)
    try:
        yield World(lan)
    finally:
        lan.close()


def test_a_service_is_created_scaled_updated_and_rolled_back(world: World) -> None:
    docker = world.manager
    said = docker(
        "service", "create", "--detach=false", "--name", "web", "--replicas", "3", "--env", "A=1",
        *QUICKLY, world.image,
    )  # fmt: skip
    assert "converged" in said
    assert world.replicas("web") == "3/3"
    nodes = docker("service", "ps", "web", "--format", "{{.Node}}").splitlines()
    assert set(nodes) == {"host1", "host2"}

    assert "converged" in docker("service", "scale", "--detach=false", "web=4")
    # docker returns at once when it finds a rollout over, so nothing is said of convergence.
    docker(
        "service", "update", "--detach=false", "--env-add", "B=2", "--update-parallelism", "4",
        "--update-order", "start-first", "web",
    )  # fmt: skip
    spec = world.wait_state("web", "completed")
    assert sorted(spec["Spec"]["TaskTemplate"]["ContainerSpec"]["Env"]) == ["A=1", "B=2"]
    assert spec["PreviousSpec"]["TaskTemplate"]["ContainerSpec"]["Env"] == ["A=1"]

    docker("service", "rollback", "--detach=false", "web")
    spec = world.wait_state("web", "rollback_completed")
    assert spec["Spec"]["TaskTemplate"]["ContainerSpec"]["Env"] == ["A=1"]
    shown = docker("service", "inspect", "--pretty", "web")
    assert "State:\t\trollback_completed" in shown
    assert "Replicas:\t4" in shown.replace(" Replicas", "Replicas")
    docker("service", "rm", "web")


def test_a_bad_update_is_paused_and_said_so(world: World) -> None:
    docker = world.manager
    docker("service", "create", "-d", "--name", "frail", *QUICKLY, world.image)
    world.wait_replicas("frail", "1/1")

    words = docker.refused(
        "service", "update", "--detach=false", "--restart-condition", "none",
        "--update-monitor", "5s", "--args", "false", "frail",
    )  # fmt: skip

    assert "service update paused: " in words
    assert docker.json("service", "inspect", "frail")["UpdateStatus"]["State"] == "paused"
    docker("service", "rm", "frail")


def test_what_tasks_write_is_read_with_their_names(world: World) -> None:
    docker = world.manager
    script = "echo out; echo err >&2; exec sleep 1000"
    docker("service", "create", "-d", "--name", "loud", world.image, "sh", "-c", script)
    world.wait_replicas("loud", "1/1")
    wait_for(
        "both lines are there",
        lambda: (found := docker.ask("service", "logs", "--raw", "loud")).stdout and found.stderr,
        within_s=30,
        every_s=0.2,
    )

    done = docker.ask("service", "logs", "loud")
    node = docker("service", "ps", "loud", "--format", "{{.Node}}")
    task = docker("service", "ps", "-q", "loud")

    assert done.stdout == f"loud.1.{task[:12]}@{node}    | out\n"
    assert done.stderr == f"loud.1.{task[:12]}@{node}    | err\n"
    assert docker("service", "logs", "--raw", "-n", "1", task) in ("out", "")
    detailed = docker("service", "logs", "-t", "--no-task-ids", "--details", "loud")
    assert detailed.split(" ", 1)[1].startswith(f"loud.1@{node}")
    docker("service", "rm", "loud")


def test_jobs_run_to_their_end(world: World) -> None:
    docker = world.manager
    job = ("--mode", "replicated-job", "--replicas", "4", "--max-concurrent", "2")
    said = docker(
        "service", "create", "--detach=false", "--name", "four", *job, world.image, "true"
    )
    everywhere = docker(
        "service", "create", "--detach=false", "--name", "each", "--mode", "global-job",
        world.image, "true",
    )  # fmt: skip

    assert "job complete" in said
    assert "job complete" in everywhere
    assert world.replicas("four") == "0/2 (4/4 completed)"
    assert world.replicas("each") == "0/0 (2/2 completed)"
    docker("service", "rm", "four", "each")


STACK = """
services:
  web:
    image: {image}
    command: ["sh", "-c", "{page}"]
    environment: {{A: b, UNSET: }}
    networks: {{front: {{aliases: [www]}}, back: }}
    ports: ["8082:80"]
    secrets: [key]
    configs: [{{source: settings, target: /settings}}]
    volumes: ["store:/store"]
    healthcheck: {{test: ["CMD", "test", "-f", "/www/p"], interval: 1s}}
    deploy:
      replicas: {replicas}
      update_config:
        {{parallelism: 1, delay: 100ms, order: start-first, failure_action: rollback, monitor: 1s}}
      resources: {{limits: {{cpus: '0.5', memory: 50M}}}}
      placement: {{preferences: [{{spread: zone}}]}}
  probe:
    image: {image}
    command: ["sleep", "1000"]
    networks: [back]
    deploy: {{mode: global}}
networks:
  front: {{ipam: {{config: [{{subnet: 10.44.0.0/24}}]}}}}
  back: {{driver_opts: {{mtu: "1400"}}}}
secrets:
  key: {{file: ./key}}
configs:
  settings: {{file: ./settings, template_driver: golang}}
volumes:
  store: {{labels: {{x: y}}}}
"""


def test_a_stack_is_deployed_changed_and_removed(world: World) -> None:
    docker, work = world.manager, world.work
    (work / "key").write_text("key ")
    (work / "settings").write_text("of {{.Service.Name}}")

    def deploy(replicas: int) -> str:
        text = STACK.format(image=world.image, page=PAGE, replicas=replicas)
        (work / "stack.yml").write_text(f'version: "3.8"\n{text}')
        return docker("stack", "deploy", "--detach=true", "-c", "stack.yml", "app", cwd=work)

    deploy(2)
    world.wait_replicas("app_web", "2/2")
    world.wait_replicas("app_probe", "2/2")

    for one in (world.manager, world.worker):
        page = wait_for(
            "the page comes by any host",
            lambda one=one: one.fetch(f"http://{one.host.ip}:8082/p"),
            within_s=30,
            every_s=0.2,
        )
        assert page == "key of app_web"
    assert docker("stack", "ls", "--format", "{{.Name}} {{.Services}}") == "app 2"
    form = ("--format", "{{.Name}} {{.CurrentState}}")
    tasks = docker("stack", "ps", "app", *form).splitlines()
    assert sum(" Running" in line for line in tasks) == 4
    networks = docker("network", "ls", "--filter", "driver=overlay", "--format", "{{.Name}}")
    assert networks.split() == ["app_back", "app_front", "ingress"]
    front = docker.json("network", "inspect", "-v", "app_front")
    assert front["IPAM"]["Config"][0]["Subnet"] == "10.44.0.0/24"
    assert len(front["Services"]["app_web"]["Tasks"]) == 2
    (probe,) = docker("ps", "-q", "--filter", "name=app_probe").split()
    ask = ("exec", probe, "wget", "-q", "-O", "-", "http://web/p")
    wait_for(
        "the page comes by its name",
        lambda: "key of app_web" in docker.ask(*ask).stdout,
        within_s=30,
        every_s=0.2,
    )

    assert "Updating service app_web" in deploy(1)
    world.wait_replicas("app_web", "1/1")
    docker("stack", "rm", "app")
    wait_for(
        "nothing of the stack is left",
        lambda: not docker("network", "ls", "-q", "--filter", "name=^app_"),
        within_s=60,
        every_s=0.2,
    )
    assert docker("service", "ls", "-q") == docker("secret", "ls", "-q") == ""


def test_secrets_and_configs_are_kept_and_used(world: World) -> None:
    docker = world.manager
    docker("secret", "create", "--label", "a=b", "word", "-", stdin="s3cret")
    docker("config", "create", "file", "-", stdin="settings")

    assert docker("secret", "ls", "--format", "{{.Name}}") == "word"
    assert "s3cret" not in docker("secret", "inspect", "word")
    assert "Data:\nsettings" in docker("config", "inspect", "--pretty", "file")
    docker(
        "service", "create", "-d", "--name", "reader", "--secret",
        "source=word,target=/word,uid=7,mode=0400", "--config", "source=file,target=/file",
        *QUICKLY, world.image, "sh", "-c",
        "cat /word /file; stat -c ' %u %a' /word; exec sleep 1000",
    )  # fmt: skip
    wait_for(
        "the task has read them",
        lambda: docker("service", "logs", "--raw", "reader") == "s3cretsettings 7 400",
        within_s=60,
        every_s=0.2,
    )
    assert "in use by the following service: reader" in docker.refused("secret", "rm", "word")
    assert "in use by the following service: reader" in docker.refused("config", "rm", "file")
    docker("service", "update", "-d", "--secret-rm", "word", "--config-rm", "file", "reader")
    docker("service", "rm", "reader")
    for kind, name in (("secret", "word"), ("config", "file")):
        wait_for(
            f"{name} can be removed",
            lambda kind=kind, name=name: not docker.ask(kind, "rm", name).returncode,
            within_s=60,
            every_s=0.2,
        )


def test_nodes_are_looked_at_drained_and_labelled(world: World) -> None:
    docker = world.manager
    worker = docker("node", "ls", "-q", "--filter", "role=worker")
    docker("service", "create", "-d", "--name", "web", "--replicas", "2", *QUICKLY, world.image)
    world.wait_replicas("web", "2/2")

    docker("node", "update", "--label-add", "zone=east", "--availability", "drain", "host2")
    wait_for(
        "the drained node is empty",
        lambda: not docker("node", "ps", "host2", "-q", "--filter", "desired-state=running"),
        within_s=60,
        every_s=0.2,
    )
    world.wait_replicas("web", "2/2")
    shown = docker("node", "inspect", "--pretty", "host2")
    assert "zone=east" in shown
    assert "Availability:         \tDrain" in shown
    assert docker("node", "ls", "-q", "--filter", "node.label=zone=east") == worker
    assert docker("node", "inspect", "self", "--format", "{{.Description.Hostname}}") == "host1"
    assert "last manager" in docker.refused("node", "demote", "host1")
    assert "promot" in docker.refused("node", "promote", "host2")
    assert "is ready and cannot be removed" in docker.refused("node", "rm", "host2")
    docker("node", "update", "--label-rm", "zone", "--availability", "active", "host2")
    assert docker.json("node", "inspect", "host2")["Spec"]["Labels"] == {}
    docker("service", "rm", "web")


def test_containers_and_services_find_each_other_in_an_attachable_network(world: World) -> None:
    """1. Containers of both nodes reach a service by its name, and each other.

    2. Both nodes show who is in the network, and nobody removes it before they are gone.
    """
    docker, worker = world.manager, world.worker
    docker("network", "create", "-d", "overlay", "--attachable", "meeting")
    asked = ("--init", "--network", "meeting", world.image, "sh", "-c", WEB)
    docker("service", "create", "-d", "--name", "inn", *asked)
    world.wait_replicas("inn", "1/1")
    worker("run", "-d", "--name", "guest", *asked)
    docker("run", "-d", "--name", "host", "--init", world.image, "sh", "-c", WEB)
    docker("network", "connect", "--alias", "landlord", "meeting", "host")

    for whose, name, other in ((docker, "host", "guest"), (worker, "guest", "landlord")):
        for target in ("inn", other):
            whose.reach(name, target)

    found = docker.json("network", "inspect", "--verbose", "meeting")
    (container,) = (each for each in found["Containers"].values() if each["Name"] == "host")
    assert container["MacAddress"]
    assert {each["Name"] for each in found["Services"][""]["Tasks"]} == {"host", "guest"}
    assert len(found["Services"]["inn"]["Tasks"]) == 1
    assert len(found["Peers"]) == 2
    (shown,) = worker.json("inspect", "guest")["NetworkSettings"]["Networks"].items()
    assert shown[0] == "meeting"
    docker("service", "rm", "inn")
    assert "active endpoints" in docker.refused("network", "rm", "meeting")
    docker("network", "disconnect", "meeting", "host")
    worker("rm", "-f", "guest")
    docker("rm", "-f", "host")
    wait_for(
        "nobody is in it",
        lambda: not docker.ask("network", "rm", "meeting").returncode,
        within_s=60,
        every_s=0.2,
    )


def test_the_swarms_settings_and_tokens_are_changed(world: World) -> None:
    docker = world.manager
    token = docker("swarm", "join-token", "-q", "worker")

    docker("swarm", "update", "--task-history-limit", "3", "--dispatcher-heartbeat", "2s")
    rotated = docker("swarm", "join-token", "--rotate", "-q", "worker")

    info = json.loads(docker("info", "--format", "{{json .Swarm}}"))
    assert info["Cluster"]["Spec"]["Orchestration"]["TaskHistoryRetentionLimit"] == 3
    assert info["Cluster"]["Spec"]["Dispatcher"]["HeartbeatPeriod"] == 2_000_000_000
    assert token != rotated == docker("swarm", "join-token", "-q", "worker")
    assert docker("swarm", "ca").startswith("-----BEGIN CERTIFICATE-----")
    assert "AutoLockManagers" in docker.refused("swarm", "update", "--autolock")
    assert "CAConfig.ForceRotate" in docker.refused("swarm", "ca", "--rotate")
    docker("swarm", "update", "--dispatcher-heartbeat", "1s")


def test_a_worker_leaves_and_comes_back(world: World) -> None:
    assert "Worker nodes can't be used" in world.worker.refused("service", "ls")
    assert "already part of a swarm" in world.worker.refused("swarm", "init")
    assert "--force" in world.manager.refused("swarm", "leave")

    world.worker("swarm", "leave")

    assert "not a swarm manager" in world.worker.refused("node", "ls")
    down = ("--format", "{{.ID}} {{.Status}}")
    gone = wait_for(
        "the node that left is down",
        lambda: [
            line.split()[0]
            for line in world.manager("node", "ls", *down).splitlines()
            if line.endswith("Down")
        ],
        within_s=60,
        every_s=0.2,
    )
    world.manager("node", "rm", *gone)
    world.join()
