"""Make OCI bundles, run `swarm-runtime` on them, and see what is left of them."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from runtime.cgroups.layout import read_layout
from runtime.command import template
from runtime.io import cgroups
from tests.kernel.machine import command_lines, make_image, wait_for

REPOSITORY = Path(__file__).parents[2]
INSTALLED = Path(sys.executable).with_name("swarm-runtime")
PROGRAM = str(INSTALLED if INSTALLED.exists() else REPOSITORY / "packaging/swarm-runtime")
Config = dict[str, Any]
Done = subprocess.CompletedProcess[str]


class Bundles:
    """A state root and bundles below a temporary directory; they share one root file system."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.root = base / "state"
        self.rootfs = base / "rootfs"
        self.parent = f"swarmtest{os.getpid()}"
        self.layout = read_layout(Path("/proc/self/mountinfo").read_text())
        base.mkdir()
        make_image(self.rootfs)
        self._names = 0

    def config(self, name: str, *args: str, **process: Any) -> Config:
        """What a bundle says that runs `args` without a terminal."""
        made = template.config()
        made["process"] |= {"terminal": False, "args": list(args)} | process
        made["process"]["env"] = ["PATH=/bin"]
        made["root"] = {"path": str(self.rootfs)}
        made["linux"]["cgroupsPath"] = f"/{self.parent}/{name}"
        return made

    def bundle(
        self, *args: str, name: str = "", change: Callable[[Config], object] | None = None,
        **process: Any,
    ) -> str:  # fmt: skip
        """A new bundle; the name is the container's id too."""
        self._names += 1
        name = name or f"c{self._names}"
        config = self.config(name, *args, **process)
        if change is not None:
            change(config)
        return self.write(name, config)

    def write(self, name: str, config: Config) -> str:
        """Write a bundle's config.json."""
        directory = self.base / "bundles" / name
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "config.json").write_text(json.dumps(config))
        return name

    def path(self, name: str) -> Path:
        """The bundle's directory."""
        return self.base / "bundles" / name

    def words(self, *words: str) -> list[str]:
        """A command line on this root."""
        return [PROGRAM, "--root", str(self.root), *words]

    def run(self, *words: str, ok: bool = True, timeout_s: float = 30, **options: Any) -> Done:
        """Carry out a command and return when it has ended. No stream of its outlives it."""
        files = {each: self.base / f"{each}-{time.monotonic_ns()}" for each in ("out", "err")}
        with files["out"].open("w") as out, files["err"].open("w") as err:
            done = subprocess.run(
                self.words(*words), timeout=timeout_s, check=False,
                **({"stdin": subprocess.DEVNULL, "stdout": out, "stderr": err} | options),
            )  # fmt: skip
        found = Done(done.args, done.returncode, *(files[each].read_text() for each in files))
        assert not ok or found.returncode == 0, found
        assert "Traceback" not in found.stderr, found.stderr
        return found

    def start(self, *words: str, **options: Any) -> "subprocess.Popen[bytes]":
        """Begin a command."""
        return subprocess.Popen(self.words(*words), **options)

    def create(self, name: str, *flags: str, **options: Any) -> Done:
        """Create the container of a bundle."""
        words = ("create", "--bundle", str(self.path(name)), *flags, name)
        return self.run(*words, **options)

    def launch(self, *args: str, **fields: Any) -> str:
        """A container that runs."""
        name = self.bundle(*args, **fields)
        self.run("run", "-d", "-b", str(self.path(name)), name)
        return name

    def foreground(self, name: str, *flags: str, **options: Any) -> Done:
        """Run a bundle to its end."""
        words = ("run", "--bundle", str(self.path(name)), *flags, name)
        return self.run(*words, **({"ok": False} | options))

    def state(self, name: str) -> Config:
        """What `state` says."""
        return json.loads(self.run("state", name).stdout)

    def status(self, name: str) -> str:
        """Of that, the status."""
        return str(self.state(name)["status"])

    def wait_for_status(self, name: str, status: str) -> None:
        """Wait until the container is in a status."""
        wait_for(f"{name} is {status}", lambda: self.status(name) == status)

    def groups(self, name: str) -> list[Path]:
        """The container's control groups that exist."""
        found = (Path(root) / self.parent / name for root in self.layout.hierarchies)
        return [each for each in found if each.exists()]

    def limit(self, name: str, controller: str, v1_file: str, v2_file: str) -> str:
        """What a file of the container's group says."""
        root = self.layout.v1.get(controller, self.layout.unified)
        file = v1_file if self.layout.v1 else v2_file
        return (Path(root) / self.parent / name / file).read_text().strip()

    def leaks(self) -> list[str]:
        """Processes, groups, mounts and files that are still there."""
        found = [f"process {pid} {line!r}" for pid, line in self._processes()]
        for root in self._hierarchies():
            found += [f"cgroup {each}" for each in (root / self.parent).glob("*/")]
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        found += [f"mount {line}" for line in mounts if str(self.base) in line]
        if self.root.exists():
            found += [str(each) for each in self.root.iterdir() if each.name != ",seccomp"]
        return found

    def _hierarchies(self) -> list[Path]:
        return [Path(each) for each in {*self.layout.hierarchies, self.layout.unified} if each]

    def _processes(self) -> Iterator[tuple[int, bytes]]:
        base = str(self.base).encode()
        for pid, line in command_lines():
            with contextlib.suppress(OSError):
                root = str(Path(f"/proc/{pid}/root").readlink())
                if base in line or root.startswith(str(self.base)):
                    yield pid, line

    def close(self) -> None:
        """End whatever a failed test left, by its group and its name."""
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            pids = [pid for pid, _ in self._processes()]
            for root in self._hierarchies():
                for procs in (root / self.parent).glob("**/cgroup.procs"):
                    pids += [int(pid) for pid in cgroups.read(str(procs)).split()]
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._thaw()
            if not pids:
                break
        for root in self._hierarchies():
            top = root / self.parent
            for each in [*sorted(top.glob("**/"), reverse=True), top]:
                with contextlib.suppress(OSError):
                    each.rmdir()
        shutil.rmtree(self.base, ignore_errors=True)

    def _thaw(self) -> None:
        for root in self._hierarchies():
            for file, word in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
                for each in (root / self.parent).glob(f"**/{file}"):
                    with contextlib.suppress(OSError):
                        each.write_text(word)
