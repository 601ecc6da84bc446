"""Run containers by OCI command lines and by our launcher, one step at a time.

A command line pays for its process, as it does under Docker and podman; the launcher for a
root file system on overlayfs and a log, which the others here go without.
"""

import asyncio
import os
import select
import subprocess
import sys
from pathlib import Path

import msgspec

from benchmarks.accounting import Account
from benchmarks.container_start import spec
from benchmarks.samples import Samples
from runtime.io.client import Runtime

_RESIDENT = "resident"
WHOLE, CREATE, START, DELETE = "create to delete", "  create", "  start", "  delete"


class CommandLine:
    """runc, crun and swarm-runtime."""

    def __init__(self, name: str, program: str, state: Path, bundle: Path) -> None:
        self.name = name
        self._words = [program, "--root", str(state / name)]
        self._bundle = str(bundle)
        self._pid_file = state / f"{name}.pid"
        self._count = 0

    def works(self) -> str:
        """Why it cannot run here, if it cannot."""
        try:
            done = subprocess.run(
                [*self._words, "run", "--bundle", self._bundle, self._next()],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
        except OSError as err:
            return str(err)
        return done.stderr.strip().splitlines()[-1] if done.returncode else ""

    def whole(self, samples: Samples) -> None:
        """`run`, which creates, starts, waits and deletes."""
        with samples.timed(WHOLE, self.name):
            self._call("run", "--bundle", self._bundle, self._next())

    def steps(self, samples: Samples) -> None:
        """`create`, `start`, `delete`, with the end of the program awaited in between."""
        name = self._next()
        with samples.timed(CREATE, self.name):
            self._call("create", "--bundle", self._bundle, "--pid-file", str(self._pid_file), name)
        pidfd = os.pidfd_open(int(self._pid_file.read_text()))
        with samples.timed(START, self.name):
            self._call("start", name)
        select.select((pidfd,), (), ())
        os.close(pidfd)
        with samples.timed(DELETE, self.name):
            self._call("delete", name)

    def _next(self) -> str:
        self._count += 1
        return f"bench{os.getpid()}-{self.name}-{self._count}"

    def _call(self, *words: str) -> None:
        argv = [*self._words, *words]
        null = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_RDWR, 0) for fd in (0, 1)]
        pid = os.posix_spawnp(argv[0], argv, os.environ, file_actions=null)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code:
            raise SystemExit(f"{' '.join(argv)} ended with {code}")


class Launched:
    """Our launcher, through the client that the agent uses."""

    name = "launcher"

    def __init__(self, base: Path, state: Path, layer: Path) -> None:
        self._base, self._layer = base, layer
        self.run_root = state / "run"
        self._count = 0
        self.account = Account("launcher")
        self.process = subprocess.Popen(
            self.account.wrap(
                sys.executable, "-m", "runtime.io.launcher",
                "--socket", str(state / "launcher.sock"), "--run-root", str(self.run_root),
            )
        )  # fmt: skip
        self.runtime = Runtime(run_root=self.run_root, launcher_socket=state / "launcher.sock")

    async def settle(self) -> None:
        """Have one container that stays, as on a node that is used."""
        await self.runtime.run(spec(self._base, self._layer, _RESIDENT, "none"))

    async def unsettle(self) -> None:
        """Have none again."""
        await self.runtime.delete(_RESIDENT)
        await anext(self.runtime.exits())

    async def whole(self, samples: Samples) -> None:
        """Run `/bin/true`, hear of its end, and delete it."""
        self._count += 1
        one = spec(self._base, self._layer, f"true{self._count}", "none")
        one = msgspec.structs.replace(one, args=("/bin/true",))
        with samples.timed(WHOLE, self.name):
            with samples.timed(f"{CREATE} and{START.strip():>6}", self.name):
                await self.runtime.run(one)
            await anext(self.runtime.exits())
            with samples.timed(DELETE, self.name):
                await self.runtime.delete(one.id)

    async def close(self) -> None:
        """End the launcher."""
        await self.runtime.close()
        self.process.terminate()
        await asyncio.to_thread(self.process.wait)
        self.account.close()
