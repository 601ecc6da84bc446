"""Send tasks to where their volumes are.

A slot whose last attempt was on a node goes back to it while that node is in the swarm, down or
not: its data is there, and a fresh volume elsewhere would look like data loss. A slot without
earlier attempts goes where a volume of its own name is, which a name is only if it holds
`{{.Task.Slot}}`: others are shared by all replicas of a node and are made wherever these go.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from msgspec import Struct

from manager.scheduler.asks import Ask
from manager.scheduler.columns import Mask
from manager.scheduler.filters import Filter, explain
from manager.scheduler.fleet import Fleet
from swarm.ids import NodeId

_SLOT = "{{.Task.Slot}}"


class Home(Struct, frozen=True):
    """The nodes that a task may go to because of a volume."""

    volume: str
    nodes: tuple[NodeId, ...]

    def mask(self, fleet: Fleet) -> Mask:
        """As rows of the table."""
        found = np.zeros(len(fleet.ids), np.bool_)
        found[[fleet.rows[each] for each in self.nodes if each in fleet.rows]] = True
        return found


def homes_for(
    fleet: Fleet, ask: Ask, slots: Sequence[int], last: Mapping[int, NodeId]
) -> dict[int, Home]:
    """Where those of `slots` have to go that are not free to choose, by their index.

    `last` is the node of each slot's last attempt.
    """
    if not ask.volumes:
        return {}
    found = {index: home_of(fleet, ask, slot, last.get(slot)) for index, slot in enumerate(slots)}
    return {index: home for index, home in found.items() if home is not None}


def home_of(fleet: Fleet, ask: Ask, slot: int, last: NodeId | None) -> Home | None:
    """Where a task of this slot has to go; None when anywhere."""
    if not ask.volumes:
        return None
    names = [_filled(each, ask, slot) for each in ask.volumes]
    if last is not None and last in fleet.rows:
        return Home(names[0], (last,))
    own = [
        name
        for each, name in zip(ask.volumes, names, strict=True)
        if _SLOT in _tight(each) and "{{" not in name
    ]
    having = {name: tuple(fleet.having_volume(name)) for name in own}
    having = {name: nodes for name, nodes in having.items() if nodes}
    for name, nodes in having.items():
        common = set(nodes).intersection(*having.values())
        return Home(name, tuple(sorted(common)) or nodes)
    return None


def away_from(home: Home, fleet: Fleet, filters: Iterable[Filter]) -> str:
    """Why a task cannot go home now."""
    every = tuple(filters)
    rows = [fleet.rows[each] for each in home.nodes if each in fleet.rows]
    if len(rows) == 1:
        refusing = next(each for each in every if not each.admits[rows[0]])
        name = fleet.name(home.nodes[0])
        why = (
            f", which {refusing.detail(rows[0])}"
            if refusing.name in ("ready", "active")
            else f": {refusing.phrase(f'node {name}')}"
        )
        return f"no suitable node (volume {home.volume} lives on {name}{why})"
    reason = explain(home.mask(fleet), every).removeprefix("no suitable node (")
    return f"no suitable node (volume {home.volume} lives on {len(rows)} nodes: {reason}"


def _filled(template: str, ask: Ask, slot: int) -> str:
    """The name with what is known before there is a task; the rest is left as it is."""
    known = {
        _SLOT: str(slot),
        "{{.Service.Name}}": ask.name,
        "{{.Service.ID}}": ask.service_id,
    }
    name = _tight(template)
    for place, value in known.items():
        name = name.replace(place, value)
    return name


def _tight(template: str) -> str:
    return template.replace("{{ ", "{{").replace(" }}", "}}")
