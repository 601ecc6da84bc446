"""Hosts on one machine: network namespaces on a bridge, each with its own swarmd.

A host is cut off by taking its link down, and killed by killing every process that carries
its run root on its command line or was started below it. Everything made here is named after
this process, and `Lan.close` removes it all.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from agent.network.io import namespaces
from tests.liveness import is_alive
from tests.swarm.io.real_registry import HTPASSWD, PASSWORD, USER

BIN = Path(sys.executable).parent
CONTROLLERS = Path("/sys/fs/cgroup")


def sh(*argv: str, check: bool = True, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run a command of the operating system, with its output."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=timeout)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(argv)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def wait_for(
    what: str, condition: Callable[[], Any], *, within_s: float, every_s: float = 0.02
) -> Any:
    """Wait until `condition` returns something true, and return that."""
    deadline = time.monotonic() + within_s
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s} s: {what} (last: {found!r})")
        time.sleep(every_s)


class Host:
    """One machine of the test: a network namespace, a data root and a run root."""

    def __init__(self, lan: "Lan", number: int) -> None:
        self.name = f"host{number}"
        self.ip = f"198.18.0.{10 + number}"
        self.ip6 = f"fd53:18::{10 + number}"
        self.namespace = f"{lan.prefix}h{number}"
        self.base = lan.base / self.name
        self.data_root, self.run_root = self.base / "data", self.base / "run"
        self.cgroup_parent = f"{lan.prefix}h{number}"
        self._lan = lan
        self._link = f"{lan.prefix}v{number}"
        self.base.mkdir()
        self._daemon: subprocess.Popen[bytes] | None = None
        self._asking: list[subprocess.Popen[bytes]] = []

    @property
    def url(self) -> str:
        return f"unix://{self.run_root}/swarmd.sock"

    @property
    def log(self) -> Path:
        return self.base / "swarmd.log"

    @property
    def network(self) -> Path:
        """This host's network namespace."""
        return Path("/run/netns") / self.namespace

    def start(self, *flags: str) -> None:
        """Start swarmd in this host's network and wait until it listens."""
        argv = [
            "nsenter", f"--net=/run/netns/{self.namespace}",
            str(BIN / "swarmd"),
            "--data-root", str(self.data_root), "--run-root", str(self.run_root),
            "--hostname", self.name, "--cgroup-parent", self.cgroup_parent,
            "--metrics-addr", f"{self.ip}:9323",
            "--insecure-registry", self._lan.registry,
            "--insecure-registry", self._lan.guarded, *flags,
        ]  # fmt: skip
        with self.log.open("ab") as log:
            self._daemon = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)
        self.wait_listening()

    def wait_listening(self) -> None:
        wait_for(
            f"{self.name} listens",
            lambda: self.ctl("status", check=False).returncode == 0 or self._died(),
            within_s=30,
        )

    def _died(self) -> bool:
        ended = self._daemon is not None and self._daemon.poll() not in (None, 0)
        if ended and not self.pids_of("swarmd.main", "bin/swarmd"):
            raise AssertionError(f"swarmd ended:\n{self.log.read_text()[-4000:]}")
        return False

    def ctl(self, *args: str, check: bool = True, timeout: float = 120, stdin: bytes | None = None):
        """Run swarmctl against this host."""
        done = subprocess.run(
            [str(BIN / "swarmctl"), "-H", self.url, *args],
            input=stdin, capture_output=True, check=False, timeout=timeout,
            stdin=subprocess.DEVNULL if stdin is None else None,
        )  # fmt: skip
        result = subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )
        if check and result.returncode:
            raise AssertionError(
                f"swarmctl {' '.join(args)}: {result.returncode}\n{result.stdout}{result.stderr}\n"
                + self.log.read_text()[-3000:]
            )
        return result

    def ctl_later(self, *args: str) -> None:
        """Run swarmctl, and do not wait for its answer."""
        self._asking.append(
            subprocess.Popen(
                [str(BIN / "swarmctl"), "-H", self.url, *args],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
        )  # fmt: skip

    def json(self, *args: str) -> Any:
        """The parsed answer of an `inspect` or of a listing in JSON lines."""
        text = self.ctl(*args).stdout
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            return [json.loads(line) for line in text.splitlines()]

    def pids_of(self, *words: str) -> list[int]:
        """Processes of this host whose command line holds one of `words`."""
        mine = str(self.base)
        return [
            pid for pid, line in command_lines()
            if mine in line and any(word in line for word in words)
        ]  # fmt: skip

    def containers(self) -> dict[str, int]:
        """Process 1 of each container of this host, by task, as the kernel sees it."""
        root = CONTROLLERS / "pids" / self.cgroup_parent
        found: dict[str, int] = {}
        for directory in _entries(root):
            procs = [int(pid) for pid in _read(directory / "cgroup.procs").split()]
            if first := next(filter(_is_first, procs), 0):
                found[directory.name] = first
        return found

    def kill(self, *words: str) -> list[int]:
        """End the processes of this host whose command line holds one of `words`; which ones.

        Some of them may be about to run another program, and end by themselves meanwhile.
        """
        victims = self.pids_of(*words)
        _kill(victims)
        return victims

    def cut(self) -> None:
        """Take this host's link down."""
        sh("ip", "-n", self._lan.switch, "link", "set", self._link, "down")

    def mend(self) -> None:
        """Bring it up again."""
        sh("ip", "-n", self._lan.switch, "link", "set", self._link, "up")

    def kill_everything(self) -> None:
        """End this host as a power cut would: every process of it, containers too.

        The launcher may have started another swarmd before it is its turn, so we look again.
        A process without a command line may still have its sockets: they end with the process.
        """
        killed = set[int]()
        while pids := [pid for pid, line in command_lines() if str(self.base) in line]:
            killed.update(pids)
            _kill(pids)
            if self._daemon is not None:
                self._daemon.poll()  # nobody else takes its exit code
        for controller in _controllers():
            pids = list(members(CONTROLLERS / controller / self.cgroup_parent))
            killed.update(pids)
            _kill(pids)
        for each in (*self._asking, *((self._daemon,) if self._daemon is not None else ())):
            each.wait()
        wait_for("all are dead", lambda: not any(map(is_alive, killed)), within_s=30)

    def wipe(self) -> None:
        """Take away what a reboot takes away of networks."""
        for name in namespaces.names(self.run_root / "netns"):
            namespaces.remove(self.run_root / "netns" / name)
        for line in sh("ip", "-n", self.namespace, "-o", "link").stdout.splitlines():
            link = line.split()[1].partition("@")[0].rstrip(":")
            if link not in {"lo", "eth0"}:
                sh("ip", "-n", self.namespace, "link", "del", link, check=False)
        sh("nsenter", f"--net={self.network}", "nft", "flush", "ruleset")
        shutil.rmtree(self.run_root, ignore_errors=True)

    def stop(self) -> None:
        """Leave the swarm, if any, and stop swarmd."""
        if self.pids_of("bin/swarmd", "swarmd.main"):
            self.ctl("leave", "--force", check=False)
        for pid in self.pids_of("bin/swarmd", "swarmd.main"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        if self._daemon is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._daemon.wait(30)
        wait_for("swarmd gone", lambda: not self.pids_of("bin/swarmd", "swarmd.main"), within_s=30)


class Lan:
    """A bridge in a namespace of its own, and the hosts on it."""

    def __init__(self, base: Path, hosts: int) -> None:
        self.prefix = f"sw{os.getpid() % 10000}"
        self.base = base
        self.switch = f"{self.prefix}sw"
        self.registry = "198.18.0.5:5000"
        self.guarded = "198.18.0.5:5001"
        self._registries: list[subprocess.Popen[bytes]] = []
        self.hosts: list[Host] = []
        sh("ip", "netns", "add", self.switch)
        sh("ip", "-n", self.switch, "link", "add", "br0", "type", "bridge")
        sh("ip", "-n", self.switch, "link", "set", "br0", "up")
        self._attach(f"{self.prefix}reg", f"{self.prefix}vr", "198.18.0.5")
        for number in range(1, hosts + 1):
            host = Host(self, number)
            self._attach(host.namespace, f"{self.prefix}v{number}", host.ip)
            self.hosts.append(host)

    def _attach(self, namespace: str, link: str, ip: str) -> None:
        sh("ip", "netns", "add", namespace)
        sh("ip", "-n", namespace, "link", "set", "lo", "up")
        sh("ip", "-n", self.switch, "link", "add", link, "type", "veth",
           "peer", "name", "eth0", "netns", namespace)  # fmt: skip
        sh("ip", "-n", self.switch, "link", "set", link, "master", "br0", "up")
        ip6 = f"fd53:18::{ip.rpartition('.')[2]}/64"
        sh("ip", "-n", namespace, "addr", "add", f"{ip}/24", "dev", "eth0")
        sh("ip", "-n", namespace, "addr", "add", ip6, "dev", "eth0", "nodad")
        sh("ip", "-n", namespace, "link", "set", "eth0", "up")

    @property
    def _in_registry(self) -> tuple[str, str]:
        return "nsenter", f"--net=/run/netns/{self.prefix}reg"

    def start_registry(self, *, login: bool = False) -> str:
        """Start Debian's registry on this network; returns its HOST:PORT.

        The one with a `login` is another, and wants USER and PASSWORD.
        """
        address, auth = self.guarded if login else self.registry, ""
        root = self.base / f"registry-{address}"
        root.mkdir()
        if login:
            (root / "htpasswd").write_text(HTPASSWD + "\n")
            auth = f"auth:\n  htpasswd:\n    realm: test\n    path: {root / 'htpasswd'}\n"
        (root / "config.yml").write_text(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n"
            f"    rootdirectory: {root / 'storage'}\nhttp:\n  addr: {address}\n{auth}"
        )
        self._registries.append(
            subprocess.Popen(
                [*self._in_registry, "docker-registry", "serve", str(root / "config.yml")],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
        wait_for("the registry listens", lambda: self._listens(address), within_s=60)
        return address

    def _listens(self, address: str) -> bool:
        """Whether the registry's host has a server there."""
        host, _, port = address.partition(":")
        netns = namespaces.opened(Path("/run/netns") / f"{self.prefix}reg")
        try:
            with (
                contextlib.suppress(OSError),
                namespaces.entered(netns),
                socket.create_connection((host, int(port)), timeout=10),
            ):
                return True
        finally:
            os.close(netns)
        return False

    def push(self, archive: Path, name: str, *, login: bool = False) -> str:
        """Push a docker-archive into a registry; returns the reference."""
        reference = f"{self.guarded if login else self.registry}/{name}"
        argv = (
            *self._in_registry, "skopeo", "copy", "-q", "--insecure-policy",
            "--dest-tls-verify=false", *((f"--dest-creds={USER}:{PASSWORD}",) if login else ()),
            f"docker-archive:{archive}", f"docker://{reference}",
        )  # fmt: skip
        wait_for("pushed", lambda: sh(*argv, check=False).returncode == 0, within_s=60, every_s=0.2)
        return reference

    def close(self) -> None:
        """Remove every process, namespace, cgroup and file of this network."""
        for host in self.hosts:
            with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
                host.stop()
            host.kill_everything()
            host.wipe()
            remove_cgroups(host.cgroup_parent)
        for registry in self._registries:
            registry.kill()
            registry.wait()
        for namespace in [*(x.namespace for x in self.hosts), f"{self.prefix}reg", self.switch]:
            sh("ip", "netns", "del", namespace, check=False)
        shutil.rmtree(self.base, ignore_errors=True)
        with contextlib.suppress(AssertionError):  # what is left is told below
            wait_for("nothing is left", lambda: not self.left_behind(), within_s=10)
        left = self.left_behind()
        assert not left, left

    def left_behind(self) -> list[str]:
        """Processes, mounts, namespaces and links of ours that are still there."""
        mine = str(self.base)
        processes = [line for pid, line in command_lines() if mine in line and pid != os.getpid()]
        mounts = [line for line in _read(Path("/proc/mounts")).splitlines() if mine in line]
        names = (sh("ip", "netns").stdout + sh("ip", "-o", "link").stdout).splitlines()
        return processes + mounts + [line for line in names if self.prefix in line]


def command_lines() -> Iterator[tuple[int, str]]:
    """Every process with its command line."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (line := _read(entry / "cmdline")):
            yield int(entry.name), line.replace("\0", " ")


def members(group: Path) -> Iterator[int]:
    """Every process in a control group and in those below it, some of which may go meanwhile."""
    for directory, _, _ in os.walk(group):
        yield from map(int, _read(Path(directory, "cgroup.procs")).split())


def _kill(pids: Iterable[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def remove_cgroups(parent: str) -> None:
    """Remove the control groups below `parent` in every hierarchy, as soon as they are empty."""
    roots = [root for each in _controllers() if (root := CONTROLLERS / each / parent).is_dir()]
    for root in roots:
        wait_for(f"{root} removed", lambda root=root: _removed(root), within_s=30)


def _is_first(pid: int) -> bool:
    """Whether it is process 1 of a pid namespace below ours; numbers wrap, so none tells."""
    _, _, ids = _read(Path(f"/proc/{pid}/status")).partition("NSpid:")
    numbers = ids.partition("\n")[0].split()
    return len(numbers) > 1 and numbers[-1] == "1"


def _removed(root: Path) -> bool:
    for directory, _, _ in os.walk(root, topdown=False):
        try:
            Path(directory).rmdir()
        except OSError:
            return False
    return True


def _controllers() -> list[str]:
    return [each.name for each in CONTROLLERS.iterdir() if each.is_dir()]


def _entries(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except OSError:
        return []


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
