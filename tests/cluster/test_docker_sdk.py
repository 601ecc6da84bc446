"""Docker's SDK for Python, unmodified, drives swarmd."""

import io
import socket
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import APIError, BuildError, ContainerError, ImageNotFound, NotFound
from docker.types import EndpointSpec, Mount, ServiceMode, UpdateConfig
from docker.utils.socket import frames_iter

from tests.cluster.hosts import Lan, wait_for
from tests.images import docker_archive

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(240),
    # The SDK leaves sockets of attached programs to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

Client = Any  # the SDK has no types
SLEEP = ["sleep", "1000"]


@pytest.fixture(scope="module")
def lan() -> Iterator[Lan]:
    lan = Lan(Path(tempfile.mkdtemp(prefix="swarm-cluster-")), hosts=1)
    try:
        registry = lan.start_registry()
        archive = docker_archive(lan.base / "busy.tar", "busy:1", cmd=("sh",))
        lan.push(docker_archive(lan.base / "far.tar", f"{registry}/far:1"), "far:1")
        lan.hosts[0].start()
        with archive.open("rb") as file:
            _client(lan).images.load(file)
        yield lan
    finally:
        lan.close()


def _client(lan: Lan) -> Client:
    return docker.DockerClient(f"unix://{lan.hosts[0].run_root}/docker.sock", version="auto")


@pytest.fixture
def client(lan: Lan) -> Iterator[Client]:
    """A client; containers that a test leaves are removed."""
    made = _client(lan)
    yield made
    for container in made.containers.list(all=True):
        container.remove(force=True, v=True)
    made.close()


def test_versions_are_agreed_on(client: Client) -> None:
    assert client.api._version == "1.47"
    assert client.ping()
    assert client.version()["ApiVersion"] == "1.47"
    assert client.info()["Containers"] == 0


def test_a_container_is_run_and_its_output_is_told(client: Client) -> None:
    assert client.containers.run("busy:1", ["echo", "hello"], remove=True) == b"hello\n"
    with pytest.raises(ContainerError) as failed:
        client.containers.run("busy:1", ["sh", "-c", "echo why >&2; exit 3"], remove=True)
    assert (failed.value.exit_status, failed.value.stderr) == (3, b"why\n")
    assert client.containers.list(all=True) == []


def test_logs_come_in_both_framings(client: Client) -> None:
    """Without a terminal each piece says whose it is; with one everything is one stream."""
    script = ["sh", "-c", "echo out; echo err >&2"]
    plain = client.containers.run("busy:1", script, detach=True)
    terminal = client.containers.run("busy:1", script, detach=True, tty=True)
    assert (plain.wait()["StatusCode"], terminal.wait()["StatusCode"]) == (0, 0)

    assert plain.logs(stdout=True, stderr=False) == b"out\n"
    assert plain.logs(stdout=False, stderr=True) == b"err\n"
    assert terminal.logs() == b"out\r\nerr\r\n"
    assert b"".join(plain.logs(stream=True, follow=True, stderr=False)) == b"out\n"


def test_a_log_is_followed_while_it_is_written(client: Client) -> None:
    script = "for each in 1 2 3; do echo $each; sleep 0.1; done"
    container = client.containers.run("busy:1", ["sh", "-c", script], detach=True)

    assert list(container.logs(stream=True, follow=True)) == [b"1\n", b"2\n", b"3\n"]


def test_an_attached_socket_is_read_and_written(client: Client) -> None:
    """Our side is closed first, and what the program makes of it still arrives."""
    script = 'cat; echo "then this"'
    container = client.containers.create("busy:1", ["sh", "-c", script], stdin_open=True)
    attached = client.api.attach_socket(
        container.id, params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
    )
    container.start()
    attached._sock.sendall(b"typed\n")
    attached._sock.shutdown(socket.SHUT_WR)

    received = b"".join(data for _, data in frames_iter(attached, tty=False))

    assert received == b"typed\nthen this\n"
    assert container.wait()["StatusCode"] == 0


