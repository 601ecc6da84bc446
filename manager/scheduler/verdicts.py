"""Say of every node whether it takes one more task, and if not, what it lacks.

A node's verdict is the first filter that refuses it, in the order in which placing looks: so
verdicts add up to the explanation that a waiting task shows.
"""

import numpy as np
from msgspec import Struct

from manager.scheduler.asks import Ask
from manager.scheduler.columns import PLENTY
from manager.scheduler.filters import Filter, standing_filters
from manager.scheduler.fleet import Fleet
from manager.scheduler.homes import Home
from manager.scheduler.room import Room
from swarm.ids import NodeId


class Verdict(Struct, frozen=True, kw_only=True):
    """What one node says to an ask.

    `filter` is the name of the one that refuses, empty when the node `admits`; `detail` says
    what the node is, has or lacks. `tasks` of the service are meant to run there. `room` is how
    many more fit by reservations, host ports and bounds, whatever the other filters say; None
    is any number.
    """

    node_id: NodeId
    admits: bool
    filter: str = ""
    detail: str = ""
    tasks: int = 0
    room: int | None = None


def verdicts(fleet: Fleet, ask: Ask, *, home: Home | None = None) -> tuple[Verdict, ...]:
    """Every node's, in the order of their ids; `home` is where the task has to go."""
    room = Room(fleet, ask)
    filters: tuple[Filter, ...] = (
        *standing_filters(fleet, ask),
        *_volume(fleet, home),
        *room.filters(),
    )
    first = np.full(len(fleet.ids), -1, np.int64)
    for number, each in reversed(tuple(enumerate(filters))):
        first[~each.admits] = number
    capacity = room.capacity(np.arange(len(fleet.ids)))
    found: list[Verdict] = []
    for node_id in sorted(fleet.rows):
        row = fleet.rows[node_id]
        number = int(first[row])
        refusing = filters[number] if number >= 0 else None
        found.append(
            Verdict(
                node_id=node_id,
                admits=refusing is None,
                filter=refusing.name if refusing is not None else "",
                detail=refusing.detail(row) if refusing is not None else "",
                tasks=int(room.tasks[row]),
                room=int(capacity[row]) if capacity[row] < PLENTY else None,
            )
        )
    return tuple(found)


def _volume(fleet: Fleet, home: Home | None) -> tuple[Filter, ...]:
    if home is None:
        return ()
    where = ", ".join(fleet.name(each) for each in home.nodes if each in fleet.rows)
    return (
        Filter(
            "volume",
            home.mask(fleet),
            lambda nodes: f"volume {home.volume} is not on {nodes}",
            lambda row: f"does not have volume {home.volume}, which lives on {where}",
        ),
    )
