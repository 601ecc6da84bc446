"""Start containers through the runtime's own client and print what each costs.

usage: python -m benchmarks.container_start [COUNT] [--network host|none] [--at-once N]

Needs root and /bin/busybox. Prints wall and CPU time for each start, the memory (PSS) of the
launcher and of each shim, what they use while idle, and the time to stop and delete them all.
"""

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from runtime.io.client import Runtime
from runtime.spec import ContainerSpec, File, Log, Overlay

_TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure once and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=100)
    parser.add_argument("--network", choices=("host", "none"), default="host")
    parser.add_argument("--at-once", type=int, default=0, help="starts in flight; 0 is all")
    options = parser.parse_args()
    base = Path(tempfile.mkdtemp(prefix="bench-runtime-"))
    launcher = subprocess.Popen(
        [sys.executable, "-m", "runtime.io.launcher",
         "--socket", str(base / "launcher.sock"), "--run-root", str(base / "run")],
    )  # fmt: skip
    try:
        asyncio.run(measure(base, options.count, options.network, options.at_once, launcher.pid))
    finally:
        launcher.kill()
        launcher.wait()
        shutil.rmtree(base)


async def measure(base: Path, count: int, network: str, at_once: int, launcher: int) -> None:
    """Start, look, idle, delete."""
    runtime = Runtime(run_root=base / "run", launcher_socket=base / "launcher.sock")
    layer = rootfs(base)
    specs = [spec(base, layer, f"c{number}", network) for number in range(count)]
    await runtime.run(spec(base, layer, "warm", network))
    await runtime.delete("warm")
    limit = asyncio.Semaphore(at_once or count)

    async def start(each: ContainerSpec) -> None:
        async with limit:
            await runtime.run(each)

    busy, wall, mine = cpu_of_machine(), time.perf_counter(), time.process_time()
    try:
        await asyncio.gather(*(start(each) for each in specs))
        wall, mine = time.perf_counter() - wall, time.process_time() - mine
        busy = cpu_of_machine() - busy
        print(f"{count} started in {wall:.3f} s: {wall / count * 1000:.2f} ms each")
        print(
            f"CPU each: machine {busy / count * 1000:.2f} ms, client {mine / count * 1000:.2f} ms"
        )
        shims = shims_of(str(base))
        size = sum(pss_kib(pid) for pid in shims) / len(shims)
        print(f"PSS: launcher {pss_kib(launcher)} KiB, each shim {size:.0f} KiB")
        before = sum(cpu_s(pid) for pid in [launcher, *shims])
        await asyncio.sleep(2)
        idle = sum(cpu_s(pid) for pid in [launcher, *shims]) - before
        print(f"idle: {idle:.3f} s of CPU in 2 s")
    finally:
        wall = time.perf_counter()
        await asyncio.gather(*(runtime.delete(each.id) for each in specs))
        print(f"killed and deleted in {time.perf_counter() - wall:.3f} s")
        await runtime.close()


def rootfs(base: Path) -> Path:
    """A layer with nothing but busybox."""
    layer = base / "layer"
    (layer / "bin").mkdir(parents=True)
    shutil.copy("/bin/busybox", layer / "bin" / "sleep")
    return layer


def spec(base: Path, layer: Path, name: str, network: str) -> ContainerSpec:
    """What an agent would ask for."""
    here = base / "containers" / name
    return ContainerSpec(
        id=name,
        args=("/bin/sleep", "1000000"),
        env=("PATH=/bin",),
        rootfs=Overlay(
            lower_dirs=(str(layer),), upper_dir=str(here / "upper"), work_dir=str(here / "work")
        ),
        files=(
            File(path="/etc/hostname", content=f"{name}\n"),
            File(path="/etc/hosts", content="127.0.0.1 localhost\n"),
            File(path="/etc/resolv.conf", content=""),
        ),
        hostname=name,
        host_network=network == "host",
        cgroup_parent=f"bench{os.getpid()}",
        log=Log(path=str(here / "log")),
    )


def shims_of(run_root: str) -> list[int]:
    """Every shim below this run root."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes()
            except FileNotFoundError:
                continue
            if words.startswith(b"swarmd-shim") and run_root.encode() in words:
                found.append(int(entry.name))
    return found


def pss_kib(pid: int) -> int:
    """Proportional set size."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


def cpu_s(pid: int) -> float:
    """CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def cpu_of_machine() -> float:
    """CPU time that was not idle, on all cores."""
    fields = [int(each) for each in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / _TICKS


if __name__ == "__main__":
    main()