def test_programs_run_in_a_container(client: Client) -> None:
    container = client.containers.run("busy:1", SLEEP, detach=True)

    done = container.exec_run(["sh", "-c", "echo out; echo err >&2; exit 4"], demux=True)
    assert (done.exit_code, done.output) == (4, (b"out\n", b"err\n"))
    streamed = container.exec_run(["seq", "3"], stream=True).output
    assert b"".join(streamed) == b"1\n2\n3\n"
    in_terminal = container.exec_run(["sh", "-c", "test -t 1 && echo yes"], tty=True)
    assert in_terminal.output == b"yes\r\n"
    assert container.exec_run("pwd", workdir="/tmp", environment={"A": "1"}).output == b"/tmp\n"


def test_a_socket_of_a_program_is_read_and_written(client: Client) -> None:
    container = client.containers.run("busy:1", SLEEP, detach=True)
    created = client.api.exec_create(container.id, ["cat"], stdin=True)
    attached = client.api.exec_start(created["Id"], socket=True)
    attached._sock.sendall(b"x" * 1_000_000)
    attached._sock.shutdown(socket.SHUT_WR)

    received = b"".join(data for _, data in frames_iter(attached, tty=False))

    assert received == b"x" * 1_000_000
    wait_for(
        "it has ended",
        lambda: not client.api.exec_inspect(created["Id"])["Running"],
        within_s=30,
    )
    assert client.api.exec_inspect(created["Id"])["ExitCode"] == 0


def test_events_are_told_as_they_happen(client: Client) -> None:
    found: list[str] = []
    events = client.events(decode=True, filters={"type": "container"})

    def listen() -> None:
        for event in events:
            found.append(event["Action"])
            if event["Action"] == "destroy":
                return

    listener = threading.Thread(target=listen)
    listener.start()
    client.containers.run("busy:1", ["true"], name="told", remove=True)
    listener.join(60)

    assert [each for each in found if each in ("create", "start", "die", "destroy")] == [
        "create", "start", "die", "destroy",
    ]  # fmt: skip


def test_files_are_put_and_taken(client: Client) -> None:
    container = client.containers.run("busy:1", SLEEP, detach=True)
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        entry = tarfile.TarInfo("given")
        entry.size = 5
        tar.addfile(entry, io.BytesIO(b"given"))

    assert container.put_archive("/tmp", raw.getvalue())
    chunks, stat = container.get_archive("/tmp/given")

    assert (stat["name"], stat["size"]) == ("given", 5)
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
        taken = tar.extractfile("given")
        assert taken is not None
        assert taken.read() == b"given"
    assert {"Path": "/tmp/given", "Kind": 1} in container.diff()
    with pytest.raises(NotFound):
        container.get_archive("/no/such")


def test_limits_are_set_and_changed(client: Client) -> None:
    container = client.containers.run(
        "busy:1", SLEEP, detach=True, mem_limit="64m", nano_cpus=500_000_000,
        restart_policy={"Name": "on-failure", "MaximumRetryCount": 2},
    )  # fmt: skip

    container.update(mem_limit="96m", memswap_limit="96m")

    container.reload()
    host = container.attrs["HostConfig"]
    assert (host["Memory"], host["NanoCpus"]) == (96 << 20, 500_000_000)
    limit = "/sys/fs/cgroup/memory/memory.limit_in_bytes"
    assert container.exec_run(["cat", limit]).output == b"100663296\n"
    stats = container.stats(stream=False)
    assert stats["memory_stats"]["limit"] == 96 << 20


def test_volumes_and_networks_are_made_and_used(client: Client) -> None:
    volume = client.volumes.create("kept", labels={"a": "b"})
    network = client.networks.create("back", driver="bridge", labels={"a": "b"})
    try:
        client.containers.run(
            "busy:1", ["sh", "-c", "echo kept > /data/x"], remove=True,
            mounts=[Mount("/data", "kept")],
        )  # fmt: skip
        client.containers.run(
            "busy:1", ["sh", "-c", "mkdir /w; echo page > /w/p; exec httpd -f -p 80 -h /w"],
            name="web", network="back", detach=True,
        )  # fmt: skip

        def asked() -> bytes:
            try:
                return client.containers.run(
                    "busy:1", ["wget", "-q", "-O", "-", "http://web/p"], network="back",
                    remove=True,
                )  # fmt: skip
            except ContainerError:
                return b""

        assert wait_for("it answers", asked, within_s=30) == b"page\n"
        network.reload()
        assert [each.name for each in network.containers] == ["web"]
        assert client.volumes.list(filters={"label": "a=b"}) == [volume]
        with pytest.raises(APIError, match="has active endpoints"):
            network.remove()
    finally:
        client.containers.get("web").remove(force=True)
        network.remove()
        volume.remove()


