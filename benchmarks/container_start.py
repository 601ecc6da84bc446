"""Start containers through the runtime's own client and print what each costs.

usage: python -m benchmarks.container_start [COUNT] [--network host|none|awaited] [--at-once N]
                                            [--attach-ms MS] [--health SECONDS] [--execs N]

Needs root and /bin/busybox. Prints wall and CPU time for each start, the memory (PSS) of the
launcher and of each shim, what they use while idle, and the time to stop and delete them all.
With --health every container is checked (`/bin/true`) that often, for ten seconds in which
the cost of a check is measured; --execs runs that many programs in the first container. A network
that is `awaited` is connected by somebody who does nothing, for --attach-ms each.
"""

import argparse
import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.accounting import Account
from runtime.io.client import Runtime
from runtime.joining import ExecSpec
from runtime.spec import ContainerSpec, File, Health, Log, Overlay

_TICKS = os.sysconf("SC_CLK_TCK")
_PARENT = f"bench{os.getpid()}"


def main() -> None:
    """Measure once and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=100)
    parser.add_argument("--network", choices=("host", "none", "awaited"), default="host")
    parser.add_argument("--attach-ms", type=float, default=0.0, help="to connect a network")
    parser.add_argument("--at-once", type=int, default=0, help="starts in flight; 0 is all")
    parser.add_argument("--health", type=float, default=0.0, help="seconds between checks")
    parser.add_argument("--execs", type=int, default=0, help="programs to run in a container")
    options = parser.parse_args()
    base = Path(tempfile.mkdtemp(prefix="bench-runtime-"))
    account = Account("launcher")
    argv = account.wrap(
        sys.executable, "-m", "runtime.io.launcher",
        "--socket", str(base / "launcher.sock"), "--run-root", str(base / "run"),
    )  # fmt: skip
    launcher = subprocess.Popen(argv)
    try:
        asyncio.run(measure(base, options, launcher.pid, account))
    finally:
        launcher.kill()
        launcher.wait()
        account.close()
        shutil.rmtree(base)


async def measure(base: Path, options: argparse.Namespace, launcher: int, account: Account) -> None:
    """Start, look, idle, delete."""
    count, network = options.count, options.network
    runtime = Runtime(run_root=base / "run", launcher_socket=base / "launcher.sock")
    layer = rootfs(base)
    specs = [
        spec(base, layer, f"c{number}", network, health_s=options.health) for number in range(count)
    ]
    await runtime.run(spec(base, layer, "warm", "none"))
    await runtime.delete("warm")
    limit = asyncio.Semaphore(options.at_once or count)

    async def start(each: ContainerSpec) -> None:
        async with limit:
            await runtime.run(each, lambda _: asyncio.sleep(options.attach_ms / 1000))

    busy, wall, mine = cpu_of_node(account), time.perf_counter(), time.process_time()
    try:
        await asyncio.gather(*(start(each) for each in specs))
        wall, mine = time.perf_counter() - wall, time.process_time() - mine
        busy = cpu_of_node(account) - busy
        print(f"{count} started in {wall:.3f} s: {wall / count * 1000:.2f} ms each")
        print(f"CPU each: node {busy / count * 1000:.2f} ms, client {mine / count * 1000:.2f} ms")
        shims = shims_of(str(base))
        size = sum(pss_kib(pid) for pid in shims) / len(shims)
        print(f"PSS: launcher {pss_kib(launcher)} KiB, each shim {size:.0f} KiB")
        before = sum(cpu_s(pid) for pid in [launcher, *shims])
        await asyncio.sleep(2)
        idle = sum(cpu_s(pid) for pid in [launcher, *shims]) - before
        print(f"idle: {idle:.3f} s of CPU in 2 s")
        if options.health:
            await watch_checks(runtime, specs, shims, options.health, account)
        if options.execs:
            await run_programs(runtime, specs[0].id, options.execs, account)
    finally:
        wall = time.perf_counter()
        await asyncio.gather(*(runtime.delete(each.id) for each in specs))
        print(f"killed and deleted in {time.perf_counter() - wall:.3f} s")
        await runtime.close()


async def watch_checks(
    runtime: Runtime,
    specs: list[ContainerSpec],
    shims: list[int],
    interval_s: float,
    account: Account,
) -> None:
    """Let health checks run for a while; what they cost, and what shims weigh after."""
    await asyncio.sleep(interval_s + 1)  # the first round touches memory
    busy = cpu_of_node(account)
    await asyncio.sleep(10)
    busy = cpu_of_node(account) - busy
    checks = len(specs) * 10 / interval_s
    records = [await runtime.health(each.id) for each in specs]
    healthy = sum(1 for each in records if each is not None and each.status.value == "healthy")
    size = sum(pss_kib(pid) for pid in shims) / len(shims)
    print(
        f"checks: {busy / checks * 1000:.2f} ms of CPU each, {healthy} of {len(specs)} healthy; "
        f"each shim {size:.0f} KiB"
    )


async def run_programs(runtime: Runtime, container_id: str, count: int, account: Account) -> None:
    """Run /bin/true in a container, one after the other."""
    took: list[float] = []
    busy, mine = cpu_of_node(account), time.process_time()
    for _ in range(count):
        began = time.perf_counter()
        program = await runtime.exec(container_id, ExecSpec(args=("/bin/true",)))
        await program.wait()
        program.close()
        took.append((time.perf_counter() - began) * 1000)
    busy, mine = cpu_of_node(account) - busy, time.process_time() - mine
    took.sort()
    print(
        f"exec: p50 {took[count // 2]:.2f} ms, p90 {took[count * 9 // 10]:.2f} ms; CPU each: "
        f"node {busy / count * 1000:.2f} ms, client {mine / count * 1000:.2f} ms"
    )


def rootfs(base: Path) -> Path:
    """A layer with nothing but busybox, and what images have for others to mount upon."""
    layer = base / "layer"
    for name in ("bin", "dev", "etc", "proc", "sys"):
        (layer / name).mkdir(parents=True)
    for name in ("hostname", "hosts", "resolv.conf"):
        (layer / "etc" / name).touch()
    shutil.copy("/bin/busybox", layer / "bin" / "sleep")
    (layer / "bin" / "true").symlink_to("sleep")
    return layer


def spec(
    base: Path, layer: Path, name: str, network: str, *, health_s: float = 0.0
) -> ContainerSpec:
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
        awaits_network=network == "awaited",
        health=Health(args=("/bin/true",), interval_s=health_s) if health_s else None,
        cgroup_parent=_PARENT,
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


def cpu_of_node(account: Account) -> float:
    """CPU time of the launcher, the shims and all containers, whatever else the machine does."""
    containers = account.path.parent / _PARENT  # there is none while there is no container
    with contextlib.suppress(FileNotFoundError):
        return account.cpu_s + int((containers / "cpuacct.usage").read_text()) / 1e9
    with contextlib.suppress(FileNotFoundError):
        words = (containers / "cpu.stat").read_text().split()
        return account.cpu_s + int(words[words.index("usage_usec") + 1]) / 1e6
    return account.cpu_s


if __name__ == "__main__":
    main()
