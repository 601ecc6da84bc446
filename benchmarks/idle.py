"""Measure what a thousand idle containers cost a node, and what can be done to one of them."""

import asyncio
import time
from pathlib import Path

from benchmarks.container_start import cpu_of_node, cpu_s, pss_kib, shims_of, spec
from benchmarks.contenders import Launched
from benchmarks.samples import percentile
from runtime.io.client import Runtime
from runtime.joining import ExecSpec
from runtime.spec import ContainerSpec

_AT_ONCE = 16
_IDLE_S = 10.0
_CHECK_S = 1.0


async def measure(base: Path, layer: Path, launched: Launched, count: int) -> None:
    """Start `count` containers, look at them, and delete them."""
    runtime, launcher = launched.runtime, launched.process.pid
    specs = [spec(base, layer, f"idle{number}", "none") for number in range(count)]
    before = pss_kib(launcher)
    try:
        wall = await _start(runtime, specs)
        print(f"{count} started in {wall:.1f} s: {count / wall:.0f}/s")
        shims = shims_of(str(launched.run_root))
        each = sum(pss_kib(pid) for pid in shims) / count
        grown = (pss_kib(launcher) - before) / count
        print(f"memory beyond the payload: {(each + grown) / 1024:.2f} MiB each (PSS)")
        idle = await _idle([launcher]), await _idle(shims)
        print(f"idle CPU: launcher {idle[0]:.2%} of one core, all shims {idle[1]:.2%}")
        print(f"exec in one of them: {await _execs(runtime, specs[count // 2].id)}")
    finally:
        wall = time.perf_counter()
        await asyncio.gather(*(runtime.delete(each.id) for each in specs))
        print(f"killed and deleted in {time.perf_counter() - wall:.1f} s")


async def health(base: Path, layer: Path, launched: Launched, count: int) -> None:
    """What a health check costs, by the node's CPU time with and without them."""
    costs: dict[str, float] = {}
    for name, interval_s in (("without", 0.0), ("with", _CHECK_S)):
        specs = [
            spec(base, layer, f"{name}{number}", "none", health_s=interval_s)
            for number in range(count)
        ]
        try:
            await _start(launched.runtime, specs)
            busy = cpu_of_node(launched.account)
            await asyncio.sleep(_IDLE_S)
            costs[name] = cpu_of_node(launched.account) - busy
        finally:
            await asyncio.gather(*(launched.runtime.delete(each.id) for each in specs))
    checks = count * _IDLE_S / _CHECK_S
    each_ms = (costs["with"] - costs["without"]) / checks * 1000
    print(f"a health check costs {each_ms:.2f} ms of CPU; 1,000 containers, every 30 s: "
          f"{each_ms / 30:.1%} of one core")  # fmt: skip


async def _start(runtime: Runtime, specs: list[ContainerSpec]) -> float:
    limit = asyncio.Semaphore(_AT_ONCE)

    async def start(each: ContainerSpec) -> None:
        async with limit:
            await runtime.run(each)

    started = time.perf_counter()
    await asyncio.gather(*(start(each) for each in specs))
    return time.perf_counter() - started


async def _idle(pids: list[int]) -> float:
    before = sum(cpu_s(pid) for pid in pids)
    await asyncio.sleep(_IDLE_S)
    return (sum(cpu_s(pid) for pid in pids) - before) / _IDLE_S


async def _execs(runtime: Runtime, name: str) -> str:
    taken: list[float] = []
    for _ in range(50):
        started = time.perf_counter()
        running = await runtime.exec(name, ExecSpec(args=("/bin/true",)))
        await running.wait()
        taken.append((time.perf_counter() - started) * 1000)
        running.close()
    return (
        f"p50 {percentile(taken, 0.5):.1f} ms, p90 {percentile(taken, 0.9):.1f} ms, n {len(taken)}"
    )
