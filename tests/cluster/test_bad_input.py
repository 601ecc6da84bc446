"""Wrong input to a real swarm: a clear message, a non-zero exit, and nothing changed."""

import io
import shutil
import subprocess
import tarfile
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from swarm.ids import base36
from tests.cluster.hosts import Host, Lan, sh, wait_for
from tests.images import docker_archive, layer

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120)]

DAY = ("sleep", "86400")


class Pair:
    """A manager, and a bare host that has not joined."""

    def __init__(self, lan: Lan) -> None:
        self.lan = lan
        self.manager, self.other = lan.hosts
        self.manager.start()
        self.other.start()
        self.manager.ctl("init", "--advertise-addr", self.manager.ip)
        self.address = f"{self.manager.ip}:2377"
        archive = docker_archive(lan.base / "busy.tar", "busy:1", cmd=DAY)
        self.manager.ctl("image", "load", "-i", str(archive))
        self.state = state(self.manager)

    @property
    def token(self) -> str:
        return self.manager.ctl("join-token", "-q", "worker").stdout.strip()

    def join(self, token: str, address: str = "") -> subprocess.CompletedProcess[str]:
        return self.other.ctl(
            "join", "--token", token, "--advertise-addr", self.other.ip, address or self.address,
            check=False,
        )  # fmt: skip

    def create(self, *flags: str) -> subprocess.CompletedProcess[str]:
        return self.manager.ctl("service", "create", "-q", *flags, check=False)


@pytest.fixture(scope="module")
def pair(lan: Lan) -> Pair:
    return Pair(lan)


@pytest.fixture(autouse=True)
def nothing_changes(pair: Pair) -> Iterator[None]:
    yield
    before, pair.state = pair.state, state(pair.manager)
    assert pair.state == before


def state(host: Host) -> tuple[str, str, str]:
    return (
        host.ctl("node", "ls", "-q").stdout,
        host.ctl("service", "ls", "-q").stdout,
        host.ctl("image", "ls", "--format", "{{.ID}} {{.Repository}} {{.Tag}}").stdout,
    )


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode != 0, done.stdout
    for word in words:
        assert word.lower() in done.stderr.lower(), done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_token_is_refused(pair: Pair) -> None:
    head, digest, _ = pair.token.rsplit("-", 2)

    refused(pair.join(f"{head}-{digest}-{base36(12345, 25)}"), "token")


def test_a_malformed_token_is_refused(pair: Pair) -> None:
    refused(pair.join("SWMTKN-1-nonsense"), "token")


def test_a_rotated_token_is_refused(pair: Pair) -> None:
    old = pair.token
    pair.manager.ctl("join-token", "--rotate", "-q", "worker")

    refused(pair.join(old), "token", "join-token")


def test_another_root_is_refused(pair: Pair) -> None:
    head, _, secret = pair.token.rsplit("-", 2)

    refused(pair.join(f"{head}-{base36(7, 50)}-{secret}"), "root")


def test_a_dead_address_is_named(pair: Pair) -> None:
    refused(pair.join(pair.token, f"{pair.manager.ip}:9"), f"{pair.manager.ip}:9")


def test_a_second_manager_is_refused_clearly(pair: Pair) -> None:
    token = pair.manager.ctl("join-token", "-q", "manager").stdout.strip()

    refused(pair.join(token), "manager")


def test_a_second_init_is_refused(pair: Pair) -> None:
    done = pair.manager.ctl("init", "--advertise-addr", pair.manager.ip, check=False)

    refused(done, "already part of a swarm", "leave")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--replicas", "-1", "busy:1"), ("replicas",)),
        (("--replicas", "two", "busy:1"), ("replicas",)),
        (("--no-such-flag", "busy:1"), ("--no-such-flag",)),
        (("--mode", "global", "--replicas", "3", "busy:1"), ("replicas", "global")),
        (("--network", "host", "--network", "none", "busy:1"), ("network",)),
        (("--limit-memory", "10m", "--reserve-memory", "20m", "busy:1"), ("memory",)),
        (("--limit-memory", "100t", "busy:1"), ("memory", "largest")),
        (("--limit-cpu", "4000", "busy:1"), ("cpu", "largest")),
        (("--constraint", "node.color = red", "busy:1"), ("constraint",)),
        (("--stop-grace-period", "soon", "busy:1"), ("stop-grace-period", "soon")),
        (("--mount", "type=bind,target=/x", "busy:1"), ("source",)),
        (("--mount", "type=bind,source=/no/such/path,target=/x", "busy:1"), ("/no/such/path",)),
        (("--env-file", "/no/such/file", "busy:1"), ("/no/such/file",)),
        (("--name", "not a name", "busy:1"), ("name",)),
        (("--user", "a:b:c", "busy:1"), ("user",)),
        ((), ("image",)),
        (("--cap-add", "NET_ADMINN", "busy:1"), ("cap-add", "did you mean cap_net_admin")),
        (("--cap-drop", "nothing", "busy:1"), ("cap-drop", "nothing")),
        (("--device", "fuse", "busy:1"), ("device", "absolute")),
        (("--device", "/dev/fuse:/dev/fuse:x", "busy:1"), ("device", "r, w and m")),
        (("--device", "/dev/no-such-device", "busy:1"), ("device", "/dev/no-such-device")),
        (("--device", "/etc/hostname", "busy:1"), ("device", "is no device")),
        (("--security-opt", "seccomp=/no/such/file", "busy:1"), ("/no/such/file",)),
        (("--security-opt", "seccomp=/etc/hostname", "busy:1"), ("json", "line 1")),
        (("--security-opt", "label=disable", "busy:1"), ("selinux",)),
        (("--security-opt", "no-new-privileges=maybe", "busy:1"), ("no-new-privileges",)),
        (("--security-opt", "apparmor=no-such-profile", "busy:1"), ("apparmor",)),
        (("--userns", "other", "busy:1"), ("userns", "host")),
        (
            ("--health-interval", "1us", "--health-cmd", "true", "busy:1"),
            ("health-interval", "1ms"),
        ),
        (("--health-retries", "-1", "busy:1"), ("health-retries",)),
        (("--health-cmd", "true", "--no-healthcheck", "busy:1"), ("no-healthcheck", "conflicts")),
        (("--memory-swap", "1g", "busy:1"), ("memory-swap", "limit of memory")),
    ],
)
def test_wrong_service_flags_are_refused(
    pair: Pair, flags: tuple[str, ...], words: tuple[str, ...]
) -> None:
    refused(pair.create(*flags), *words)


