"""A run root with a launcher and a busybox image, and the means to see what is left of it."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from runtime.cgroups.layout import read_layout
from runtime.io import cgroups
from runtime.io.client import Runtime
from runtime.outcome import Exited
from runtime.spec import ContainerSpec, Log, Overlay

REPOSITORY = Path(__file__).parents[2]
APPLETS = (
    "awk", "cat", "cp", "dd", "echo", "env", "false", "grep", "hostname", "id", "ip", "kill",
    "ln", "ls", "mkdir", "mknod", "mount", "mv", "ps", "pwd", "readlink", "rm", "sh", "sleep",
    "stat", "sync", "tail", "test", "touch", "tr", "true", "ulimit", "umount", "wc", "yes",
)  # fmt: skip


# How many times longer than usual to wait before giving up: an emulated machine is slow.
PATIENCE = float(os.environ.get("SWARM_TEST_PATIENCE", "1"))
ENDING_S = 20 * PATIENCE  # for a launcher, which never takes that long
_POLL = 7  # its number on x86


def wait_for(what: str, condition: Callable[[], Any], *, within_s: float = 10.0) -> Any:
    """Wait until `condition` returns something true, and return that."""
    deadline = time.monotonic() + within_s * PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.002)
    return found


class Machine:
    """One node's runtime, below a temporary directory."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.run_root = base / "run"
        self.socket = base / "launcher.sock"
        self.cgroup_parent = f"swarmtest{os.getpid()}"
        self.layout = read_layout(Path("/proc/self/mountinfo").read_text())
        self.image = base / "image"
        self.launchers: list[subprocess.Popen[bytes]] = []
        self._names = 0
        make_image(self.image)

    def start_launcher(
        self, *flags: str, module: str = "runtime.io.launcher"
    ) -> subprocess.Popen[bytes]:
        launcher = subprocess.Popen(
            [sys.executable, "-m", module, "--socket", str(self.socket),
             "--run-root", str(self.run_root), *flags],
            cwd=REPOSITORY, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        self.launchers.append(launcher)
        return launcher

    def replace_launcher(self, *, module: str = "runtime.io.launcher") -> subprocess.Popen[bytes]:
        """End the launchers there are and have another one listen."""
        for launcher in self.launchers:
            launcher.terminate()
            launcher.wait(ENDING_S)
        self.socket.unlink(missing_ok=True)
        launcher = self.start_launcher(module=module)
        wait_for("the launcher listens", self.socket.exists)
        return launcher

    def spec(self, *args: str, name: str = "", **fields: Any) -> ContainerSpec:
        self._names += 1
        name = name or f"c{self._names}"
        defaults: dict[str, Any] = {
            "env": ("PATH=/bin",),
            "rootfs": Overlay(
                lower_dirs=(str(self.image),),
                upper_dir=str(self.base / "containers" / name / "upper"),
                work_dir=str(self.base / "containers" / name / "work"),
            ),
            "log": Log(path=str(self.log(name))),
            "cgroup_parent": self.cgroup_parent,
        }
        return ContainerSpec(id=name, args=args, **(defaults | fields))

    def log(self, name: str) -> Path:
        return self.base / "logs" / name / "log"

    def output(self, name: str, stream: str = "") -> str:
        """What a container has printed so far, in whole records: one may just be being written."""
        path = self.log(name)
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        records = [json.loads(line) for line in lines if line.endswith(b"\n")]
        return "".join(r["log"] for r in records if stream in ("", r["stream"]))

    @contextlib.asynccontextmanager
    async def runtime(self, **options: Any) -> AsyncIterator[Runtime]:
        runtime = Runtime(run_root=self.run_root, launcher_socket=self.socket, **options)
        await runtime.connect()
        try:
            yield runtime
        finally:
            await runtime.close()

    async def finish(self, runtime: Runtime, spec: ContainerSpec) -> Exited:
        """Run a container to its end."""
        await runtime.run(spec)
        return await exit_of(runtime)

    def run(self, *args: str, **fields: Any) -> tuple[Exited, str]:
        """Run a container to its end and delete it; how it ended, and its output."""

        async def story() -> tuple[Exited, str]:
            async with self.runtime() as runtime:
                spec = self.spec(*args, **fields)
                exited = await self.finish(runtime, spec)
                output = self.output(spec.id)
                await runtime.delete(spec.id)
                return exited, output

        return asyncio.run(story())

    def cgroup(self, controller: str, name: str) -> Path:
        root = self.layout.v1.get(controller, self.layout.unified)
        return Path(root, self.cgroup_parent, name)

    def groups(self) -> list[Path]:
        """The parents of our containers' groups, one in each hierarchy."""
        found = [Path(root, self.cgroup_parent) for root in self.layout.hierarchies]
        return [path for path in found if path.exists()]

    def shim_of(self, name: str) -> int:
        """The pid of a container's shim."""
        wanted = f"swarmd-shim\0{name}\0{self.run_root}".encode()
        for pid, line in command_lines():
            if line.rstrip(b"\0") == wanted:
                return pid
        return 0

    def leaks(self) -> list[str]:
        """Processes, namespaces, groups, mounts and files of this machine that are still there."""
        root = str(self.base).encode()
        spares = b"swarmd-spare" if any(each.poll() is None for each in self.launchers) else b"-"
        found = [
            f"process {pid} {line!r}"
            for pid, line in command_lines()
            if root in line and not line.startswith(spares)  # they wait for a launcher that lives
        ]
        found += [f"namespace of {pid} {line!r}" for pid, line in isolated(root)]
        found += [f"cgroup {path}" for path in self.groups()]
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        found += [f"mount {line}" for line in mounts if str(self.base) in line]
        containers = self.run_root / "containers"
        found += [str(path) for path in containers.glob("*")] if containers.exists() else []
        found += [str(path) for path in (self.base / "containers").glob("*")]
        return found

    def close(self) -> None:
        """End whatever a failed test left."""
        for launcher in self.launchers:
            launcher.kill()
            launcher.wait()
        for group in self.groups():
            for procs in group.glob("*/cgroup.procs"):
                for pid in cgroups.read(str(procs)).split():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGKILL)
        root = str(self.base).encode()
        for pid, line in command_lines():
            if line.startswith((b"swarmd-shim", b"swarmd-spare")) and root in line:
                with contextlib.suppress(AssertionError):
                    wait_for("shim ends", partial(_is_gone, pid), within_s=3)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for group in self.groups():
            for directory in [*(each for each in group.iterdir() if each.is_dir()), group]:
                with contextlib.suppress(OSError, AssertionError):
                    wait_for("removed", partial(_rmdir, directory), within_s=3)
        shutil.rmtree(self.base, ignore_errors=True)


