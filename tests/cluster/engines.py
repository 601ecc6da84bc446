"""Run podman and dockerd with a runtime of our choice, below a directory of their own.

Neither touches the host's own containers, networks or configuration. What they leave behind,
a test hears of; what a failed test left is ended and unmounted.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from functools import partial
from pathlib import Path

from runtime.cgroups.layout import read_layout
from tests.cluster.hosts import command_lines, members, remove_cgroups, wait_for

_PODMAN_CONFIG = """
[engine]
lock_type = "file"
cgroup_manager = "cgroupfs"
events_logger = "file"
image_default_transport = "containers-storage:"
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
"""


class Engine:
    """What both have in common: nearly all commands, and what they may leave behind."""

    def __init__(self, program: str) -> None:
        self.program = program
        self.base = Path(tempfile.mkdtemp(prefix=f"swarm-{program}-"))
        self.cgroup_parent = f"swarm{program}{os.getpid()}"
        self.words: list[str] = []
        self.environment = dict(os.environ)

    def cli(
        self, *args: str, check: bool = True, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """One command of the engine's own client."""
        return subprocess.run(
            [self.program, *self.words, *args],
            check=check, capture_output=True, text=True, timeout=timeout, env=self.environment,
        )  # fmt: skip

    def run(self, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a container without a network, in a group below ours."""
        flags = ("--network", "none", "--cgroup-parent", f"/{self.cgroup_parent}")
        return self.cli("run", *flags, *args, check=check)

    def inspect(self, name: str, field: str) -> str:
        """One field of a container."""
        return self.cli("inspect", "--format", f"{{{{.{field}}}}}", name).stdout.strip()

    def left_behind(self) -> list[str]:
        """Processes, mounts and groups that still name this engine."""
        base = str(self.base)
        found = [f"process {pid} {line}" for pid, line in command_lines() if base in line]
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        found += [f"mount {line.split()[4]}" for line in mounts if base in line]
        for group in self._groups():
            # podman leaves the group of its monitors, whatever the runtime.
            _, below, _ = next(os.walk(group), ("", [], []))
            found += [f"group {group / each}" for each in below if each != "conmon"]
        return found

    def _groups(self) -> list[Path]:
        layout = read_layout(Path("/proc/self/mountinfo").read_text())
        found = [Path(root, self.cgroup_parent) for root in layout.hierarchies]
        return [path for path in found if path.exists()]

    def close(self) -> None:
        """End and remove everything."""
        base = str(self.base)
        for pid, line in command_lines():
            if base in line and "pytest" not in line:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for group in self._groups():
            for pid in members(group):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        for line in reversed([line for line in mounts if base in line]):
            subprocess.run(["umount", "-l", line.split()[4]], check=False, capture_output=True)
        remove_cgroups(self.cgroup_parent)
        shutil.rmtree(self.base, ignore_errors=True)


class Podman(Engine):
    """podman, which needs no daemon: conmon calls the runtime."""

    def __init__(self, runtime: str) -> None:
        super().__init__("podman")
        config = self.base / "containers.conf"
        config.write_text(_PODMAN_CONFIG)
        self.environment["CONTAINERS_CONF"] = str(config)
        self.words = [
            "--root", f"{self.base}/root", "--runroot", f"{self.base}/run",
            "--tmpdir", f"{self.base}/tmp", "--network-config-dir", f"{self.base}/networks",
            "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--runtime", runtime,
        ]  # fmt: skip


class Docker(Engine):
    """dockerd with a containerd of its own, without a bridge and without packet filters."""

    def __init__(self, runtime: str) -> None:
        super().__init__("docker")
        self.words = ["--host", f"unix://{self.base}/docker.sock"]
        self.environment["DOCKER_CONFIG"] = str(self.base)
        with (self.base / "log").open("wb") as log:
            self.daemon = subprocess.Popen(
                ["dockerd", "--data-root", f"{self.base}/data", "--exec-root", f"{self.base}/exec",
                 "--pidfile", f"{self.base}/pid", "--config-file", self._configuration(runtime),
                 *self.words], stdout=log, stderr=log,
            )  # fmt: skip
        try:
            wait_for("dockerd answers", partial(self._answers), within_s=60)
        except BaseException:
            print((self.base / "log").read_text()[-4000:])
            self.close()
            raise

    def _configuration(self, runtime: str) -> str:
        file = self.base / "daemon.json"
        file.write_text(
            json.dumps(
                {
                    "runtimes": {"ours": {"path": runtime}},
                    "default-runtime": "ours",
                    "storage-driver": "vfs",
                    "bridge": "none",
                    "iptables": False,
                    "ip6tables": False,
                    "cgroup-parent": f"/{self.cgroup_parent}",
                }
            )
        )
        return str(file)

    def _answers(self) -> bool:
        return self.cli("version", check=False).returncode == 0

    def close(self) -> None:
        self.daemon.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.daemon.wait(20)
        super().close()
