"""Build OCI configs with defaults, and run them without any command or daemon."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from runtime.cgroups.layout import read_layout
from runtime.io import host
from runtime.io.spawning import Spawned, Stdio, spawn
from runtime.oci.config import (
    Capabilities,
    Config,
    IdMapping,
    Linux,
    Mount,
    Namespace,
    Process,
    Root,
)
from runtime.plan import Extras, Place, host_steps, make_plan, plan_exec
from runtime.steps import own, undo
from runtime.translation import to_config
from tests.kernel.machine import make_image, wait_for
from tests.runtime.specs import make_spec

CAPABILITIES = ("CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_SETGID", "CAP_DAC_OVERRIDE")
NEW = ("pid", "mount", "uts", "ipc", "network", "cgroup")
MAPPED = (IdMapping(container_id=0, host_id=100_000, size=65_536),)
USUAL_MOUNTS = to_config(make_spec()).mounts
LAST_CAPABILITY = int(Path("/proc/sys/kernel/cap_last_cap").read_text())


def config(
    *args: str,
    namespaces: tuple[str | Namespace, ...] = NEW,
    mounts: tuple[Mount, ...] = (),
    process: dict[str, Any] | None = None,
    linux: dict[str, Any] | None = None,
    **fields: Any,
) -> Config:
    """A container with few rights; `process` and `linux` replace what is named in them."""
    some = Capabilities(bounding=CAPABILITIES, effective=CAPABILITIES, permitted=CAPABILITIES)
    asked = Process(args=args, env=("PATH=/bin",), capabilities=some, no_new_privileges=True)
    kinds = tuple(Namespace(type=n) if isinstance(n, str) else n for n in namespaces)
    return Config(
        oci_version="1.2.0",
        root=fields.pop("root", Root(path="rootfs")),
        process=msgspec.structs.replace(asked, **(process or {})),
        mounts=(*USUAL_MOUNTS, *mounts),
        linux=msgspec.structs.replace(Linux(namespaces=kinds), **(linux or {})),
        **fields,
    )


class Bundle:
    """One root file system, and the container that is made of it."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.rootfs = base / "rootfs"
        base.mkdir()
        make_image(self.rootfs)
        self.place = Place(
            directory=str(base / "run"),
            rootfs=str(self.rootfs),
            bundle=str(base),
            cgroup=f"swarmspawn{os.getpid()}/{base.name}",
            layout=read_layout(host.read("/proc/self/mountinfo")),
            last_capability=LAST_CAPABILITY,
        )
        (base / "run").mkdir()

    def own_by(self, uid: int) -> None:
        """Give the whole root file system to one user of the host."""
        for directory, names, files in os.walk(self.rootfs):
            for name in (".", *names, *files):
                os.chown(Path(directory) / name, uid, uid, follow_symlinks=False)

    @contextmanager
    def spawned(
        self, wanted: Config, extras: Extras | None = None, **options: Any
    ) -> Iterator[tuple[Spawned, Path]]:
        """The container's process 1, and the file with its output; all is gone after."""
        extras = extras or Extras()
        output = self.base / "output"
        try:
            with output.open("wb") as file:
                streams = options.pop("stdio", Stdio(-1, file.fileno(), file.fileno()))
                made = spawn(make_plan(wanted, self.place, extras), streams, **options)
            try:
                yield made, output
            finally:
                kill(made.pid)
        finally:
            self.clean(wanted, extras)

    def run(self, wanted: Config, extras: Extras | None = None, **options: Any) -> tuple[int, str]:
        """Run it to its end: the exit code and the output."""
        with self.spawned(wanted, extras, **options) as (made, output):
            code = os.waitstatus_to_exitcode(os.waitpid(made.pid, 0)[1])
            return code, output.read_text()

    def join(self, wanted: Config, pid: int, *args: str, **fields: Any) -> tuple[int, str]:
        """Run one more program in it to its end."""
        assert wanted.process is not None
        process = msgspec.structs.replace(wanted.process, args=args, **fields)
        output = self.base / "joined"
        with output.open("wb") as file:
            plan = plan_exec(wanted, process, self.place, pid=pid)
            made = spawn(plan, Stdio(-1, file.fileno(), file.fileno()))
        code = os.waitstatus_to_exitcode(os.waitpid(made.pid, 0)[1])
        return code, output.read_text()

    def clean(self, wanted: Config, extras: Extras) -> None:
        steps = host_steps(wanted, self.place, extras)
        host.revert(undo(own(steps)))
        host.revert(undo(steps))

    def leaks(self) -> list[str]:
        """Mounts and groups that are still there."""
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        found = [line for line in mounts if str(self.base) in line]
        groups = (f"{root}/{self.place.cgroup}" for root in self.place.layout.hierarchies)
        return found + [each for each in groups if Path(each).exists()]

    def close(self) -> None:
        wait_for(f"nothing is left: {self.leaks()}", lambda: not self.leaks())


def kill(pid: int) -> None:
    """End a child of ours, unless it has ended and was waited for."""
    try:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass


def listening(path: Path) -> socket.socket:
    """A gate."""
    gate = socket.socket(socket.AF_UNIX)
    gate.bind(str(path))
    gate.listen(4)
    return gate
