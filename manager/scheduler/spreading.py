"""Spread tasks as water spreads: each next one where it stands lowest.

The rule is that of choosing one by one: first the branch of the most significant preference
that has fewest tasks of this service, in it the branch of the next, and at last the node:
fewest tasks of this service, then fewest tasks at all, then the smaller id. Branches are
chosen by the same rule as nodes. Chosen one by one that costs a search per task; but the
result is the same as filling all up to a common level and dealing the rest out, which is a
handful of array operations for any number of tasks, branches and nodes.

Packing is simpler: the fullest first, and as much there as goes in.
"""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from manager.scheduler.columns import Int

_MOST_CELLS = 1 << 23
_RADIX = 1 << 16  # numpy sorts so many different small keys in linear time


class Items(Struct, frozen=True, kw_only=True):
    """Nodes or branches to choose from; arrays of one length.

    `counts` are tasks of this service there, `totals` all tasks, `room` how many more go in;
    `order` breaks ties. `segment` numbers the branches that they are in from 0.
    """

    counts: Int
    totals: Int
    room: Int
    order: Int
    segment: Int


def choose(items: Items, branches: Sequence[Items], wanted: int, rank: Int | None = None) -> Int:
    """Choose an item for each of `wanted` tasks, as indices, first to last.

    Descends through `branches`, the most significant first: the segments of each level are the
    items of the one before, and those of the first are all 0. Items are packed by `rank` if
    there is one. The result is shorter when there is no more room.
    """
    shares, turns = np.array([wanted]), np.zeros(0, np.int64)
    for number, level in enumerate((*branches, items)):
        if level is items and rank is not None:
            given = _pack(level, rank, shares)
            ranked = np.lexsort((rank, level.segment))
            own = np.repeat(ranked, given[ranked])
        else:
            given = _pour(level, shares)
            own = _in_turn(level, given)
        turns = own if number == 0 else _interleaved(turns, own)
        shares = given
    return turns


def lowest(counts: Int, totals: Int, order: Int, wanted: int) -> Int:
    """The `wanted` items that stand lowest, as indices in any order.

    While each of them has room for one, nobody who chooses one by one touches any other.
    """
    standing = counts * (int(totals.max()) + 1) + totals
    level = np.partition(standing, wanted - 1)[wanted - 1]
    below, on_level = np.flatnonzero(standing < level), np.flatnonzero(standing == level)
    rest = wanted - len(below)
    first = np.argpartition(order[on_level], rest - 1)[:rest]
    return np.concatenate((below, on_level[first]))


def _interleaved(turns: Int, own: Int) -> Int:
    """Put what each branch chose, branch after branch in `own`, where it is that branch's turn."""
    assert len(own) == len(turns), "no branch is given more than goes in"
    found = np.zeros(len(turns), np.int64)
    found[_stably(turns)] = own
    return found


def _pack(items: Items, rank: Int, wanted: Int) -> Int:
    """How many go to each item when those of the smallest `rank` are filled first."""
    ranked = np.lexsort((rank, items.segment))
    room, segment = items.room[ranked], items.segment[ranked]
    before = np.cumsum(room) - room
    starts = np.minimum(np.searchsorted(segment, np.arange(len(wanted))), len(room) - 1)
    given: Int = np.zeros(len(room), np.int64)
    given[ranked] = np.clip(wanted[segment] - (before - before[starts][segment]), 0, room)
    return given


def _pour(items: Items, wanted: Int) -> Int:
    """How many go to each item when each segment gets what is `wanted` of it, if it has room."""
    segments = len(wanted)
    wanted = np.minimum(wanted, _sums(items.segment, items.room, segments))
    if not wanted.any():
        return np.zeros(len(items.room), np.int64)
    levels = _levels(items, wanted)
    level = levels[0] if segments == 1 else levels[items.segment]
    given: Int = np.clip(level - items.counts, 0, items.room)
    rest = wanted - _sums(items.segment, given, segments)
    if rest.any():
        is_open = (items.counts + given == level) & (given < items.room)
        given[_first_open(items, np.flatnonzero(is_open), rest)] += 1
    return given


def _levels(items: Items, wanted: Int) -> Int:
    """The highest level to which each segment can be filled with what is wanted of it."""
    low = int(items.counts.min())
    high = int(items.counts.max()) + int(wanted.max()) + 1
    if len(wanted) * (high - low + 1) > _MOST_CELLS:
        return _levels_by_halving(items, wanted, low, high)
    bottom = items.counts - low
    top = np.minimum(bottom + items.room, high - low)
    width, cells = high - low + 1, len(wanted) * (high - low + 1)
    base = items.segment * width
    rising = np.bincount(base + bottom, minlength=cells) - np.bincount(base + top, minlength=cells)
    rates = np.cumsum(rising.reshape(len(wanted), width), axis=1)
    filled = np.cumsum(rates, axis=1) - rates
    found: Int = low + np.count_nonzero(filled <= wanted[:, None], axis=1) - 1
    return found


def _levels_by_halving(items: Items, wanted: Int, low: int, high: int) -> Int:
    lows = np.full(len(wanted), low, np.int64)
    highs = np.full(len(wanted), high, np.int64)
    while (highs - lows > 1).any():
        middles = (lows + highs) // 2
        given = np.clip(middles[items.segment] - items.counts, 0, items.room)
        enough = _sums(items.segment, given, len(wanted)) <= wanted
        lows, highs = np.where(enough, middles, lows), np.where(enough, highs, middles)
    return lows


def _first_open(items: Items, candidates: Int, rest: Int) -> Int:
    """Of each segment the candidates whose turn is next, as many as its `rest`."""
    bias = items.totals[candidates] - items.counts[candidates]
    order = items.order[candidates]
    if len(rest) == 1:
        left = int(rest[0])
        if left >= len(candidates):
            return candidates
        key = bias * (int(order.max()) + 1) + order
        return candidates[np.argpartition(key, left - 1)[:left]]
    segment = items.segment[candidates]
    ranked = np.lexsort((order, bias, segment))
    segment = segment[ranked]
    place = np.arange(len(ranked)) - np.searchsorted(segment, segment)
    return candidates[ranked[place < rest[segment]]]


def _in_turn(items: Items, given: Int) -> Int:
    """The chosen items of one segment after the other, as if chosen one by one."""
    chosen = np.flatnonzero(given)
    if not len(chosen):
        return chosen
    counts, segment = items.counts[chosen], items.segment[chosen]
    bias = items.totals[chosen] - counts
    ranked = np.lexsort((items.order[chosen], bias))
    chosen, counts, segment = chosen[ranked], counts[ranked], segment[ranked]
    times = given[chosen]
    turns = np.repeat(chosen, times)
    if len(turns) > len(chosen):
        first = np.cumsum(times) - times
        level = np.arange(len(turns)) + np.repeat(counts - first, times)
    else:
        level = counts
    level = level - int(counts.min())
    width = int(level.max()) + 1
    if width == 1 and not (segment != segment[0]).any():
        return turns
    key = level + np.repeat(segment, times) * width
    return turns[_stably(key)]


def _stably(key: Int) -> Int:
    """Indices that sort `key` and keep equal ones in order."""
    if int(key.max()) < _RADIX:
        return np.argsort(key.astype(np.uint16), kind="stable")
    return np.argsort(key, kind="stable")


def _sums(segment: Int, amounts: Int, segments: int) -> Int:
    if segments == 1:
        return np.array([int(amounts.sum())])
    found = np.zeros(segments, np.int64)
    np.add.at(found, segment, amounts)
    return found
