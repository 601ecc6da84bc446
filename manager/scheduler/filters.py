"""Rule nodes out, and be able to say how many each rule ruled out.

A filter is a mask over the node table and a phrase. A node counts for the first filter that
refuses it, in the order below, so the numbers of an explanation add up to the nodes there
are. What is left after all filters still has a capacity: how many tasks fit side by side.
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from msgspec import Struct

from manager.scheduler.fleet import Fleet, Int, Mask
from swarm.constraints import OWN_IDS, Constraint, constraints_of
from swarm.ids import ServiceId
from swarm.specs import TaskSpec

PLENTY = 1 << 40
"""More tasks than any node takes: the capacity of a node that nothing limits."""


class Ask(Struct, frozen=True, kw_only=True):
    """What the tasks of one service and version want of a node."""

    service_id: ServiceId
    constraints: tuple[Constraint, ...] = ()
    cpu_millis: int = 0
    memory_bytes: int = 0
    max_per_node: int = 0


class Filter(Struct, frozen=True):
    """`admits` over the node table; `phrase` tells of refused nodes, such as `3 nodes`."""

    admits: Mask
    phrase: Callable[[str], str]


def ask_for(service_id: ServiceId, spec: TaskSpec) -> Ask:
    """What tasks of `spec` want of a node."""
    return Ask(
        service_id=service_id,
        constraints=constraints_of(spec),
        cpu_millis=spec.reservations.cpu_millis,
        memory_bytes=spec.reservations.memory_bytes,
        max_per_node=spec.placement.max_replicas_per_node,
    )


def standing_filters(fleet: Fleet, ask: Ask) -> Iterator[Filter]:
    """Filters that no placement of ours can change: standing and constraints."""
    yield Filter(fleet.ready, lambda nodes: f"{nodes} not ready")
    yield Filter(fleet.active, lambda nodes: f"{nodes} paused or drained")
    for constraint in ask.constraints:
        found = np.equal(fleet.column(constraint.attribute), constraint.value)
        admits = np.logical_xor(found, constraint.negated).astype(np.bool_)
        yield Filter(admits, _unsatisfied(constraint))


def room_filters(ask: Ask, *, cpu_free: Int, memory_free: Int, tasks: Int) -> Iterator[Filter]:
    """Filters that every placed task may change: what is left of each node."""
    if ask.cpu_millis > 0:
        yield Filter(cpu_free >= ask.cpu_millis, lambda nodes: f"insufficient cpu on {nodes}")
    if ask.memory_bytes > 0:
        yield Filter(
            memory_free >= ask.memory_bytes,
            lambda nodes: f"insufficient memory on {nodes}",
        )
    if ask.max_per_node > 0:
        most = ask.max_per_node
        yield Filter(
            tasks < most, lambda nodes: f"max replicas per node ({most}) reached on {nodes}"
        )


def capacity(ask: Ask, *, cpu_free: Int, memory_free: Int, tasks: Int) -> Int:
    """How many more tasks each node has room for."""
    room = np.full(len(tasks), PLENTY, np.int64)
    if ask.cpu_millis > 0:
        room = np.minimum(room, cpu_free // ask.cpu_millis)
    if ask.memory_bytes > 0:
        room = np.minimum(room, memory_free // ask.memory_bytes)
    if ask.max_per_node > 0:
        room = np.minimum(room, ask.max_per_node - tasks)
    return np.maximum(room, 0)


def explain(present: Mask, filters: Iterable[Filter]) -> str:
    """Why no node is left, counting each node at the first filter that refuses it."""
    left = present.copy()
    reasons: list[str] = []
    for each in filters:
        refused = int(np.count_nonzero(left & ~each.admits))
        if refused:
            reasons.append(each.phrase("1 node" if refused == 1 else f"{refused} nodes"))
        left &= each.admits
    if not present.any():
        reasons.append("the swarm has no nodes")
    return f"no suitable node ({'; '.join(reasons)})"


def _unsatisfied(constraint: Constraint) -> Callable[[str], str]:
    if constraint == OWN_IDS:
        return lambda nodes: f"ids are remapped on {nodes}, which --userns host avoids"
    return lambda nodes: f"constraint {constraint} not satisfied on {nodes}"
