"""Run swarmd, with roots and a network of its own, or on a given host."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.accounting import Account

BIN = Path(sys.executable).parent


class Ours:
    """One swarmd; the same verbs as `benchmarks.docker.Docker`, and the same kind of host."""

    name = "swarmd"

    def __init__(self, host: str = "", *, network: str = "host") -> None:
        self._network = network
        self.base = Path(tempfile.mkdtemp(prefix="bench-swarmd-"))
        self.account = Account(f"swarmd{host}")
        self._own = "" if host else f"benchsw{os.getpid()}"
        self.netns = host or self._own
        if self._own:
            subprocess.run(["ip", "netns", "add", self._own], check=True)
            subprocess.run(["ip", "-n", self._own, "link", "set", "lo", "up"], check=True)
        with (self.base / "log").open("wb") as log:
            self.daemon = subprocess.Popen(
                self.account.wrap(
                    "nsenter", f"--net=/run/netns/{self.netns}", str(BIN / "swarmd"),
                    "--data-root", f"{self.base}/data", "--run-root", f"{self.base}/run",
                    "--cgroup-parent", self.netns,
                ), stdout=log, stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + 30
        while subprocess.run(self._argv("status"), capture_output=True, check=False).returncode:
            if time.monotonic() > deadline:
                raise SystemExit((self.base / "log").read_text()[-2000:])
            time.sleep(0.1)

    def _argv(self, *args: str) -> list[str]:
        return [str(BIN / "swarmctl"), "-H", f"unix://{self.base}/run/swarmd.sock", *args]

    def cli(self, *args: str, stdin: bytes | None = None) -> str:
        """swarmctl."""
        done = subprocess.run(self._argv(*args), capture_output=True, input=stdin, check=False)
        if done.returncode:
            raise SystemExit(f"swarmctl {args}: {done.stderr.decode()}")
        return done.stdout.decode()

    def init(self, rootfs: bytes) -> None:
        """Make the swarm and load the workload's image."""
        self.cli("init", "--advertise-addr", "127.0.0.1")
        self.cli("image", "import", "-", "bench:1", stdin=rootfs)
        if self._network != "host":
            self.cli("network", "create", self._network)

    def create(self, name: str, replicas: int, command: tuple[str, ...]) -> None:
        """Create a service; swarmctl returns when every task of it runs."""
        self.cli(
            "service", "create", "-q", "--name", name, "--replicas", str(replicas),
            "--network", self._network, "--restart-delay", "0s", "bench:1", *command,
        )  # fmt: skip

    def running(self, name: str) -> int:
        """How many tasks of the service the API reports as running."""
        lines = self.cli("service", "ps", name, "--format", "{{json .}}").splitlines()
        return sum(json.loads(line)["CurrentState"].startswith("Running") for line in lines)

    def scale(self, name: str, replicas: int) -> None:
        """Scale; swarmctl returns when the swarm agrees."""
        self.cli("service", "scale", f"{name}={replicas}")

    def remove(self, name: str) -> None:
        """Remove the service and return when no task of it is left."""
        self.cli("service", "rm", name)
        while self.cli("node", "ps", "self", "-q").strip():
            pass

    def close(self) -> None:
        """End swarmd and remove all that it made."""
        with contextlib.suppress(SystemExit):  # it never joined
            self.cli("leave", "--force")
        self.daemon.terminate()
        self.daemon.wait(30)
        if self._own:
            subprocess.run(["ip", "netns", "del", self._own], check=False)
        self._unmount()
        shutil.rmtree(self.base, ignore_errors=True)
        self.account.close()

    def _unmount(self) -> None:
        """Networks of the node outlive swarmd, as its containers do: here they are to go."""
        mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for each in reversed([each for each in mounts if each.startswith(f"{self.base}/")]):
            subprocess.run(["umount", "--lazy", each], check=True)
