"""Share a service's new connections out among its endpoints, the same on every node.

A connection hashes to one of a number of slots, and every slot belongs to an endpoint. Who owns
which follows from the endpoints and their weights alone, not from what was before: nodes that
heard of changes in another order agree, and an agent that starts anew finds in the kernel what it
would write. Yet one endpoint more or less moves only about its own slots, times a logarithm.

How many slots an endpoint gets is D'Hondt's method, under which nobody gains by another's coming.
Which ones: the slots choose in turn, each the endpoint that it likes best among those that still
have room, so that one choice touches few others. Long lists are gone through by `rings`.
"""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from math import log
from typing import Final

from swarm.ids import TaskId

CLASSES: Final = (16, 64, 256, 1024, 4096, 16384)
"""How many slots a service may have: the kernel has one chain for each."""

_PER_ENDPOINT: Final = 4
_MOST_SHARES: Final = 256
_SHORT: Final = 4096
_WORD: Final = 2**64 - 1


def share(weights: Mapping[TaskId, int]) -> list[TaskId]:
    """Who owns each slot; nobody has any where nobody has weight."""
    ids = sorted((each for each, weight in weights.items() if weight > 0), key=_rank)
    if len(ids) < 2:
        return ids * CLASSES[0]
    shares = [weights[each] for each in ids]
    slots = slot_count(shares)
    room = quotas(shares, slots)
    keys = [_key(each) for each in ids]
    return [ids[owner] for owner in _owners(keys, shares, room)]


def slot_count(weights: Sequence[int]) -> int:
    """The least class in which the lightest endpoint has some slots.

    Weights that differ wildly are not worth more than a thousand slots; many endpoints are.
    """
    shares = min(-(-sum(weights) // min(weights)), _MOST_SHARES)
    wanted = _PER_ENDPOINT * max(len(weights), shares)
    return next((each for each in CLASSES if each >= wanted), CLASSES[-1])


def quotas(weights: Sequence[int], slots: int) -> list[int]:
    """How many slots each gets by D'Hondt's method; of equals the first gets more."""
    total = sum(weights)
    given = [slots * weight // total for weight in weights]
    claims = [(-weights[at] / (had + 1), at) for at, had in enumerate(given)]
    heapq.heapify(claims)
    for _ in range(slots - sum(given)):
        at = claims[0][1]
        given[at] += 1
        heapq.heapreplace(claims, (-weights[at] / (given[at] + 1), at))
    return given


def _owners(keys: list[int], weights: list[int], room: list[int]) -> Sequence[int]:
    if sum(room) * len(keys) <= _SHORT:
        return list(_take_turns(keys, weights, room))
    from agent.network.rings import choose  # NumPy: ten megabytes that few nodes need

    return choose(keys, weights, room)


def _take_turns(keys: list[int], weights: list[int], room: list[int]) -> Iterator[int]:
    """Weighted rendezvous: of those that have room the heavier one is liked more often."""
    left, open_ones = list(room), [at for at, free in enumerate(room) if free]
    for slot in range(sum(room)):
        taste = mixed(slot)
        likings = [log((mixed(taste ^ keys[at]) + 1) / 2**64) / weights[at] for at in open_ones]
        best = open_ones[likings.index(max(likings))]
        left[best] -= 1
        if not left[best]:
            open_ones.remove(best)
        yield best


def mixed(value: int) -> int:
    """A number of 64 bits that has nothing in common with `value` (the finish of SplitMix64)."""
    value = (value + 0x9E3779B97F4A7C15) & _WORD
    value = ((value ^ value >> 30) * 0xBF58476D1CE4E5B9) & _WORD
    value = ((value ^ value >> 27) * 0x94D049BB133111EB) & _WORD
    return value ^ value >> 31


def _rank(endpoint: TaskId) -> tuple[int, TaskId]:
    return _key(endpoint), endpoint


@lru_cache(maxsize=65536)
def _key(endpoint: TaskId) -> int:
    return int.from_bytes(blake2b(endpoint.encode(), digest_size=8).digest(), "big")
