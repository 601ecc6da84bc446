"""Spread tasks as water spreads: each next one where it stands lowest.

The rule is that of choosing nodes one by one: fewest tasks of this service, then fewest
tasks at all, then the smaller id. Chosen one by one that costs a search per task; but the
result is the same as filling all nodes up to a common level and dealing the rest out, which
is a handful of array operations for any number of tasks.
"""

import numpy as np

from manager.scheduler.fleet import Int


def fill(*, counts: Int, totals: Int, room: Int, order: Int, wanted: int) -> Int:
    """Choose a node for each of `wanted` tasks, as indices into the arrays, first to last.

    `counts` are tasks of this service on each node, `totals` all its tasks, `room` how many
    more it takes, `order` breaks ties. The result is shorter when there is no more room.
    """
    room = np.minimum(room, wanted)
    wanted = min(wanted, int(room.sum()))
    if wanted <= 0:
        return np.zeros(0, np.int64)
    level = _level(counts, room, wanted)
    given = np.clip(level - counts, 0, room)
    rest = wanted - int(given.sum())
    if rest:
        open_nodes = np.flatnonzero((counts + given == level) & (given < room))
        ranked = np.lexsort((order[open_nodes], totals[open_nodes] + given[open_nodes]))
        given[open_nodes[ranked[:rest]]] += 1
    return _in_turn(given, counts, totals, order)


def _level(counts: Int, room: Int, wanted: int) -> int:
    """The highest level to which all nodes can be filled with `wanted` tasks."""
    low, high = int(counts.min()), int(counts.max()) + wanted + 1
    while high - low > 1:
        middle = (low + high) // 2
        if int(np.clip(middle - counts, 0, room).sum()) <= wanted:
            low = middle
        else:
            high = middle
    return low


def _in_turn(given: Int, counts: Int, totals: Int, order: Int) -> Int:
    """The chosen nodes in the order in which they would have been chosen one by one."""
    chosen = np.repeat(np.arange(len(given)), given)
    first = np.repeat(np.cumsum(given) - given, given)
    nth = np.arange(len(chosen)) - first
    ranked = np.lexsort((order[chosen], totals[chosen] + nth, counts[chosen] + nth))
    return chosen[ranked]