def test_images_are_pulled_with_progress_pushed_and_removed(client: Client, lan: Lan) -> None:
    name = f"{lan.registry}/far"
    progress = list(client.api.pull(name, tag="1", stream=True, decode=True))
    assert any("progressDetail" in each for each in progress)
    assert progress[-1]["status"].startswith("Status: Downloaded newer image")

    image = client.images.get(f"{name}:1")
    assert image.tag(f"{lan.registry}/again", "2")
    pushed = list(client.api.push(f"{lan.registry}/again", tag="2", stream=True, decode=True))
    assert pushed[-1]["aux"]["Digest"].startswith("sha256:")
    data = client.images.get_registry_data(f"{lan.registry}/again:2")
    assert data.id == pushed[-1]["aux"]["Digest"]
    client.images.remove(f"{lan.registry}/again:2")
    client.images.remove(f"{name}:1")
    with pytest.raises(ImageNotFound):
        client.images.get(f"{name}:1")


def test_an_image_is_built_with_progress(client: Client, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(
        "FROM busy:1\nARG WHO=nobody\nCOPY given /given\nRUN echo built by $WHO > /built\n"
        'CMD ["cat", "/given", "/built"]\n'
    )
    (tmp_path / "given").write_text("given\n")

    image, lines = client.images.build(path=str(tmp_path), tag="made:1", buildargs={"WHO": "us"})

    said = "".join(each.get("stream", "") for each in lines)
    assert "Step 1/5 : FROM busy:1" in said
    assert "Successfully tagged made:1" in said
    assert client.containers.run(image.id, remove=True) == b"given\nbuilt by us\n"
    (tmp_path / "Dockerfile").write_text("FROM busy:1\nRUN exit 9\n")
    with pytest.raises(BuildError, match="returned a non-zero code: 9"):
        client.images.build(path=str(tmp_path))
    client.images.remove("made:1")


def test_a_swarm_is_made_and_runs_services(client: Client, lan: Lan) -> None:
    client.swarm.init(advertise_addr=lan.hosts[0].ip)
    try:
        assert client.swarm.attrs["JoinTokens"]["Worker"].startswith("SWMTKN-1-")
        (node,) = client.nodes.list()
        assert node.attrs["ManagerStatus"]["Leader"]
        secret = client.secrets.create(name="word", data=b"hush")
        service = client.services.create(
            "busy:1", command=["sh", "-c", "echo started; exec sleep 1000"], name="web",
            mode=ServiceMode("replicated", replicas=2), env=["A=1"],
            endpoint_spec=EndpointSpec(ports={8081: 80}),
            update_config=UpdateConfig(parallelism=2, monitor=100_000_000),
        )  # fmt: skip
        _wait_running(service, 2)

        version = service.version
        service.update(env=["A=2"])
        service.reload()
        assert service.version > version
        assert service.attrs["PreviousSpec"]["TaskTemplate"]["ContainerSpec"]["Env"] == ["A=1"]
        service.scale(3)
        _wait_running(service, 3)
        wait_for("one says so", lambda: b"started\n" in said(service), within_s=30)
        service.remove()
        secret.remove()
    finally:
        client.swarm.leave(force=True)


def said(service: Any) -> bytes:
    return b"".join(service.logs(stdout=True))


def _wait_running(service: Any, count: int) -> None:
    def running() -> int:
        tasks = service.tasks(filters={"desired-state": "running"})
        return sum(each["Status"]["State"] == "running" for each in tasks)

    wait_for(f"{count} run", lambda: running() == count, within_s=60, every_s=0.1)


def test_many_clients_at_once_are_served(lan: Lan) -> None:
    """Each runs a container of its own, and hears what it said and nothing else."""
    said: dict[int, bytes] = {}

    def story(number: int) -> None:
        client = _client(lan)
        said[number] = client.containers.run("busy:1", ["echo", str(number)], remove=True)
        client.close()

    threads = [threading.Thread(target=story, args=(number,)) for number in range(20)]
    began = time.monotonic()
    for each in threads:
        each.start()
    for each in threads:
        each.join(100 - (time.monotonic() - began))

    assert said == {number: f"{number}\n".encode() for number in range(20)}
