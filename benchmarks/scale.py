"""Measure what the control plane does for many nodes and tasks, without containers.

usage: python -m benchmarks.scale [--nodes N] [--tasks N] [--services N] [--deaths N]
                                  [--at-once N] [--root DIR] [--json]

One real manager and one real etcd, started as swarmd starts them, serve thousands of agents
in this process (`benchmarks.hollow`) over mutual TLS. Measured are: from the first
`service create` until the last task runs, on the nodes and as the manager tells it; what the
death of one task costs; and scaling to nothing. All three processes share the machine.
"""

import argparse
import asyncio
import gc
import json
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

from msgspec import Struct, structs

from benchmarks.control_plane import ControlPlane, Usage, cpu_s, usage
from benchmarks.hollow import CONNECTING_AT_ONCE, Hollows
from swarm.api.v1 import control_pb2, control_pb2_grpc
from swarm.codec import to_message
from swarm.ids import NodeId, ServiceId, TaskId
from swarm.io import tls
from swarm.io.allocation import share_one_arena
from swarm.specs import (
    ClusterSpec,
    ContainerSpec,
    Replicated,
    Resources,
    RestartPolicy,
    ServiceSpec,
    TaskSpec,
)

WITHIN_S = 1800.0
IDLE_S = 5.0
LOOK_EVERY_S = 0.1
CREATED_AT_ONCE = 8


class Deaths(Struct, frozen=True, kw_only=True):
    """What one death costs: until the replacement runs, and CPU beyond what idling uses."""

    count: int
    median_ms: float
    worst_ms: float
    manager_cpu_ms: float
    etcd_cpu_ms: float


class Result(Struct, frozen=True, kw_only=True):
    """One run. Seconds are wall time unless they say CPU; sizes are MiB."""

    nodes: int
    tasks: int
    services: int
    connect_s: float
    running_s: float
    reported_s: float
    cpu_s: dict[str, float]
    idle_cpu: dict[str, float]
    manager: Usage
    etcd: Usage
    hollow: Usage
    database_mib: float
    deaths: Deaths
    stop_s: float
    stop_cpu_s: dict[str, float]
    lost_sessions: int


class Meter:
    """CPU seconds of everyone since the last look."""

    def __init__(self, plane: ControlPlane) -> None:
        self._pids = {**plane.pids, "hollow": os.getpid()}
        self._last: dict[str, float] = {}
        self.lap()

    def lap(self) -> dict[str, float]:
        """What was used since the last lap."""
        now = {name: cpu_s(pid) for name, pid in self._pids.items()}
        since = {name: round(now[name] - self._last.get(name, 0.0), 2) for name in now}
        self._last = now
        return since


