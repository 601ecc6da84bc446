"""Place many equal tasks at once, and say why some found no node.

All tasks of one call ask the same, so they share one pass over the filters, but for those that
have to go where their volume is: these go first, home by home. Nodes on which this service keeps
failing are used only when no other has room: a broken disk or a missing driver must not attract
every replacement because the node looks so empty. Before that, nodes come first that fulfil more
of the wishes that are not required. Within such a tier, tasks are spread or packed.

A service that wants to be near itself and is nowhere yet starts in the place that takes most of
its tasks. One that wants to be apart from itself has one candidate in each place, the best.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

import numpy as np
from msgspec import Struct

from manager.scheduler import neighbours
from manager.scheduler.asks import Ask
from manager.scheduler.columns import Int, Mask
from manager.scheduler.filters import Filter, admitted, disliked, explain, standing_filters
from manager.scheduler.fleet import Fleet
from manager.scheduler.homes import Home, away_from
from manager.scheduler.room import Room, by_row
from manager.scheduler.spreading import Items, choose, lowest
from swarm.ids import NodeId
from swarm.specs import Affinity, GenericResource, Strategy

MANY_FAILURES = 5
_PPM = 1_000_000
_TIER = 1_000

Claims = tuple[GenericResource, ...]


class Placement(Struct, frozen=True, kw_only=True, eq=False):
    """A node for each task, in the order of the call; empty where there is none.

    `rows` are the nodes' rows, -1 where there is none. `claims` are by task, and empty when
    nobody claims anything. `reason` is why some have no node, `reasons` why some that may go to
    few nodes only have none.
    """

    by_task: tuple[NodeId, ...]
    rows: Int
    claims: tuple[Claims, ...] = ()
    reason: str = ""
    reasons: Mapping[int, str] = {}

    @classmethod
    def nowhere(cls, wanted: int) -> "Placement":
        """Where nothing was placed."""
        return cls(by_task=(NodeId(""),) * wanted, rows=np.full(wanted, -1, np.int64))

    @property
    def nodes(self) -> tuple[NodeId, ...]:
        """The nodes of those tasks that have one; the first ones, unless some had to go home."""
        return tuple(filter(None, self.by_task)) if self.missing else self.by_task

    def claims_of(self, index: int) -> Claims:
        """What a task gets for its own."""
        return self.claims[index] if self.claims else ()

    def reason_of(self, index: int) -> str:
        """Why a task has no node; empty when it has one."""
        return "" if self.by_task[index] else self.reasons.get(index, self.reason)

    @property
    def missing(self) -> int:
        """How many have no node."""
        return int(np.count_nonzero(self.rows < 0))


def place(
    fleet: Fleet,
    ask: Ask,
    wanted: int,
    *,
    failures: Mapping[NodeId, int] | None = None,
    leaving: Mapping[NodeId, int] | None = None,
    avoid: frozenset[NodeId] = frozenset(),
    homes: Mapping[int, Home] | None = None,
) -> Placement:
    """Choose nodes for `wanted` tasks, numbered from 0.

    `failures` counts the service's recent failures by node; `leaving` its tasks that the
    same plan asks to stop: they are not meant to run any more, but hold what they reserved.
    Nodes in `avoid` take none. `homes` are the tasks that may go to some nodes only.
    """
    placing = _Placing(fleet, ask, leaving=leaving, failures=failures, avoid=avoid)
    rows = np.full(wanted, -1, np.int64)
    reasons: dict[int, str] = {}
    for home, tasks in _by_home(homes).items():
        given = placing.give(len(tasks), within=home.mask(fleet))
        rows[tasks[: len(given)]] = given
        if len(given) < len(tasks):
            reason = placing.explained(home)
            reasons |= dict.fromkeys(tasks[len(given) :], reason)
    free = np.ones(wanted, np.bool_)
    free[list(homes or ())] = False
    others = np.flatnonzero(free)
    given = placing.give(len(others))
    rows[others[: len(given)]] = given
    return Placement(
        by_task=_names(fleet, rows),
        rows=rows,
        claims=claims_at(fleet, ask, rows),
        reason=placing.explained() if len(given) < len(others) else "",
        reasons=reasons,
    )


def admitted_nodes(fleet: Fleet, ask: Ask) -> frozenset[NodeId]:
    """The nodes that are ready, active and within constraints and taints, room or not."""
    rows: list[int] = np.flatnonzero(admitted(fleet, ask)).tolist()
    return frozenset(fleet.ids[row] for row in rows)


def without_room(fleet: Fleet, ask: Ask, nodes: Iterable[NodeId]) -> dict[NodeId, str]:
    """Which of these nodes have no room for one task, or do not admit it, and why."""
    filters = (*standing_filters(fleet, ask), *Room(fleet, ask).filters())
    found: dict[NodeId, str] = {}
    for node_id in nodes:
        row = fleet.rows[node_id]
        refusing = next((each for each in filters if not each.admits[row]), None)
        if refusing is not None:
            reason = refusing.phrase(f"node {fleet.name(node_id)}")
            found[node_id] = f"no suitable node ({reason})"
    return found


def claims_at(fleet: Fleet, ask: Ask, rows: Int) -> tuple[Claims, ...]:
    """The names that tasks placed on these rows get, each name once; empty if there are none."""
    stocks = [(fleet.stock(kind), count) for kind, count in ask.generic]
    if not any(stock.has_names for stock, _ in stocks):
        return ()
    left: dict[tuple[str, int], Iterator[str]] = {}

    def claim(row: int) -> Iterator[GenericResource]:
        for stock, count in stocks:
            if row >= 0 and stock.is_named(row):
                names = left.setdefault((stock.kind, row), stock.unclaimed(row))
                yield GenericResource(kind=stock.kind, names=tuple(islice(names, count)))

    every: list[int] = rows.tolist()
    return tuple(tuple(claim(row)) for row in every)


class _Placing:
    """One call of `place`: what is left for it, and the order in which it wants nodes."""

    def __init__(
        self,
        fleet: Fleet,
        ask: Ask,
        *,
        leaving: Mapping[NodeId, int] | None,
        failures: Mapping[NodeId, int] | None,
        avoid: frozenset[NodeId],
    ) -> None:
        self._fleet = fleet
        self._ask = ask
        self._avoid = avoid
        self._room = Room(fleet, ask, leaving)
        self._admitted = admitted(fleet, ask, avoid=avoid)
        self._tiers = _tiers(fleet, ask, failures)

    def give(self, wanted: int, *, within: Mask | None = None) -> Int:
        """The rows of as many of `wanted` tasks as find room."""
        mask = self._admitted if within is None else self._admitted & within
        rows, room = self._candidates(mask, wanted)
        given: list[Int] = []
        for tier in self._by_tier(rows):
            if wanted:
                chosen = self._choose(rows[tier], room[tier], wanted)
                if len(chosen):
                    self._room.take(chosen)
                wanted -= len(chosen)
                given.append(chosen)
        return np.concatenate(given) if given else np.zeros(0, np.int64)

    def explained(self, home: Home | None = None) -> str:
        """Why there is no room for one more."""
        standing = standing_filters(self._fleet, self._ask, avoid=self._avoid)
        filters: tuple[Filter, ...] = (*standing, *self._room.filters())
        if home is None:
            return explain(self._fleet.present, filters)
        return away_from(home, self._fleet, filters)

    def _candidates(self, mask: Mask, wanted: int) -> tuple[Int, Int]:
        """The rows that take a task, and how many of `wanted` each."""
        if not wanted:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        admits = self._room.admits()
        rows = np.flatnonzero(mask if admits is None else mask & admits)
        room = self._room.capacity(rows, most=wanted)
        if len(room) and not room.all():
            rows, room = rows[room > 0], room[room > 0]
        for wish in self._seeking():
            here = self._best_place(wish.topology, rows, room, wanted)
            if wish.required:
                rows, room = rows[here], room[here]
            elif self._tiers is not None:
                self._tiers[rows[here]] -= 1
        apart = [each for each in neighbours.apart_by(self._ask) if each != neighbours.EACH_NODE]
        if apart and len(rows):
            best = self._one_in_each(apart, rows)
            rows, room = rows[best], np.minimum(room[best], self._most_each(apart, rows[best]))
        return rows, room

    def _seeking(self) -> list[Affinity]:
        """The wishes to be near the service itself, which is nowhere yet; required ones first."""
        if self._room.given is not None:
            return []
        wishes = sorted(self._ask.affinities, key=lambda each: not each.required)
        fleet, ask = self._fleet, self._ask
        return [each for each in wishes if neighbours.seeks_itself(fleet, ask, each)]

    def _by_tier(self, rows: Int) -> Iterator[Int | slice]:
        """Indices into `rows`, the better nodes first."""
        if self._tiers is None or not len(rows):
            yield slice(None)
            return
        tiers = self._tiers[rows]
        for tier in np.unique(tiers):
            yield np.flatnonzero(tiers == tier)

    def _choose(self, rows: Int, room: Int, wanted: int) -> Int:
        """Some of `rows`, one for each task that finds room."""
        if not len(rows):
            return rows
        is_packed = self._ask.strategy is Strategy.BINPACK
        if wanted < len(rows) and not is_packed and not neighbours.spread_by(self._ask):
            own, totals = self._room.tasks[rows], self._room.totals[rows]
            few = lowest(own, totals, self._fleet.order[rows], wanted)
            rows, room = rows[few], room[few]
        room = np.minimum(room, wanted)
        branches, segment = self._branches(rows, room)
        items = Items(
            counts=self._room.tasks[rows],
            totals=self._room.totals[rows],
            room=room,
            order=self._fleet.order[rows],
            segment=segment,
        )
        rank = self._fullest_first(rows) if is_packed else None
        return rows[choose(items, branches, wanted, rank)]

    def _branches(self, rows: Int, room: Int) -> tuple[list[Items], Int]:
        """What preferences spread over, level by level, and the last branch of each row."""
        if not neighbours.spread_by(self._ask):
            return [], np.zeros(len(rows), np.int64)
        fleet, tasks = self._fleet, np.where(self._fleet.believed, self._room.tasks, 0)
        totals = np.where(fleet.believed, self._room.totals, 0)
        path, segment = np.zeros(len(fleet.ids), np.int64), np.zeros(len(rows), np.int64)
        found: list[Items] = []
        for attribute in neighbours.spread_by(self._ask):
            column = fleet.attribute(attribute)
            path = path * len(column.values) + column.codes
            if int(path.max()) > 4 * len(path):
                path = np.unique(path, return_inverse=True)[1].reshape(-1)
            size, parent = int(path.max()) + 1, segment
            taken = np.flatnonzero(np.bincount(path[rows], minlength=size))
            number = np.zeros(size, np.int64)
            number[taken] = np.arange(len(taken))
            segment = number[path[rows]]
            order = np.full(len(taken), len(path), np.int64)
            np.minimum.at(order, segment, fleet.order[rows])
            above = np.zeros(len(taken), np.int64)
            above[segment] = parent
            found.append(
                Items(
                    counts=_summed(path, tasks, size)[taken],
                    totals=_summed(path, totals, size)[taken],
                    room=_summed(segment, room, len(taken)),
                    order=order,
                    segment=above,
                )
            )
        return found, segment

    def _fullest_first(self, rows: Int) -> Int:
        """Each row's place when the fullest by reservations comes first."""
        fleet, ask = self._fleet, self._ask
        nothing = np.zeros(len(fleet.ids), np.int64)
        given = self._room.given if self._room.given is not None else nothing
        fullness = _share(fleet.cpu_reserved + given * ask.cpu_millis, fleet.cpu_millis)
        fullness += _share(fleet.memory_reserved + given * ask.memory_bytes, fleet.memory_bytes)
        ordered = np.lexsort((fleet.order[rows], -self._room.totals[rows], -fullness[rows]))
        rank = np.zeros(len(rows), np.int64)
        rank[ordered] = np.arange(len(rows))
        return rank

    def _one_in_each(self, topologies: list[str], rows: Int) -> Int:
        """Indices of the best row of each place, and of those that are in no place."""
        room, tiers = self._room, self._tiers
        key = [self._fleet.order[rows], room.totals[rows], room.tasks[rows]]
        if self._ask.strategy is Strategy.BINPACK:
            key = [self._fullest_first(rows)]
        ranked = np.lexsort(key if tiers is None else [*key, tiers[rows]])
        codes = [self._fleet.attribute(each).codes[rows[ranked]] for each in topologies]
        if len(codes) == 1:
            _, first = np.unique(codes[0], return_index=True)
            keeps = codes[0] == 0
            keeps[first] = True
            return np.sort(ranked[keeps])
        taken: set[tuple[int, int]] = set()
        kept: list[int] = []
        for index, *places in zip(ranked.tolist(), *(each.tolist() for each in codes), strict=True):
            own = {place for place in enumerate(places) if place[1]}
            if not own & taken:
                taken |= own
                kept.append(index)
        return np.sort(np.array(kept, np.int64))

    def _most_each(self, topologies: list[str], rows: Int) -> Int:
        """1 where a row stands for a place, plenty where it is in none."""
        placed = np.zeros(len(rows), np.bool_)
        for each in topologies:
            placed |= self._fleet.attribute(each).codes[rows] > 0
        return np.where(placed, 1, np.iinfo(np.int64).max)

    def _best_place(self, topology: str, rows: Int, room: Int, wanted: int) -> Mask:
        """Which rows are in the place that takes most of what is wanted, or the one before it."""
        codes = self._fleet.attribute(topology).codes[rows]
        size = len(self._fleet.attribute(topology).values)
        takes = np.minimum(_summed(codes, room, size), wanted)
        takes[0] = 0
        order = np.full(size, len(self._fleet.ids), np.int64)
        np.minimum.at(order, codes, self._fleet.order[rows])
        best = int(np.lexsort((order, -takes))[0])
        found: Mask = (codes == best) & (best > 0) & (takes[best] > 0)
        return found