def cpu_ticks(pid: int) -> int:
    """How long a process has computed, in the kernel's ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def system_call(pid: int) -> int:
    """The number of the system call that a process sleeps in; -1 if it runs or is gone."""
    try:
        number = Path(f"/proc/{pid}/syscall").read_text().split()[0]
    except OSError:
        return -1
    return -1 if number == "running" else int(number)


def descriptors_at_rest(pid: int) -> list[str]:
    """What a launcher or a shim has open when it has done all it had to; nothing until then."""
    has_rested = system_call(pid) == _POLL
    try:
        found = [str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return []
    if not has_rested or system_call(pid) != _POLL:
        return []
    return sorted(each.split("[")[0] for each in found)


async def exit_of(runtime: Runtime, within_s: float = 20.0) -> Exited:
    """The next exit."""
    return await asyncio.wait_for(anext(runtime.exits()), within_s * PATIENCE)


async def eventually(what: str, condition: Callable[[], Any], within_s: float = 10.0) -> Any:
    """Like `wait_for`, with the event loop running."""
    deadline = time.monotonic() + within_s * PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        await asyncio.sleep(0.005)
    return found


async def failure_of(
    action: Awaitable[object], kind: type[Exception] | tuple[type[Exception], ...]
) -> Any:
    """The failure that `action` ends with."""
    try:
        await action
    except kind as err:
        return err
    raise AssertionError(f"no {kind}")


def make_image(root: Path) -> None:
    """A root file system with busybox, a user and a group."""
    for directory in ("bin", "etc", "tmp", "data/inner"):
        (root / directory).mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin/busybox")
    for applet in APPLETS:
        (root / "bin" / applet).symlink_to("busybox")
    (root / "etc/passwd").write_text(
        "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001:app:/home/app:/bin/sh\n"
    )
    (root / "etc/group").write_text("root:x:0:\napp:x:1001:\nvideo:x:44:app\n")
    (root / "data/inner/file").write_text("from the image\n")
    os.chown(root / "data/inner/file", 1000, 1001)


def command_lines() -> list[tuple[int, bytes]]:
    """Every process with its command line."""
    found: list[tuple[int, bytes]] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                found.append((int(entry.name), (entry / "cmdline").read_bytes()))
    return found


def isolated(root: bytes) -> list[tuple[int, bytes]]:
    """Processes in a mount namespace that is not ours, in which something of `root` is mounted.

    A namespace lives as long as a process in it, a descriptor or a mount of it.
    """
    ours = Path("/proc/self/ns/mnt").readlink()
    found: list[tuple[int, bytes]] = []
    for pid, line in command_lines():
        with contextlib.suppress(OSError):
            elsewhere = Path(f"/proc/{pid}/ns/mnt").readlink() != ours
            if elsewhere and root in Path(f"/proc/{pid}/mountinfo").read_bytes():
                found.append((pid, line))
    return found


def _is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def _rmdir(path: Path) -> bool:
    with contextlib.suppress(OSError):
        path.rmdir()
    return not path.exists()
