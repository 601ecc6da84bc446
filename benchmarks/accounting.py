"""Account for processes: CPU seconds and memory of a daemon and all that it starts.

Each contender is started in a cpuacct group (cgroup v2: any group) of its own, which its
children inherit, so that short-lived processes count too. Memory is the proportional set
size of the group's processes outside containers: shims and daemons, not the workload.
"""

import contextlib
import os
import time
from pathlib import Path

_V1 = Path("/sys/fs/cgroup/cpuacct")
_ENDING_S = 5.0


class Account:
    """A control group that counts what its processes use."""

    def __init__(self, name: str) -> None:
        root = _V1 if _V1.is_dir() else Path("/sys/fs/cgroup")
        self.path = root / f"bench-{name}-{os.getpid()}"
        self.path.mkdir()

    def wrap(self, *argv: str) -> list[str]:
        """A command line that runs `argv` inside the group."""
        return ["/bin/sh", "-c", f'echo $$ > {self.path}/cgroup.procs; exec "$@"', "sh", *argv]

    @property
    def cpu_s(self) -> float:
        """CPU seconds used by the group so far."""
        if _V1.is_dir():
            return int((self.path / "cpuacct.usage").read_text()) / 1e9
        for line in (self.path / "cpu.stat").read_text().splitlines():
            if line.startswith("usage_usec "):
                return int(line.split()[1]) / 1e6
        raise AssertionError("cpu.stat has no usage_usec")

    def pids(self) -> list[int]:
        """The group's processes that share our pid namespace."""
        mine = Path("/proc/self/ns/pid").readlink()
        found: list[int] = []
        for pid in (self.path / "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/ns/pid").readlink() == mine:
                    found.append(int(pid))
        return found

    def programs(self) -> dict[int, str]:
        """What each of the group's processes is."""
        found: dict[int, str] = {}
        for pid in self.pids():
            with contextlib.suppress(OSError):
                found[pid] = program(pid)
        return found

    def pss_mib(self) -> dict[str, float]:
        """Proportional set size by program, in MiB."""
        sizes: dict[str, float] = {}
        for pid in self.pids():
            with contextlib.suppress(OSError, StopIteration):
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                kib = next(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
                name = program(pid)
                sizes[name] = sizes.get(name, 0.0) + kib / 1024
        return sizes

    def close(self) -> None:
        """Remove the group once its processes are gone. Spares outlive their launcher a little."""
        deadline = time.monotonic() + _ENDING_S
        while self.path.exists() and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                self.path.rmdir()
            time.sleep(0.01)


def program(pid: int) -> str:
    """What a process is: its module for Python, its name else."""
    words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    for number, word in enumerate(words):
        if word == "-m":
            return words[number + 1]
    return Path(words[0]).name if "python" not in words[0] else Path(words[1]).name
