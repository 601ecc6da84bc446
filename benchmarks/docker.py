"""Run Debian's Docker, with a data root and a network of its own, or on a given host."""

import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.accounting import Account

DAEMON = "/usr/sbin/dockerd"


class _Unix(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("docker")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


class Docker:
    """One dockerd; `create`, `wait` and `scale` are what the benchmark times.

    Without a `host` (a network namespace) it has one of its own, which nothing leaves, and makes
    no rules. `network` is what its services are in, and made if it is not the host's.
    """

    name = "docker"

    def __init__(self, host: str = "", *, network: str = "host") -> None:
        self._network = network
        self.base = Path(tempfile.mkdtemp(prefix="bench-docker-"))
        self.socket = f"{self.base}/docker.sock"
        self.account = Account(f"docker{host}")
        self._own = "" if host else f"benchdk{os.getpid()}"
        self.netns = host or self._own
        if self._own:
            subprocess.run(["ip", "netns", "add", self._own], check=True)
            subprocess.run(["ip", "-n", self._own, "link", "set", "lo", "up"], check=True)
        rules = () if host else ("--iptables=false", "--ip6tables=false", "--bridge=none")
        with (self.base / "log").open("wb") as log:
            self.daemon = subprocess.Popen(
                self.account.wrap(
                    "nsenter", f"--net=/run/netns/{self.netns}", DAEMON,
                    "--data-root", f"{self.base}/data", "--exec-root", f"{self.base}/exec",
                    "-H", f"unix://{self.socket}", "--pidfile", f"{self.base}/pid",
                    "--cgroup-parent", f"/{self.netns}", *rules,
                ), stdout=log, stderr=log,
            )  # fmt: skip
        self._wait_for_socket()

    def _wait_for_socket(self) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, http.client.HTTPException):
                self.call("GET", "/_ping")
                return
            time.sleep(0.1)
        raise SystemExit((self.base / "log").read_text()[-2000:])

    def call(self, method: str, path: str, body: Any = None, raw: bytes | None = None) -> Any:
        """One request to the Engine API."""
        link = _Unix(self.socket)
        headers = {"Content-Type": "application/x-tar" if raw else "application/json"}
        link.request(method, path, raw or json.dumps(body), headers)
        answer = link.getresponse()
        text = answer.read()
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status} {text!r}")
        with contextlib.suppress(ValueError):
            return json.loads(text)
        return text

    def cli(self, *args: str) -> str:
        """The docker command of the same package."""
        environment = os.environ | {"DOCKER_API_VERSION": "1.41"}
        return subprocess.run(
            ["docker", "-H", f"unix://{self.socket}", *args],
            check=True, capture_output=True, text=True, env=environment,
        ).stdout  # fmt: skip

    def init(self, rootfs: bytes) -> None:
        """Make the swarm and load the workload's image."""
        self.cli("swarm", "init", "--advertise-addr", "127.0.0.1")
        self.call("POST", "/images/create?fromSrc=-&repo=bench&tag=1", raw=rootfs)
        if self._network != "host":
            self.cli("network", "create", "-d", "overlay", self._network)

    def create(self, name: str, replicas: int, command: tuple[str, ...]) -> None:
        """Create a service and return when every task of it runs."""
        self.cli(
            "service", "create", "-d", "--name", name, "--replicas", str(replicas),
            "--network", self._network, "--endpoint-mode", "dnsrr",  # others would need IPVS
            "--no-resolve-image", "--restart-delay", "0s", "bench:1", *command,
        )  # fmt: skip
        self.wait(name, replicas)

    def running(self, name: str) -> int:
        """How many tasks of the service the API reports as running."""
        tasks = self.call("GET", f'/tasks?filters={{"service":["{name}"]}}')
        return sum(each["Status"]["State"] == "running" for each in tasks)

    def wait(self, name: str, running: int) -> None:
        """Poll the API until `running` tasks run."""
        while self.running(name) != running:
            time.sleep(0.01)

    def scale(self, name: str, replicas: int) -> None:
        """Scale and return when the API agrees."""
        self.cli("service", "scale", "-d", f"{name}={replicas}")
        self.wait(name, replicas)

    def remove(self, name: str) -> None:
        """Remove the service and return when no task of it is left."""
        self.cli("service", "rm", name)
        while self.call("GET", "/tasks"):
            time.sleep(0.01)

    def close(self) -> None:
        """End Docker and remove all that it made."""
        with contextlib.suppress(subprocess.CalledProcessError):
            self.cli("swarm", "leave", "--force")
        self.daemon.terminate()
        self.daemon.wait(30)
        time.sleep(1)
        for line in Path("/proc/mounts").read_text().splitlines():
            if str(self.base) in line:
                subprocess.run(["umount", "-l", line.split()[1]], check=False)
        if self._own:
            subprocess.run(["ip", "netns", "del", self._own], check=False)
        shutil.rmtree(self.base, ignore_errors=True)
        for group in Path("/sys/fs/cgroup").glob(f"*/{self.netns}"):
            with contextlib.suppress(OSError):
                group.rmdir()
        self.account.close()