def test_an_image_that_is_nowhere_is_refused(pair: Pair) -> None:
    pair.lan.start_registry()
    reference = f"{pair.lan.registry}/nothing/here:1"

    refused(pair.create("--name", "nothing", reference), "nothing/here", "not found")


def test_a_name_already_taken_is_refused(pair: Pair) -> None:
    pair.create("--name", "taken", "busy:1")
    try:
        refused(pair.create("--name", "taken", "busy:1"), "taken")
    finally:
        pair.manager.ctl("service", "rm", "taken")


def test_a_caller_without_a_certificate_is_refused(pair: Pair) -> None:
    probe = (
        "import socket,ssl,sys\n"
        "c=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT);c.check_hostname=False;c.verify_mode=ssl.CERT_NONE\n"
        "c.set_alpn_protocols(['h2'])\n"
        f"s=c.wrap_socket(socket.create_connection(('{pair.manager.ip}',2377),60))\n"
        "s.settimeout(60)\n"
        "try: sys.exit(0 if s.recv(9)==b'' else 'served')\n"
        "except ssl.SSLError: sys.exit(0)\n"
    )

    sh("nsenter", f"--net=/run/netns/{pair.other.namespace}", "python3", "-c", probe)


def test_a_worker_may_not_control_the_swarm(pair: Pair) -> None:
    assert pair.join(pair.token).returncode == 0
    try:
        refused(pair.other.ctl("service", "ls", check=False), "manager")
        refused(pair.other.ctl("join-token", "worker", check=False), "manager")
    finally:
        node = pair.other.ctl("status", "--format", "{{.NodeID}}").stdout.strip()
        pair.other.ctl("leave")
        wait_for(
            "removed",
            lambda: pair.manager.ctl("node", "rm", "--force", node, check=False).returncode == 0,
            within_s=30,
        )


def test_a_corrupted_layer_is_refused(pair: Pair) -> None:
    blob = layer({"motd": b"precious content"})
    archive = docker_archive(pair.lan.base / "bad.tar", "bad:1", layers=(blob,))
    archive.write_bytes(archive.read_bytes().replace(b"precious", b"precioux"))

    refused(pair.manager.ctl("image", "load", "-i", str(archive), check=False), "corrupted")


@pytest.mark.parametrize("name", ["../escape", "/etc/cron.d/escape", "a/../../escape"])
def test_a_layer_that_points_outside_is_refused(pair: Pair, name: str) -> None:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = 4
        tar.addfile(entry, io.BytesIO(b"evil"))

    done = pair.manager.ctl("image", "import", "-", "evil:1", stdin=raw.getvalue(), check=False)

    if name.startswith("/"):  # an absolute name is below the image's root, as tar has it
        pair.manager.ctl("image", "rm", "evil:1", check=False)
        assert not Path(name).exists()
    else:
        refused(done, "escape")


def test_a_link_planted_to_lead_outside_leads_nowhere(pair: Pair) -> None:
    target = Path(tempfile.mkdtemp())
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        link = tarfile.TarInfo("way")
        link.type, link.linkname = tarfile.SYMTYPE, str(target)
        tar.addfile(link)
        entry = tarfile.TarInfo("way/out")
        entry.size = 4
        tar.addfile(entry, io.BytesIO(b"evil"))
    try:
        pair.manager.ctl("image", "import", "-", "evil:2", stdin=raw.getvalue(), check=False)
        pair.manager.ctl("image", "rm", "evil:2", check=False)

        assert not list(target.iterdir())
    finally:
        shutil.rmtree(target)


def test_a_registry_that_dies_in_mid_pull_is_named(pair: Pair) -> None:
    class Dying(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/vnd.oci.image.manifest.v1+json")
            self.send_header("Content-Length", "100000")
            self.end_headers()
            self.wfile.write(b"{")
            self.close_connection = True

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Dying)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        port = server.server_address[1]
        # The host has a loopback of its own: nothing listens there, as after a crash.
        done = pair.manager.ctl("image", "pull", f"127.0.0.1:{port}/a:1", check=False)
        refused(done, f"127.0.0.1:{port}")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_full_disk_under_the_image_store_is_said(pair: Pair) -> None:
    """The image store is mounted on eight megabytes; a bigger image arrives."""
    store = pair.manager.data_root / "agent/images"
    directories = [path.relative_to(store) for path in store.glob("*/") if path.is_dir()]
    big = docker_archive(
        pair.lan.base / "big.tar", "big:1",
        layers=(layer({f"blob{number}": bytes([number]) * (1 << 20) for number in range(24)}),),
    )  # fmt: skip
    sh("mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(store))
    try:
        for directory in (*directories, Path("blobs/sha256")):
            (store / directory).mkdir(parents=True, exist_ok=True)
        done = pair.manager.ctl("image", "load", "-i", str(big), check=False)
        left = [path for path in store.rglob("*") if path.is_file() and path.stat().st_size > 4096]
    finally:
        sh("umount", "-l", str(store))

    refused(done, "space")
    assert not left
