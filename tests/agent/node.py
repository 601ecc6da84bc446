"""One node for tests: the real launcher and the real agent, below a directory of its own."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc

from swarm.api.v1 import images_pb2, images_pb2_grpc
from swarm.io.identity import IdentityFiles
from tests.agent.managers import FakeManager
from tests.images import docker_archive

ROOT = Path(__file__).parent.parent.parent
CONTROLLERS = Path("/sys/fs/cgroup")


class TestNode:
    """Starts, kills and inspects the processes of one node, in the network at `namespace`."""

    __test__ = False

    def __init__(
        self, manager_address: str, *, metrics_addr: str = "", namespace: str = ""
    ) -> None:
        # Not below pytest's own directory: paths of Unix sockets have to be short.
        self.base = Path(tempfile.mkdtemp(prefix="swa", dir="/tmp"))
        self.run_root, self.data_root = self.base / "run", self.base / "data"
        self.cgroup_parent = self.base.name
        self._inside = ("nsenter", f"--net={namespace}", "--") if namespace else ()
        self.run_root.mkdir(mode=0o700)
        self.config = self.base / "agent.json"
        self.config.write_text(
            json.dumps(
                {
                    "node_id": "node1",
                    "hostname": "host1",
                    "identity": str(self.base / "certificates"),
                    "managers": [manager_address],
                    "data_root": str(self.data_root),
                    "run_root": str(self.run_root),
                    "launcher_socket": str(self.run_root / "launcher.sock"),
                    "cgroup_parent": self.cgroup_parent,
                    "metrics_addr": metrics_addr,
                    "log_level": "debug",
                }
            )
        )
        self.agent: subprocess.Popen[bytes] | None = None
        self.launcher: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.base / "agent.log"

    def configure(self, **fields: object) -> None:
        """Change the agent's configuration, for its next start."""
        self.config.write_text(json.dumps(json.loads(self.config.read_text()) | fields))

    def install(self, manager: FakeManager) -> None:
        IdentityFiles(self.base / "certificates").install(manager.swarm.node())

    def start_launcher(self) -> None:
        self.launcher = self._popen(
            "runtime.io.launcher", "--socket", str(self.run_root / "launcher.sock"),
            "--run-root", str(self.run_root),
        )  # fmt: skip

    def start_agent(self) -> None:
        self.agent = self._popen("agent.main", "--config", str(self.config))

    def stop_agent(self, number: int = signal.SIGTERM) -> float:
        """End the agent; gives the seconds it took."""
        assert self.agent is not None
        began = time.monotonic()
        self.agent.send_signal(number)
        self.agent.wait(30)
        self.agent = None
        return time.monotonic() - began

    def purge(self) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [
                *self._inside, sys.executable, "-P", "-m", "agent.main",
                "--config", str(self.config), "--purge",
            ],
            cwd=ROOT, env=self._environment(), capture_output=True, check=False, timeout=60,
        )  # fmt: skip

    def images(self) -> images_pb2_grpc.ImagesStub:
        socket = self.run_root / "agent.sock"
        wait_for("the agent serves images", socket.exists)
        self._channel = grpc.insecure_channel(f"unix:{socket}")
        grpc.channel_ready_future(self._channel).result(30)
        return images_pb2_grpc.ImagesStub(self._channel)

    def load(self, *names: str, cmd: tuple[str, ...] = ("sleep", "1000000"), **config: object):
        archive = docker_archive(self.base / "image.tar", *names, cmd=cmd, config=config or None)
        chunks = iter([images_pb2.LoadImageRequest(chunk=archive.read_bytes())])
        return self.images().LoadImage(chunks, timeout=60).references

    def pids(self) -> dict[str, int]:
        """Process 1 of each container, as the kernel sees it."""
        directories, found = list[Path](), dict[str, int]()
        with contextlib.suppress(FileNotFoundError):  # it comes and goes with its containers
            directories += (CONTROLLERS / "pids" / self.cgroup_parent).iterdir()
        for directory in directories:
            with contextlib.suppress(OSError):
                pids = [int(x) for x in (directory / "cgroup.procs").read_text().split()]
                if within := {number: pid for pid in pids if (number := _pid_within(pid))}:
                    found[directory.name] = within[min(within)]
        return found

    def own(self, task_id: str) -> Path:
        return self.data_root / "agent/containers" / task_id

    def close(self) -> None:
        """Remove everything; fails when something of ours is left."""
        try:
            if self.agent is not None:
                self.stop_agent(signal.SIGKILL)
            purged = self.purge()
            if self.launcher is not None:
                self.launcher.terminate()
                self.launcher.wait(30)
            assert purged.returncode == 0, purged.stderr.decode()
            wait_for("no process of ours is left", lambda: not self._processes())
            left = [str(x) for x in CONTROLLERS.glob(f"*/{self.cgroup_parent}")]
            assert not left, left
            assert str(self.base) not in Path("/proc/self/mountinfo").read_text()
        finally:
            for pid in self._processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            shutil.rmtree(self.base, ignore_errors=True)

    def _processes(self) -> list[int]:
        found = list[int](self.pids().values())
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if (
                    entry.name.isdigit()
                    and str(self.base).encode() in (entry / "cmdline").read_bytes()
                ):
                    found.append(int(entry.name))
        return found

    def _popen(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*self._inside, sys.executable, "-P", "-m", module, *arguments],
                cwd=ROOT, env=self._environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def _environment(self) -> dict[str, str]:
        return os.environ | {"PYTHONPATH": str(ROOT)}


def wait_for(what: str, done: Callable[[], object], *, within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while not done():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.005)


@contextlib.contextmanager
def node(manager_address: str, **options: str) -> Iterator[TestNode]:
    found = TestNode(manager_address, **options)
    try:
        yield found
    finally:
        found.close()


def _pid_within(pid: int) -> int | None:
    """What a process is called in its own namespace: numbers of the host start again at 32,768.

    None for one that has ended: a container's shell starts and ends others while we look.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    return int(status.partition("NSpid:")[2].splitlines()[0].split()[-1])