def _tiers(fleet: Fleet, ask: Ask, failures: Mapping[NodeId, int] | None) -> Int | None:
    """How much speaks against each node although it may be used; None when nothing does."""
    found: Int | None = None
    if failures and max(failures.values()) >= MANY_FAILURES:
        found = (by_row(fleet, failures) >= MANY_FAILURES) * (_TIER * _TIER)
    if len(fleet.taints.values) > 1:
        found = (0 if found is None else found) + np.minimum(
            disliked(fleet, ask), _TIER - 1
        ) * _TIER
    if any(not each.required for each in ask.affinities):
        unmet = np.minimum(neighbours.unmet(fleet, ask), _TIER - 1)
        found = unmet if found is None else found + unmet
    return found


def _by_home(homes: Mapping[int, Home] | None) -> dict[Home, list[int]]:
    found: dict[Home, list[int]] = {}
    for index, home in sorted((homes or {}).items()):
        found.setdefault(home, []).append(index)
    return found


def _names(fleet: Fleet, rows: Int) -> tuple[NodeId, ...]:
    found: list[NodeId] = fleet.ids[rows].tolist()
    if len(rows) and int(rows.min()) < 0:
        return tuple(n if row >= 0 else NodeId("") for n, row in zip(found, rows, strict=True))
    return tuple(found)


def _summed(at: Int, amounts: Int, size: int) -> Int:
    found = np.zeros(size, np.int64)
    np.add.at(found, at, amounts)
    return found


def _share(used: Int, total: Int) -> Int:
    """How much of what there is is used, in millionths; nothing of nothing."""
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(total > 0, used / total, 0.0)
    return (share * _PPM).astype(np.int64)
