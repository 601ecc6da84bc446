"""Let thousands of slots choose among hundreds of endpoints in milliseconds.

Going through all pairs would take a hundred. So all slots first try their luck at once: each aims
at a point of a ring on which every endpoint has some points, and takes the next one's owner if
there is room. The few that are still waiting after some rounds choose in turn, from what is left.
Rounds and turns both come in an order that never changes, so somebody's coming or going touches
only those that come after.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

_ROUNDS: Final = 16
_POINTS: Final = 8
_HEAVIEST: Final = 16
_STEP: Final = np.uint64(0xD1342543DE82EF95)

Words = NDArray[np.uint64]
Indices = NDArray[np.int64]


def choose(keys: Sequence[int], weights: Sequence[int], room: Sequence[int]) -> list[int]:
    """Whom each slot belongs to, as an index into `keys`. As many slots as there is `room`."""
    hashes, owners = np.array(keys, dtype=np.uint64), np.zeros(sum(room), dtype=np.int64)
    heavy = np.array(weights)
    waiting, left = _try_luck(hashes, heavy, np.array(room), owners)
    _take_turns(hashes, heavy, left, owners, waiting)
    return owners.tolist()


def _try_luck(
    keys: Words, weights: Indices, room: Indices, owners: Indices
) -> tuple[Indices, Indices]:
    """Fill in most owners; who is still waiting, and for what room.

    Where an endpoint's points are depends on itself alone, and how many they are, too.
    """
    points_each = np.minimum(weights, _HEAVIEST) * _POINTS
    of_points = np.repeat(np.arange(len(keys)), points_each)
    firsts = np.cumsum(points_each) - points_each
    steps = np.arange(len(of_points)) - np.repeat(firsts, points_each)
    points = _mixed(keys[of_points] + steps.astype(np.uint64) * _STEP)
    order = np.argsort(points, kind="stable")
    ring, ring_owners = points[order], of_points[order]
    waiting = np.arange(len(owners))
    for step in range(_ROUNDS):
        aims = _mixed(_mixed(waiting.astype(np.uint64)) + np.uint64(step))
        wanted = ring_owners[np.searchsorted(ring, aims) % len(ring)]
        is_let_in = _places_in_line(wanted) < room[wanted]
        owners[waiting[is_let_in]] = wanted[is_let_in]
        room = room - np.bincount(wanted[is_let_in], minlength=len(room))
        waiting = waiting[~is_let_in]
    return waiting, room


def _places_in_line(wanted: Indices) -> Indices:
    """How many before each one want the same."""
    order = np.argsort(wanted, kind="stable")
    in_line = wanted[order]
    places = np.empty_like(order)
    places[order] = np.arange(len(order)) - np.searchsorted(in_line, in_line)
    return places


def _take_turns(
    keys: Words, weights: Indices, room: Indices, owners: Indices, waiting: Indices
) -> None:
    """Fill in the owners of those that are `waiting`, for whom there is just enough room."""
    candidates = np.flatnonzero(room)
    tastes = _mixed(waiting.astype(np.uint64))
    chances = _mixed(tastes[:, None] ^ keys[candidates][None, :]).astype(np.float64) + 1.0
    likings = np.log(chances / 2.0**64) / weights[candidates][None, :]
    left: list[int] = room[candidates].tolist()
    for slot, liking in zip(waiting.tolist(), likings, strict=True):
        best = int(liking.argmax())
        owners[slot] = candidates[best]
        left[best] -= 1
        if not left[best]:
            likings[:, best] = -np.inf


def _mixed(values: Words) -> Words:
    """`slots.mixed` of each."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
