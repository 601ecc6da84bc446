"""Place many equal tasks at once, and say why some found no node.

All tasks of one call ask the same, so they share one pass over the filters. Nodes on which
this service keeps failing are used only when no other has room: a broken disk or a missing
driver must not attract every replacement because the node looks so empty.
"""

from collections.abc import Iterable, Mapping

import numpy as np
from msgspec import Struct

from manager.scheduler.filters import Ask, capacity, explain, room_filters, standing_filters
from manager.scheduler.fleet import Fleet, Int, Mask
from manager.scheduler.spreading import fill
from swarm.ids import NodeId

MANY_FAILURES = 5


class Placement(Struct, frozen=True):
    """`nodes` for as many tasks as could be placed, and `reason` why not for more."""

    nodes: tuple[NodeId, ...]
    reason: str = ""


def place(
    fleet: Fleet,
    ask: Ask,
    wanted: int,
    *,
    failures: Mapping[NodeId, int] | None = None,
    leaving: Mapping[NodeId, int] | None = None,
) -> Placement:
    """Choose nodes for `wanted` tasks.

    `failures` counts the service's recent failures by node; `leaving` its tasks that the
    same plan asks to stop: they are not meant to run any more, but hold what they reserved.
    """
    tasks = fleet.tasks_of(ask.service_id) - _by_row(fleet, leaving)
    totals = fleet.tasks - _by_row(fleet, leaving)
    cpu_free, memory_free = fleet.cpu_free(), fleet.memory_free()
    admitted = _admitted(fleet, ask)
    room = capacity(ask, cpu_free=cpu_free, memory_free=memory_free, tasks=tasks)
    failing = _by_row(fleet, failures) >= MANY_FAILURES

    chosen: list[Int] = []
    for tier in (admitted & ~failing, admitted & failing):
        rows = np.flatnonzero(tier)
        left = wanted - sum(map(len, chosen))
        if left and len(rows):
            filled = fill(
                counts=tasks[rows],
                totals=totals[rows],
                room=room[rows],
                order=fleet.order[rows],
                wanted=left,
            )
            chosen.append(rows[filled])
    given = np.concatenate(chosen) if chosen else np.zeros(0, np.int64)
    nodes = tuple(fleet.ids[row] for row in given.tolist())
    if len(nodes) == wanted:
        return Placement(nodes)
    more = np.bincount(given, minlength=len(tasks))
    filters = room_filters(
        ask,
        cpu_free=cpu_free - more * ask.cpu_millis,
        memory_free=memory_free - more * ask.memory_bytes,
        tasks=tasks + more,
    )
    return Placement(nodes, explain(fleet.present, (*standing_filters(fleet, ask), *filters)))


def admitted_nodes(fleet: Fleet, ask: Ask) -> frozenset[NodeId]:
    """The nodes that are ready, active and within the constraints, room or not."""
    rows: list[int] = np.flatnonzero(_admitted(fleet, ask)).tolist()
    return frozenset(fleet.ids[row] for row in rows)


def without_room(fleet: Fleet, ask: Ask, nodes: Iterable[NodeId]) -> dict[NodeId, str]:
    """Which of these nodes have no room for one task, and why."""
    filters = tuple(
        room_filters(
            ask,
            cpu_free=fleet.cpu_free(),
            memory_free=fleet.memory_free(),
            tasks=fleet.tasks_of(ask.service_id),
        )
    )
    found: dict[NodeId, str] = {}
    for node_id in nodes:
        row = fleet.rows[node_id]
        refusing = next((each for each in filters if not each.admits[row]), None)
        if refusing is not None:
            reason = refusing.phrase(f"node {fleet.name(node_id)}")
            found[node_id] = f"no suitable node ({reason})"
    return found


def _admitted(fleet: Fleet, ask: Ask) -> Mask:
    admitted = fleet.present.copy()
    for each in standing_filters(fleet, ask):
        admitted &= each.admits
    return admitted


def _by_row(fleet: Fleet, counts: Mapping[NodeId, int] | None) -> Int:
    found = np.zeros(len(fleet.ids), np.int64)
    for node_id, count in (counts or {}).items():
        if node_id in fleet.rows:
            found[fleet.rows[node_id]] = count
    return found
