"""Measure our runtime beside runc and crun, interleaved in one run.

usage: python -m benchmarks.runtime [--rounds N] [--idle N] [--agent N] [--runc PATH]
                                    [--crun PATH] [--json FILE]

`create to delete` runs /bin/true to its end and removes it: `run` of a command line, and
run, exit and delete through our launcher. The steps below it are a command line's own. What
a runtime keeps of its containers is in memory, as in /run; root file systems are on disk.
`--idle` containers are then started on one node, and `--agent` replicas in a one-node swarm.
"""

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import bundle, idle
from benchmarks.container_start import cpu_s, rootfs
from benchmarks.contenders import CommandLine, Launched
from benchmarks.ours import Ours
from benchmarks.samples import Samples
from benchmarks.service import COMMAND
from benchmarks.service import rootfs as image

_WARM = 5
_IDLE_S = 10.0


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--idle", type=int, default=1000, metavar="N")
    parser.add_argument("--health", type=int, default=50, metavar="N")
    parser.add_argument("--agent", type=int, default=1000, metavar="N")
    parser.add_argument("--runc", default="runc", metavar="PATH")
    parser.add_argument("--crun", default="crun", metavar="PATH")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    base = Path(tempfile.mkdtemp(prefix="bench-runtime-"))
    state = Path(tempfile.mkdtemp(prefix="bench-runtime-", dir="/dev/shm"))
    try:
        samples = asyncio.run(containers(base, state, options))
    finally:
        shutil.rmtree(base, ignore_errors=True)
        shutil.rmtree(state, ignore_errors=True)
    if options.agent:
        agent(options.agent)
    if options.json:
        options.json.write_text(json.dumps(samples.as_json(), indent=2))


async def containers(base: Path, state: Path, options: argparse.Namespace) -> Samples:
    """Everything that needs no swarm."""
    samples, layer = Samples(), rootfs(base)
    launched = Launched(base, state, layer)
    try:
        lines = command_lines(base, state, options)
        await launched.settle()
        for number in range(options.rounds + _WARM):
            taken = samples if number >= _WARM else Samples()
            await launched.whole(taken)
            for each in lines:
                each.whole(taken)
        for number in range(options.rounds + _WARM):
            for each in lines:
                each.steps(samples if number >= _WARM else Samples())
        print(samples.table(), flush=True)
        await launched.unsettle()
        if options.idle:
            await idle.measure(base, layer, launched, options.idle)
        if options.health:
            await idle.health(base, layer, launched, options.health)
    finally:
        await launched.close()
    return samples


def command_lines(base: Path, state: Path, options: argparse.Namespace) -> list[CommandLine]:
    """Those that run here; why not is said."""
    directory = bundle.make(base / "bundle", "/bin/true")
    programs = {
        "swarm-runtime": str(Path(sys.executable).parent / "swarm-runtime"),
        "runc": options.runc,
        "crun": options.crun,
    }
    found: list[CommandLine] = []
    for name, program in programs.items():
        each = CommandLine(name, program, state, directory)
        if why := each.works():
            print(f"without {name}: {why}")
        else:
            found.append(each)
    return found


def agent(replicas: int) -> None:
    """What the processes of a one-node swarm use while `replicas` containers do nothing."""
    ours = Ours()
    try:
        ours.init(image())
        started = time.perf_counter()
        ours.create("idle", replicas, COMMAND)
        wall = time.perf_counter() - started
        print(f"a service of {replicas}: {wall:.1f} s, {replicas / wall:.0f}/s")
        before = {pid: cpu_s(pid) for pid in ours.account.pids()}
        time.sleep(_IDLE_S)
        used: dict[str, float] = {}
        for pid, name in ours.account.programs().items():
            if pid in before:
                used[name] = used.get(name, 0.0) + (cpu_s(pid) - before[pid]) / _IDLE_S
        for name, share in sorted(used.items(), key=lambda pair: -pair[1]):
            print(f"  {name:24} idle CPU {share:7.2%} of one core")
        ours.remove("idle")
    finally:
        ours.close()


if __name__ == "__main__":
    main()
