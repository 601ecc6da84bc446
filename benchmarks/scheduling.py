"""Print how fast services are planned and placed on a thousand nodes.

usage: python -m benchmarks.scheduling [--nodes N] [--tasks N ...]

`plan` is one call of the planner that creates and places all tasks of a new service, and
`again` the same call when nothing is left to do. `one` plans the whole service after one of
its tasks has ended. SwarmKit's own scheduler benchmark placed 5,600 tasks a second on
1,000 nodes on this kind of machine, without creating them.
"""

import argparse
import time
from collections.abc import Callable
from random import Random

from msgspec import Struct

from manager import layout
from manager.decisions import Plan, changes_made, commit_for
from manager.orchestrator.planning import plan_service
from manager.scheduler.fleet import Fleet
from manager.store import Change
from manager.view import ClusterView
from swarm.codec import pack
from swarm.ids import NodeId, ServiceId
from swarm.objects import Node, NodeDescription, Observation, Service, Session
from swarm.specs import (
    NodeSpec,
    Placement,
    Replicated,
    Resources,
    RestartPolicy,
    ServiceSpec,
    TaskSpec,
)
from swarm.states import TaskState

SWARMKIT_PER_S = 5600
WEB = ServiceId("web")
RANDOM = Random(1)
SPEC = TaskSpec(
    reservations=Resources(cpu_millis=10, memory_bytes=16 << 20),
    placement=Placement(constraints=("node.labels.disk!=hdd",)),
    restart=RestartPolicy(delay_s=0.0),
)


class Timing(Struct, frozen=True):
    """Seconds that one size took."""

    tasks: int
    plan_s: float
    commit_s: float
    apply_s: float
    again_s: float
    one_s: float


def cluster(nodes: int, tasks: int) -> ClusterView:
    """A view of `nodes` ready nodes and one service that is new."""
    view = ClusterView()
    values: list[tuple[str, Struct]] = []
    for number in range(nodes):
        node = Node(
            id=NodeId(f"n{number:05d}"),
            spec=NodeSpec(labels={"disk": "ssd", "zone": "abc"[number % 3]}),
            description=NodeDescription(
                hostname=f"host{number}",
                resources=Resources(cpu_millis=64_000, memory_bytes=1 << 38),
            ),
        )
        values.append((layout.node_key(node.id), node))
        values.append((layout.session_key(node.id), Session(node_id=node.id)))
    spec = ServiceSpec(name="web", mode=Replicated(replicas=tasks), task=SPEC)
    values.append((layout.service_key(WEB), Service(id=WEB, spec=spec)))
    items = [Change(key, pack(value), at + 1) for at, (key, value) in enumerate(values)]
    view.replace(items, len(items), now=0.0)
    return view


def measure(nodes: int, tasks: int) -> Timing:
    """Plan one new service and time each step."""
    view = cluster(nodes, tasks)
    fleet = Fleet.of(view)

    def planned(now: float) -> tuple[Plan, float]:
        started = time.perf_counter()
        plan = plan_service(view, WEB, fleet=fleet, now=now)
        return plan, time.perf_counter() - started

    plan, plan_s = planned(1.0)
    assert len(plan.decisions) == tasks
    started = time.perf_counter()
    commit = commit_for(view, plan, now=1.0)
    commit_s = time.perf_counter() - started
    started = time.perf_counter()
    revision = view.revision + 1
    applied = view.apply(changes_made(commit, revision), revision, now=1.0)
    fleet.sync(view, applied)
    apply_s = time.perf_counter() - started
    again, again_s = planned(2.0)
    assert not again.decisions
    one_s = _one_ends(view, fleet, planned)
    return Timing(tasks, plan_s, commit_s, apply_s, again_s, one_s)


def _one_ends(
    view: ClusterView, fleet: Fleet, planned: Callable[[float], tuple[Plan, float]]
) -> float:
    task = next(iter(view.tasks.values()))
    seen = Observation(task_id=task.id, state=TaskState.FAILED, at=3.0)
    change = Change(layout.observed_key(task.node_id, task.id), pack(seen), view.revision + 1)
    fleet.sync(view, view.apply([change], view.revision + 1, now=3.0))
    plan, seconds = planned(3.0)
    assert len(plan.decisions) == 2
    return seconds


def main() -> None:
    """Print one line per size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--tasks", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    options = parser.parse_args()
    print(
        f"{'tasks':>8} {'plan':>9} {'commit':>9} {'apply':>9} {'again':>9} {'one':>9}  placements/s"
    )
    for tasks in options.tasks:
        found = measure(options.nodes, tasks)
        took = (found.plan_s, found.commit_s, found.apply_s, found.again_s, found.one_s)
        times = " ".join(f"{1000 * each:6.1f} ms" for each in took)
        rate = tasks / found.plan_s
        print(f"{tasks:>8} {times}  {rate:,.0f} ({rate / SWARMKIT_PER_S:.0f} times SwarmKit)")


if __name__ == "__main__":
    main()
