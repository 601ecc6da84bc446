"""Print how fast services are planned and placed.

usage: python -m benchmarks.scheduling [--rounds N] [--only WORD] [--json FILE]

`place` chooses nodes for all tasks of a service and charges the node table. `plan` is the whole
planning step: it also makes each task's value. `sync` is what the node table costs once those
are committed: task by task, with what was charged remembered. The shapes are those of SwarmKit's
BenchmarkScheduler (nodes that are ready, the tasks of one service pending, with and without a
constraint) and of Kubernetes' scheduler_perf (5,000 nodes; one pod asks for 100 millicores and
500 MB; nodes are full of pods of low priority in the last one). Figures are medians, in seconds
of this process's own time: one thread does it all, and machines are shared.
SwarmKit places 5,600 tasks a second on this kind of machine, Kubernetes' floors are 680 to 810.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import numpy as np
from msgspec import Struct

from manager import layout
from manager.decisions import Plan, changes_made, commit_for
from manager.orchestrator.planning import plan_service
from manager.scheduler.asks import ask_of
from manager.scheduler.fleet import Fleet
from manager.scheduler.placement import place
from manager.scheduler.preempting import preempt
from manager.store import Change
from manager.view import ClusterView
from swarm.codec import pack
from swarm.ids import NodeId, ServiceId
from swarm.objects import Node, NodeDescription, Service, Session
from swarm.specs import (
    Affinity,
    NodeSpec,
    Placement,
    Replicated,
    Resources,
    RestartPolicy,
    ServiceSpec,
    TaskSpec,
)

WEB = ServiceId("web")
POD = Resources(cpu_millis=100, memory_bytes=500_000_000)
ZONES = 10


class Shape(Struct, frozen=True, kw_only=True):
    """Nodes, tasks to place and what they ask; `low` tasks of another service are there."""

    name: str
    nodes: int
    tasks: int
    task: TaskSpec = TaskSpec()
    low: int = 0
    node: Resources = Resources(cpu_millis=64_000, memory_bytes=1 << 38)


class Timing(Struct, frozen=True, kw_only=True):
    """Medians of seconds; 0 where it was not measured."""

    place_s: float
    plan_s: float = 0.0
    sync_s: float = 0.0


def swarmkit() -> Iterator[Shape]:
    """As in manager/scheduler/scheduler_test.go."""
    constrained = TaskSpec(placement=Placement(constraints=("node.labels.disk==ssd",)))
    for nodes, sizes in ((1_000, (1_000, 10_000, 100_000)), (100_000, (1_000, 100_000, 1_000_000))):
        for tasks in sizes:
            for word, task in (("", TaskSpec()), (" constrained", constrained)):
                name = f"swarmkit {nodes // 1000}k nodes {tasks // 1000}k tasks{word}"
                yield Shape(name=name, nodes=nodes, tasks=tasks, task=task)


def kubernetes() -> Iterator[Shape]:
    """As in test/integration/scheduler_perf."""
    node = Resources(cpu_millis=4_000, memory_bytes=32 << 30)
    apart = Affinity(service="web", anti=True)
    together = Affinity(service="web", topology="node.labels.zone")
    for word, tasks, placement in (
        ("basic", 10_000, Placement()),
        ("topology spread", 10_000, Placement(preferences=("node.labels.zone",))),
        ("anti-affinity by host", 5_000, Placement(affinities=(apart,))),
        ("affinity by zone", 10_000, Placement(affinities=(together,))),
    ):
        task = TaskSpec(reservations=POD, placement=placement)
        yield Shape(name=f"kubernetes {word}", nodes=5_000, tasks=tasks, task=task, node=node)
    high = TaskSpec(reservations=Resources(cpu_millis=3_000, memory_bytes=500_000_000), priority=10)
    for nodes, low, tasks in ((500, 2_000, 500), (5_000, 20_000, 5_000)):
        name = f"kubernetes preemption {nodes} nodes"
        yield Shape(name=name, nodes=nodes, tasks=tasks, task=high, low=low, node=node)


def cluster(shape: Shape) -> tuple[ClusterView, Fleet]:
    """A view with ready nodes, a service that is new, and what is in its way."""
    view = ClusterView()
    values: list[tuple[str, Struct]] = []
    for number in range(shape.nodes):
        node = Node(
            id=NodeId(f"n{number:06d}"),
            spec=NodeSpec(labels={"disk": "ssd", "zone": f"zone{number % ZONES}"}),
            description=NodeDescription(hostname=f"host{number}", resources=shape.node),
        )
        values.append((layout.node_key(node.id), node))
        values.append((layout.session_key(node.id), Session(node_id=node.id)))
    values.append(_service("web", shape.tasks, shape.task))
    if shape.low:
        low = TaskSpec(reservations=Resources(cpu_millis=900, memory_bytes=500_000_000))
        values.append(_service("low", shape.low, low))
    items = [Change(key, pack(value), at + 1) for at, (key, value) in enumerate(values)]
    view.replace(items, len(items), now=0.0)
    fleet = Fleet.of(view)
    if shape.low:
        plan = plan_service(view, ServiceId("low"), fleet=fleet, now=0.5)
        assert len(plan.decisions) == shape.low
        _commit(view, fleet, plan)
    return view, fleet


def _service(name: str, replicas: int, task: TaskSpec) -> tuple[str, Service]:
    spec = ServiceSpec(name=name, mode=Replicated(replicas=replicas), task=_at_once(task))
    return layout.service_key(ServiceId(name)), Service(id=ServiceId(name), spec=spec)


def _at_once(task: TaskSpec) -> TaskSpec:
    return TaskSpec(
        reservations=task.reservations,
        placement=task.placement,
        priority=task.priority,
        restart=RestartPolicy(delay_s=0.0),
    )


def _commit(view: ClusterView, fleet: Fleet, plan: Plan) -> float:
    """Apply a plan; the seconds that the node table took for it."""
    revision = view.revision + 1
    changes = changes_made(commit_for(view, plan, now=1.0), revision)
    applied = view.apply(changes, revision, now=1.0)
    return seconds(lambda: fleet.sync(view, applied))


def measure(shape: Shape, rounds: int) -> Timing:
    """Place the same again and again, then plan and commit once for each round."""
    view, fleet = cluster(shape)
    place_s: list[float] = []
    for _ in range(max(rounds, 3)):
        if shape.low:
            place_s.append(seconds(lambda: _preempt(view, fleet, shape)))
            continue
        ask = ask_of(view.services[WEB])
        started = time.process_time()
        placed = place(fleet, ask, shape.tasks)
        fleet.book(ask, placed.rows)
        place_s.append(time.process_time() - started)
        assert not placed.missing
        fleet.book(ask, placed.rows, -1)
    plan_s: list[float] = []
    sync_s: list[float] = []
    for _ in range(rounds if shape.tasks <= 100_000 else 1):
        started = time.process_time()
        plan = plan_service(view, WEB, fleet=fleet, now=1.0)
        plan_s.append(time.process_time() - started)
        assert len(plan.decisions) >= shape.tasks
        if not sync_s:
            first, fleet = fleet, Fleet.of(view)
            sync_s.append(_commit(view, fleet, plan))
            view, fleet = cluster(shape) if rounds > 1 and shape.tasks <= 100_000 else (view, first)
    return Timing(place_s=median(place_s), plan_s=median(plan_s), sync_s=median(sync_s))


def _preempt(view: ClusterView, fleet: Fleet, shape: Shape) -> None:
    ask = ask_of(view.services[WEB])
    placed = place(fleet, ask, shape.tasks)
    found = preempt(fleet, view, ask, placed, placed.missing)
    assert sum(each.tasks for each in found) == shape.tasks
    fleet.book(ask, np.zeros(0, np.int64))


def seconds(act: Callable[[], object]) -> float:
    """How long it takes."""
    started = time.process_time()
    act()
    return time.process_time() - started


def main() -> None:
    """Print one line per shape."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="shapes whose name holds this")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    print(f"{'shape':44} {'place':>9} {'plan':>9} {'sync':>9}  {'placed/s':>11} {'planned/s':>10}")
    figures: dict[str, Timing] = {}
    for shape in (*swarmkit(), *kubernetes()):
        if options.only not in shape.name:
            continue
        found = figures[shape.name] = measure(shape, options.rounds)
        times = (found.place_s, found.plan_s, found.sync_s)
        print(
            f"{shape.name:44} "
            + " ".join(f"{each:7.3f} s" for each in times)
            + f"  {shape.tasks / found.place_s:11,.0f} {shape.tasks / found.plan_s:10,.0f}",
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps({k: _plain(v) for k, v in figures.items()}, indent=2))


def _plain(timing: Timing) -> dict[str, float]:
    return {field: getattr(timing, field) for field in timing.__struct_fields__}


if __name__ == "__main__":
    main()
