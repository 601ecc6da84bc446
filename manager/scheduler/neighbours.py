"""Tell which nodes are near the tasks of a service, and which wishes about that they fulfil.

Near is in the same place, and a place is all nodes that have the same value of the topology's
attribute; a node without a value is in no place. Being near what runs needs tasks that are
meant to run; staying away also minds those that have not ended yet. Tasks on nodes that are down
count for neither, or a lost rack would keep its replacement out of the whole zone.

To stay away is mutual: what must not meet a service is not met by it either.
"""

from collections.abc import Iterator

import numpy as np

from manager.scheduler.asks import Ask
from manager.scheduler.columns import Int, Mask
from manager.scheduler.fleet import Fleet, Load
from swarm.specs import Affinity

EACH_NODE = "node.id"


def near(fleet: Fleet, counts: Int, topology: str) -> Mask:
    """The nodes in places where there are tasks, given how many each node has."""
    if topology == EACH_NODE:
        found: Mask = counts > 0
        return found
    codes = fleet.attribute(topology).codes
    occupied = np.zeros(len(fleet.attribute(topology).values), np.bool_)
    occupied[codes[(counts > 0) & fleet.believed]] = True
    occupied[0] = False
    taken: Mask = occupied[codes]
    return taken


def fulfils(fleet: Fleet, ask: Ask, wish: Affinity) -> Mask:
    """The nodes that are as `wish` has it, as things are."""
    if wish.anti:
        own = wish.service == ask.name
        held = fleet.held_of(ask.service_id) if own else fleet.held_named(wish.service)
        return ~near(fleet, held, wish.topology)
    meant = fleet.tasks_named(wish.service)
    return near(fleet, meant, wish.topology)


def shunned(fleet: Fleet, ask: Ask) -> Iterator[tuple[Load, Affinity, Mask]]:
    """The nodes on which other services' tasks must not meet this one's."""
    for load in fleet.shunning(ask.name):
        if load.ask.service_id == ask.service_id:
            continue
        held = load.held.dense(len(fleet.ids))
        for wish in load.ask.keeps_away:
            if wish.service == ask.name:
                yield load, wish, near(fleet, held, wish.topology)


def seeks_itself(fleet: Fleet, ask: Ask, wish: Affinity) -> bool:
    """Whether the service wants to be near itself and is not anywhere yet."""
    is_own = wish.service == ask.name and not wish.anti
    return is_own and not near(fleet, fleet.tasks_of(ask.service_id), wish.topology).any()


def apart_by(ask: Ask) -> tuple[str, ...]:
    """Attributes of which each value may have one task of the service only."""
    return tuple(dict.fromkeys(w.topology for w in ask.keeps_away if w.service == ask.name))


def spread_by(ask: Ask) -> tuple[str, ...]:
    """Attributes to spread over: those preferred, then those of soft wishes to be apart."""
    wishes = (w for w in ask.affinities if w.anti and not w.required and w.service == ask.name)
    return tuple(dict.fromkeys((*ask.preferences, *(each.topology for each in wishes))))


def unmet(fleet: Fleet, ask: Ask) -> Int:
    """How many soft wishes about other services each node does not fulfil."""
    found = np.zeros(len(fleet.ids), np.int64)
    for wish in ask.affinities:
        if not wish.required and not (wish.anti and wish.service == ask.name):
            found += ~fulfils(fleet, ask, wish)
    return found
