"""A host without a swarm, and one that enters and leaves it: its own containers do not notice."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from agent.network.io import namespaces
from swarm.api.v1 import containers_pb2, containers_pb2_grpc
from swarm.codec import to_message
from swarm.specs import ContainerSpec, Port, PublishMode
from swarm.standalone import ContainerRestart, Restarting, StandaloneSpec
from tests.cluster.hosts import Host, Lan, sh, wait_for
from tests.images import docker_archive

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

IMAGE = "busy:1"
WEB = ("sh", "-c", "echo hello >/tmp/index.html; exec httpd -f -p 80 -h /tmp")
PUBLISHED = 8088

PARTS = {
    "agent": ("agent.main",),
    "launcher": ("runtime.io.launcher",),
    "engine": ("engine.main",),
    "swarmd": ("bin/swarmd", "swarmd.main"),
}


class Lone:
    """A host with a web server that somebody runs there, and another one to call it from."""

    def __init__(self, lan: Lan) -> None:
        self.lan = lan
        self.host, self.other = lan.hosts
        self.host.start("--docker-addr", f"{self.host.ip}:2376")
        archive = docker_archive(lan.base / "busy.tar", IMAGE)
        wait_for(
            "an image is loaded",
            lambda: self.host.ctl("image", "load", "-i", str(archive), check=False).returncode == 0,
            within_s=60,
        )
        self.web = self.run(
            "web", *WEB, ports=(Port(target=80, published=PUBLISHED, mode=PublishMode.HOST),)
        )

    def run(self, name: str, *args: str, ports: tuple[Port, ...] = ()) -> str:
        """Run a container that is always to run, by the node's own socket."""
        spec = StandaloneSpec(
            name=name,
            container=ContainerSpec(image=IMAGE, args=args),
            ports=ports,
            restart=ContainerRestart(condition=Restarting.ALWAYS),
        )
        with grpc.insecure_channel(self.host.url) as channel:
            calls = containers_pb2_grpc.ContainersStub(channel)
            request = containers_pb2.CreateContainerRequest(spec=to_message(spec))
            container: str = calls.CreateContainer(request, timeout=20).id
            calls.StartContainer(
                containers_pb2.StartContainerRequest(container=container), timeout=20
            )
        return container

    def remove(self, container: str) -> None:
        """End it and take it away."""
        with grpc.insecure_channel(self.host.url) as channel:
            containers_pb2_grpc.ContainersStub(channel).RemoveContainer(
                containers_pb2.RemoveContainerRequest(container=container, force=True), timeout=20
            )

    @property
    def pid(self) -> int:
        """Its first process."""
        return self.host.containers().get(self.web, 0)

    def answers(self) -> bool:
        """Whether it is reached from another host, by its published port."""
        with contextlib.suppress(OSError), _entered(self.other):
            caller = socket.create_connection((self.host.ip, PUBLISHED), timeout=5)
            with caller:
                caller.sendall(b"GET /index.html HTTP/1.0\r\n\r\n")
                return caller.makefile("rb").read().endswith(b"hello\n")
        return False

    def wait_answering(self) -> None:
        """Wait until it is reached."""
        wait_for("the container answers", self.answers, within_s=60, every_s=0.1)

    def parts(self) -> set[str]:
        """What swarmd looks after."""
        return {each["Name"] for each in self.host.json("status", "--format", "json")[0]["Parts"]}

    def from_afar(
        self, *args: str, certificates: Path | None, said: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Docker's client on the other host, over TLS."""
        shown = ("--tls",)
        if certificates is not None:
            pairs = {"cacert": "root.pem", "cert": "node.pem", "key": "node.pem"}
            shown = ("--tlsverify", *(f"--tls{k}={certificates / v}" for k, v in pairs.items()))
        return subprocess.run(
            ["nsenter", f"--net={self.other.network}", "docker", *shown,
             "-H", f"tcp://{self.host.ip}:2376", *args],
            input=said, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def ping(self) -> None:
        """Ask the engine whether it is there, as Docker's clients do first; waits for its start."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(60)
            client.connect(f"{self.host.run_root}/docker.sock")
            client.sendall(b"GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n")
            answer = client.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 200 "), answer
        assert answer.endswith(b"\r\n\r\nOK"), answer


@contextlib.contextmanager
def _entered(host: Host) -> Iterator[None]:
    netns = os.open(host.network, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with namespaces.entered(netns):
            yield
    finally:
        os.close(netns)


@pytest.fixture(scope="module")
def lone() -> Iterator[Lone]:
    lan = Lan(Path(tempfile.mkdtemp(prefix="swarm-cluster-")), hosts=2)
    try:
        yield Lone(lan)
    finally:
        lan.close()


def test_a_host_without_a_swarm_has_images_volumes_and_containers(lone: Lone) -> None:
    host = lone.host
    lone.wait_answering()

    assert host.ctl("volume", "create", "mine").stdout.strip() == "mine"
    assert "busy" in host.ctl("image", "ls").stdout
    assert {"launcher", "agent"} <= lone.parts()
    assert "not part of a swarm" in host.ctl("service", "ls", check=False).stderr


def test_there_is_an_engine_from_the_first_client_on(lone: Lone) -> None:
    assert "engine" not in lone.parts()

    lone.ping()

    assert "engine" in lone.parts()


@pytest.mark.parametrize("part", PARTS)
def test_a_killed_part_comes_back_and_the_container_does_not_notice(lone: Lone, part: str) -> None:
    host, pid = lone.host, lone.pid
    assert pid
    lone.ping()

    victims = host.kill(*PARTS[part])
    assert victims
    wait_for("a new process", lambda: set(host.pids_of(*PARTS[part])) - set(victims), within_s=30)
    wait_for(
        "it is asked", lambda: host.ctl("volume", "ls", check=False).returncode == 0, within_s=60
    )
    lone.ping()

    assert lone.pid == pid
    lone.wait_answering()


def test_founding_and_leaving_a_swarm_keep_the_container(lone: Lone) -> None:
    """1. The host founds a swarm: the container goes on, with its port.
    2. A service runs beside it, in a network of the swarm, with a port on every node.
    3. The host leaves: the service and its network are gone, port and all; the container is not.
    """
    host, pid = lone.host, lone.pid

    host.ctl("init", "--advertise-addr", host.ip)
    wait_for("ready", lambda: "Ready" in host.ctl("node", "ls", check=False).stdout, within_s=60)
    assert lone.pid == pid
    lone.wait_answering()
    host.ctl("network", "create", "-d", "overlay", "back")
    host.ctl(
        "service", "create", "-q", "--name", "app", "--network", "back", "--publish", "8099:80",
        IMAGE, *WEB,
    )  # fmt: skip
    wait_for("a task", lambda: len(host.containers()) == 2, within_s=60)

    host.ctl("leave", "--force")

    assert host.containers() == {lone.web: pid}
    lone.wait_answering()
    wait_for("alone again", lambda: lone.parts() >= {"launcher", "agent"}, within_s=30)
    networks = host.run_root / "netns"
    wait_for(
        "its network is gone",
        lambda: [each.name for each in networks.iterdir()] == ["bridge"],
        within_s=30,
    )
    assert str(PUBLISHED) in _rules(host)
    wait_for("its port is free", lambda: "8099" not in _rules(host), within_s=30)
    assert "mine" in host.ctl("volume", "ls").stdout
    assert not (host.data_root / "certificates/node.pem").exists()


def _rules(host: Host) -> str:
    return sh("nsenter", f"--net={host.network}", "nft", "list", "ruleset").stdout


def test_docker_is_spoken_from_afar_with_a_certificate_while_there_is_a_swarm(lone: Lone) -> None:
    """1. The node is in no swarm: whoever connects is sent away.
    2. It founds one: a manager's certificate opens everything, conversations that are half over
       too; without one, nothing.
    3. It leaves: the certificate opens nothing any more.
    """
    host, certificates = lone.host, lone.lan.base / "certificates"
    assert lone.from_afar("version", certificates=None).returncode

    host.ctl("init", "--advertise-addr", host.ip)
    wait_for("ready", lambda: "Ready" in host.ctl("node", "ls", check=False).stdout, within_s=60)
    shutil.copytree(host.data_root / "certificates", certificates)
    shown = lone.from_afar("ps", "-q", "--no-trunc", certificates=certificates)
    assert shown.stdout.split() == [lone.web]
    said = lone.from_afar("exec", "-i", "web", "cat", certificates=certificates, said="hello\n")
    assert (said.returncode, said.stdout) == (0, "hello\n")
    assert lone.from_afar("ps", certificates=None).returncode

    host.ctl("leave", "--force")
    assert lone.from_afar("ps", certificates=certificates).returncode
    lone.wait_answering()


def test_a_swarmd_that_is_killed_while_it_leaves_finishes_and_keeps_the_container(
    lone: Lone,
) -> None:
    host, pid = lone.host, lone.pid
    host.ctl("init", "--advertise-addr", host.ip)
    wait_for("ready", lambda: "Ready" in host.ctl("node", "ls", check=False).stdout, within_s=60)
    leaving = host.data_root / "node.json"

    doomed = host.pids_of(*PARTS["swarmd"])
    host.ctl_later("leave", "--force")
    wait_for(
        "it has begun",  # or is over before we were there to see it
        lambda: 'is_leaving": true' in _text(leaving) or not leaving.exists(),
        within_s=30,
        every_s=0.001,
    )
    for each in doomed:
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)

    wait_for("it is out", lambda: not leaving.exists(), within_s=60)
    host.wait_listening()
    assert lone.pid == pid
    lone.wait_answering()


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def test_after_a_reboot_a_container_waits_for_no_manager(lone: Lone) -> None:
    """1. The other host founds a swarm, and this one joins it.
    2. Both lose their power. Only this one comes back: its swarm is not to be seen.
    3. The container runs again, and is reached.
    """
    host, other = lone.host, lone.other
    other.start()
    other.ctl("init", "--advertise-addr", other.ip)
    token = other.ctl("join-token", "-q", "worker").stdout.strip()
    host.ctl("join", "--token", token, "--advertise-addr", host.ip, f"{other.ip}:2377")
    lone.wait_answering()
    before = lone.pid

    for each in (host, other):
        each.kill_everything()
    host.wipe()
    host.start()

    wait_for("it runs again", lambda: lone.pid not in (0, before), within_s=60)
    lone.wait_answering()
    host.ctl("leave")
    assert lone.pid
    lone.wait_answering()


def test_what_is_removed_leaves_nothing(lone: Lone) -> None:
    lone.remove(lone.web)

    assert lone.host.containers() == {}
    assert not list((lone.host.data_root / "agent/standalone").glob("[0-9a-f]*"))
