"""Time a service's life on one node: create 10 and 100, memory, replace, scale to 0, remove."""

import io
import os
import signal
import statistics
import subprocess
import tarfile
import time
from pathlib import Path
from typing import Protocol

from benchmarks.accounting import Account

# Ends at once on SIGTERM, so that no contender waits a grace period out. The mark tells this
# run's containers from those of anyone else on the machine.
MARK = f"benchmark-{os.getpid()}"
SCRIPT = f'trap "exit 0" TERM; while :; do sleep 3600 & wait; done; : {MARK}'
COMMAND = ("/bin/sh", "-c", SCRIPT)


class Contender(Protocol):
    """What each of the two can do; every verb returns when it is done."""

    name: str
    account: Account

    def create(self, name: str, replicas: int, command: tuple[str, ...]) -> None: ...
    def running(self, name: str) -> int: ...
    def scale(self, name: str, replicas: int) -> None: ...
    def remove(self, name: str) -> None: ...


def rootfs() -> bytes:
    """A root file system with nothing but busybox, as a tar."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        tar.add("/bin/busybox", "bin/busybox")
        for applet in ("cat", "sh", "sleep", "true"):
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return raw.getvalue()


def timed(action: "object", *args: object) -> float:
    """Seconds that a call takes."""
    start = time.perf_counter()
    action(*args)  # type: ignore[operator]
    return time.perf_counter() - start


def life(contender: Contender, rounds: int) -> dict[str, float]:
    """Medians over `rounds` lives; CPU is of one create, run and remove of 100."""
    seen: dict[str, list[float]] = {}
    for number in range(rounds):
        for replicas in (10, 100):
            name = f"b{number}x{replicas}"
            before = contender.account.cpu_s
            seen.setdefault(f"create {replicas} (s)", []).append(
                timed(contender.create, name, replicas, COMMAND)
            )
            cpu = contender.account.cpu_s - before
            if replicas == 100:
                seen.setdefault("CPU of create 100 (s)", []).append(cpu)
                pss = contender.account.pss_mib()
                seen.setdefault("PSS with 100 (MiB)", []).append(sum(pss.values()))
                for program, size in pss.items():
                    seen.setdefault(f"  {program} (MiB)", []).append(size)
                seen.setdefault("scale 100 to 0 (s)", []).append(timed(contender.scale, name, 0))
                contender.scale(name, 100)
                seen.setdefault("rm of 100 (s)", []).append(timed(contender.remove, name))
                seen.setdefault("CPU of the whole life (s)", []).append(
                    contender.account.cpu_s - before
                )
            else:
                seen.setdefault("replace a killed one (s)", []).append(replace(contender, name))
                contender.remove(name)
    return {what: statistics.median(values) for what, values in seen.items()}


def replace(contender: Contender, name: str) -> float:
    """Kill one container's first process and time until all run again with another."""
    mine = str(Path("/proc/self/ns/pid").readlink())
    before = workload(mine)
    victim = min(before)
    start = time.perf_counter()
    os.kill(victim, signal.SIGKILL)
    while len(workload(mine) - {victim}) < len(before):
        time.sleep(0.005)
    elapsed = time.perf_counter() - start
    while contender.running(name) != len(before):
        time.sleep(0.01)
    return elapsed


def workload(mine: str) -> set[int]:
    """First processes of the workload's containers."""
    found: set[int] = set()
    pids = subprocess.run(["pgrep", "-f", MARK], capture_output=True, text=True, check=False)
    for pid in pids.stdout.split():
        try:
            status = Path(f"/proc/{pid}/status").read_text()
            is_first = (
                "NSpid:" in status and status.split("NSpid:")[1].split("\n")[0].split()[-1] == "1"
            )
            if is_first and str(Path(f"/proc/{pid}/ns/pid").readlink()) != mine:
                found.add(int(pid))
        except OSError:
            continue
    return found