class Bench:
    """One control plane with its hollow nodes."""

    def __init__(self, plane: ControlPlane, hollows: Hollows, stub: Any, meter: Meter) -> None:
        self.plane = plane
        self.hollows = hollows
        self.meter = meter
        self.stub: control_pb2_grpc.ControlAsyncStub = stub

    async def create(self, services: int, replicas: int) -> None:
        """Create all services, a few at a time as an operator's script would."""
        turn = asyncio.Semaphore(CREATED_AT_ONCE)

        async def one(number: int) -> None:
            async with turn:
                request = control_pb2.CreateServiceRequest(spec=to_message(spec(number, replicas)))
                await self.stub.CreateService(request)

        await asyncio.gather(*(one(number) for number in range(services)))

    async def told_running(self, tasks: int) -> float:
        """Wait until the manager tells that all tasks run; when it did."""
        while sum(each.running for each in await self.services()) < tasks:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_EVERY_S)
        return time.monotonic()

    async def services(self) -> Sequence[Any]:
        """All services as the manager tells them."""
        return (await self.stub.ListServices(control_pb2.ListServicesRequest())).services

    async def idle(self) -> dict[str, float]:
        """CPU per second with nothing to do but to be there."""
        self.meter.lap()
        started = time.monotonic()
        await asyncio.sleep(IDLE_S)
        taken_s = time.monotonic() - started
        return {name: round(used / taken_s, 4) for name, used in self.meter.lap().items()}

    async def kill(self, count: int, idle: dict[str, float]) -> Deaths:
        """Let tasks die one after the other, and wait for each one's replacement."""
        waits: list[float] = []
        self.meter.lap()
        begun = time.monotonic()
        for node, task_id in self.hollows.some_running(count):
            known = node.tasks.known(task_id)
            assert known is not None
            place = known.task.service_id, known.task.slot
            died_at = time.monotonic()
            node.die(task_id)
            ran_at = await self._replaced(place, task_id)
            waits.append((ran_at - died_at) * 1000)
            await asyncio.sleep(0.02)  # let its report be committed in this lap
        taken_s, used = time.monotonic() - begun, self.meter.lap()
        waits.sort()
        beyond = {name: (used[name] - taken_s * idle[name]) * 1000 / len(waits) for name in used}
        return Deaths(
            count=len(waits),
            median_ms=round(waits[len(waits) // 2], 2),
            worst_ms=round(waits[-1], 2),
            manager_cpu_ms=round(beyond["manager"], 2),
            etcd_cpu_ms=round(beyond["etcd"], 2),
        )

    async def _replaced(self, place: tuple[ServiceId, int], task_id: TaskId) -> float:
        slots = self.hollows.slots
        return await self.hollows.until(lambda: slots[place] != task_id, within_s=60)

    async def scale_to_nothing(self) -> float:
        """Scale every service to 0; how long until nothing runs."""
        started = time.monotonic()
        for each in await self.services():
            each.service.spec.replicated.replicas = 0
            request = control_pb2.UpdateServiceRequest(
                service_id=each.service.id, version=each.version, spec=each.service.spec
            )
            await self.stub.UpdateService(request)
        ended = await self.hollows.until(lambda: self.hollows.running == 0, within_s=WITHIN_S)
        return ended - started


def spec(number: int, replicas: int) -> ServiceSpec:
    """A service of the kind people run: some room reserved, restarted when it ends."""
    return ServiceSpec(
        name=f"web{number}",
        mode=Replicated(replicas=replicas),
        task=TaskSpec(
            container=ContainerSpec(image="app:1", args=("serve", "--port", "80"), env=("A=1",)),
            reservations=Resources(cpu_millis=10, memory_bytes=16 << 20),
            restart=RestartPolicy(delay_s=0.0),
        ),
    )


@asynccontextmanager
async def hollow_swarm(
    nodes: int, root: Path, *, at_once: int, keep_log: Path | None
) -> AsyncIterator[tuple[Bench, float]]:
    """A swarm of so many hollow nodes, all in session, and how long that took."""
    plane = ControlPlane(root, spec=ClusterSpec())
    names = [NodeId(f"node{number:021d}") for number in range(nodes)]
    identities = [(name, plane.certify(name)) for name in names]
    hollows = Hollows(Random(1))
    async with plane.running(names):
        try:
            started = time.monotonic()
            await hollows.connect(identities, (plane.address,), at_once=at_once)
            took_s = time.monotonic() - started
            async with tls.channel(plane.address, plane.identity) as channel:
                stub = control_pb2_grpc.ControlStub(channel)
                yield Bench(plane, hollows, stub, Meter(plane)), took_s
        finally:
            if keep_log is not None:
                shutil.copy(root / "manager.log", keep_log)
            await hollows.close()


async def run(wanted: argparse.Namespace, root: Path) -> Result:
    """One run."""
    nodes, services, deaths = wanted.nodes, wanted.services, wanted.deaths
    replicas = wanted.tasks // services
    tasks = replicas * services
    swarm = hollow_swarm(nodes, root, at_once=wanted.at_once, keep_log=wanted.keep_log)
    async with swarm as (bench, connect_s):
        gc.collect()
        gc.disable()  # a node of its own process would not have a million tasks to look at
        bench.meter.lap()
        started = time.monotonic()
        await bench.create(services, replicas)
        ran = await bench.hollows.until(lambda: bench.hollows.running >= tasks, within_s=WITHIN_S)
        told = await bench.told_running(tasks)
        used = bench.meter.lap()
        database_mib = bench.plane.database_mib
        idle = await bench.idle()
        deaths_cost = await bench.kill(deaths, idle)
        manager = usage(bench.plane.pids["manager"])
        bench.meter.lap()
        stop_s = await bench.scale_to_nothing()
        return Result(
            nodes=nodes,
            tasks=tasks,
            services=services,
            connect_s=connect_s,
            running_s=ran - started,
            reported_s=told - started,
            cpu_s=used,
            idle_cpu=idle,
            manager=manager,
            etcd=usage(bench.plane.pids["etcd"]),
            hollow=usage(os.getpid()),
            database_mib=database_mib,
            deaths=deaths_cost,
            stop_s=stop_s,
            stop_cpu_s=bench.meter.lap(),
            lost_sessions=bench.hollows.lost,
        )


def report(result: Result) -> Iterable[str]:
    """The result for people."""
    cpu = ", ".join(f"{name} {used:.1f}" for name, used in result.cpu_s.items())
    idle = ", ".join(f"{name} {used:.3f}" for name, used in result.idle_cpu.items())
    stop = ", ".join(f"{name} {used:.1f}" for name, used in result.stop_cpu_s.items())
    deaths = result.deaths
    yield f"{result.nodes} nodes, {result.tasks} tasks in {result.services} services"
    yield f"  all nodes in session      {result.connect_s:8.1f} s"
    yield f"  all run, on the nodes     {result.running_s:8.1f} s"
    yield f"  all run, as told          {result.reported_s:8.1f} s   CPU s: {cpu}"
    yield f"  idle                                  CPU/s: {idle}"
    yield (
        f"  one death, of {deaths.count:<4}       {deaths.median_ms:8.1f} ms  "
        f"(worst {deaths.worst_ms:.1f}), CPU ms: manager {deaths.manager_cpu_ms:.1f}, "
        f"etcd {deaths.etcd_cpu_ms:.1f}"
    )
    yield f"  scaled to nothing         {result.stop_s:8.1f} s   CPU s: {stop}"
    for name, used in (
        ("manager", result.manager),
        ("etcd", result.etcd),
        ("hollow", result.hollow),
    ):
        yield (
            f"  {name:<8} memory: peak {used.peak_mib:.0f} MiB, "
            f"now {used.rss_mib:.0f} (PSS {used.pss_mib:.0f})"
        )
    yield f"  etcd's database           {result.database_mib:8.0f} MiB"
    if result.lost_sessions:
        yield f"  sessions lost on the way  {result.lost_sessions:8}"


def main() -> None:
    """Entry point of `python -m benchmarks.scale`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--services", type=int, default=1)
    parser.add_argument("--deaths", type=int, default=50)
    parser.add_argument(
        "--at-once", type=int, default=CONNECTING_AT_ONCE, help="how many nodes connect at a time"
    )
    parser.add_argument("--root", type=Path, default=Path("/dev/shm"), help="where etcd's data is")
    parser.add_argument("--keep-log", type=Path, help="keep the manager's log in this file")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    found = parser.parse_args()
    share_one_arena()
    root = Path(tempfile.mkdtemp(prefix="swarm-scale-", dir=found.root))
    try:
        result = asyncio.run(run(found, root))
    finally:
        shutil.rmtree(root, ignore_errors=True)
    if found.json:
        values = structs.asdict(result)
        print(json.dumps(values, default=structs.asdict, indent=2))
    else:
        print("\n".join(report(result)))


if __name__ == "__main__":
    main()
