"""Find whom to stop for tasks of a higher priority that fit nowhere.

Victims are tasks of other services with a strictly lower priority, on nodes that everything
but room speaks for: the fewest, then those of the lowest priorities, then the youngest. Nothing
is stopped in vain: what is stopped makes room for at least one task, and what is leaving anyway
is waited for before anybody is stopped. Until victims have ended, their node takes nothing of
their priority or below (`manager.scheduler.room`), so that nobody slips into what they leave.

Nodes are compared by arrays: how many tasks of one lower load would do, against the least that
any mixture could need. Only nodes where a mixture may do with fewer are looked at one by one.
"""

from collections.abc import Collection, Iterator, Mapping
from itertools import combinations_with_replacement
from math import comb

import numpy as np
from msgspec import Struct

from manager.scheduler.asks import Ask
from manager.scheduler.columns import Int, Mask
from manager.scheduler.filters import admitted
from manager.scheduler.fleet import PREEMPTED, Fleet, Load
from manager.scheduler.placement import Placement
from manager.scheduler.room import Room, clash
from manager.view import ClusterView
from swarm.ids import NodeId, TaskId
from swarm.objects import Task

_MOST_MIXTURES = 5_000
_NEVER = 1 << 30


class Preemption(Struct, frozen=True, kw_only=True):
    """`tasks` of those that wait fit on a node once `victims` and what leaves it have ended."""

    node_id: NodeId
    tasks: int
    victims: tuple[TaskId, ...] = ()
    message: str = ""


def preempt(
    fleet: Fleet,
    view: ClusterView,
    ask: Ask,
    placed: Placement,
    wanted: int,
    *,
    leaving: Mapping[NodeId, int] | None = None,
    avoid: frozenset[NodeId] = frozenset(),
    only: Collection[NodeId] | None = None,
) -> tuple[Preemption, ...]:
    """Whom to stop for `wanted` tasks that `placed` found no node for, the best first.

    `leaving` and `avoid` are as they were for placing. Tasks that have to go to some nodes come
    by themselves, with `only` those.
    """
    lower = [each for each in fleet.loads() if _ranks_below(each, ask)]
    if wanted <= 0 or not lower:
        return ()
    room = Room(fleet, ask, leaving)
    room.take(placed.rows[placed.rows >= 0])
    mask = admitted(fleet, ask, avoid=avoid)
    if only is not None:
        chosen = np.zeros(len(fleet.ids), np.bool_)
        chosen[[fleet.rows[each] for each in only if each in fleet.rows]] = True
        mask &= chosen
    lower.sort(key=lambda each: (each.ask.priority, each.ask.service_id, each.ask.version))
    return tuple(_Search(fleet, view, ask, lower=lower, room=room, mask=mask).run(wanted))


def preempted_by(name: str) -> str:
    """What a victim says of why it was stopped."""
    return f"{PREEMPTED}{name}"


class _Search:
    """Candidate rows, with what they have left and what each lower load has there.

    Arrays are by resource (or load) and candidate. `places` is how many more of the service's
    tasks a candidate may have whatever its resources.
    """

    def __init__(
        self,
        fleet: Fleet,
        view: ClusterView,
        ask: Ask,
        *,
        lower: list[Load],
        room: Room,
        mask: Mask,
    ) -> None:
        self._fleet = fleet
        self._view = view
        self._ask = ask
        self._lower = lower
        self._rows = np.flatnonzero(mask & room.admits_without(lower))
        self._places = room.places()[self._rows]
        meant = [each.meant(len(fleet.ids))[self._rows] for each in lower]
        self._meant = np.array(meant, np.int64).reshape(len(lower), len(self._rows))
        self._wants = np.array(_sizes(ask, ask), np.int64)
        sizes = [_sizes(ask, each.ask) for each in lower]
        self._size = np.array(sizes, np.int64).reshape(len(lower), len(self._wants))
        self._free = _soon_free(fleet, ask, room)[:, self._rows]
        self._clashes = np.array([_clashes(ask, each.ask) for each in lower], np.bool_)
        self._mixtures: dict[int, tuple[int, ...]] = {}
        self._stopped: set[TaskId] = set()
        self._found: list[TaskId] = []
        self._budget = _MOST_MIXTURES * 20

    def run(self, wanted: int) -> Iterator[Preemption]:
        """Use the best nodes until all are served or nothing more can be had."""
        while wanted > 0 and len(self._rows):
            best, load, least = self._best()
            if not len(best):
                return
            if self._is_choosy():
                best = best[:1]
            for found in self._use(best, load[best], least[best], wanted):
                wanted -= found.tasks
                yield found
            self._stopped.update(self._found)

    def _best(self) -> tuple[Int, Int, Int]:
        """The candidates that need fewest victims, the load each takes from, and how many.

        What clashes with a wanted port has to go in any case and is not counted by load.
        """
        forced = np.where(self._clashes[:, None], self._meant, 0)
        deficit = self._wants[:, None] - self._free - self._size.T @ forced
        load, least = self._by_single_load(deficit, self._meant - forced)
        base = forced.sum(axis=0)
        self._mixtures = {}
        bound = self._bound(deficit, self._meant - forced)
        goal = int((least + base).min())
        for index in np.argsort(bound + base, kind="stable").tolist():
            if int(bound[index] + base[index]) >= goal:
                break
            mixture = self._mixture(
                deficit[:, index], (self._meant - forced)[:, index], int(bound[index])
            )
            if mixture and len(mixture) < least[index]:
                least[index], load[index] = len(mixture), mixture[-1]
                self._mixtures[index] = mixture
                goal = min(goal, int(least[index] + base[index]))
        count = np.where(self._places > 0, least + base, _NEVER)
        fewest = int(count.min())
        if fewest >= _NEVER:
            return np.zeros(0, np.int64), load, least
        best = np.flatnonzero(count == fewest)
        priority = np.array([each.ask.priority for each in self._lower])[load[best]]
        return best[np.lexsort((self._fleet.order[self._rows[best]], priority))], load, least

    def _by_single_load(self, deficit: Int, left: Int) -> tuple[Int, Int]:
        """For each candidate the load of which fewest tasks would do, and how many."""
        least = np.full(len(self._rows), _NEVER, np.int64)
        load = np.zeros(len(self._rows), np.int64)
        for number, size in enumerate(self._size):
            count = np.zeros(len(self._rows), np.int64)
            for short, each in zip(deficit, size.tolist(), strict=True):
                needed = -(-short // each) if each else np.where(short > 0, _NEVER, 0)
                np.maximum(count, needed, out=count)
            count[count > left[number]] = _NEVER
            better = count < least
            least[better], load[better] = count[better], number
        return load, least

    def _bound(self, deficit: Int, left: Int) -> Int:
        """No mixture of tasks can be smaller than this."""
        bound = np.zeros(len(self._rows), np.int64)
        for short, size in zip(deficit, self._size.T, strict=True):
            biggest = np.where(left > 0, size[:, None], 0).max(axis=0)
            enough = (left * size[:, None]).sum(axis=0) >= short
            needed = np.where(enough, -(-short // np.maximum(biggest, 1)), _NEVER)
            np.maximum(bound, np.where(short > 0, needed, 0), out=bound)
        return bound

    def _mixture(self, deficit: Int, left: Int, least: int) -> tuple[int, ...]:
        """The fewest tasks that make up for `deficit`, of the lowest priorities, by their loads.

        Empty when there is no such mixture. When there are too many to try, one in which each
        next task helps most.
        """
        useful = [n for n in range(len(left)) if left[n] and (self._size[n][deficit > 0] > 0).any()]
        for count in range(max(least, 1), int(left[useful].sum()) + 1):
            tries = comb(len(useful) + count - 1, count)
            if tries > min(_MOST_MIXTURES, self._budget):
                return self._greedy(deficit, left, useful)
            self._budget -= tries
            found = [
                mixture
                for mixture in combinations_with_replacement(useful, count)
                if self._suffices(mixture, deficit, left)
            ]
            if found:
                return min(found, key=self._priorities)
        return ()

    def _suffices(self, mixture: tuple[int, ...], deficit: Int, left: Int) -> bool:
        if any(mixture.count(number) > left[number] for number in set(mixture)):
            return False
        return bool((self._size[np.array(mixture)].sum(axis=0) >= deficit).all())

    def _priorities(self, mixture: tuple[int, ...]) -> list[int]:
        return sorted((self._lower[number].ask.priority for number in mixture), reverse=True)

    def _greedy(self, deficit: Int, left: Int, useful: list[int]) -> tuple[int, ...]:
        chosen: list[int] = []
        left, short = left.copy(), deficit.copy()
        while (short > 0).any():
            can = [number for number in useful if left[number] > 0]
            if not can:
                return ()
            help_ = (np.minimum(self._size[can], np.maximum(short, 0)) / self._wants).sum(axis=1)
            best = can[int(help_.argmax())]
            chosen.append(best)
            left[best] -= 1
            short = short - self._size[best]
        for number in sorted(chosen, key=lambda n: -self._lower[n].ask.priority):
            if (short + self._size[number] <= 0).all():
                chosen.remove(number)
                short = short + self._size[number]
        return tuple(chosen)

    def _use(self, best: Int, load: Int, least: Int, wanted: int) -> Iterator[Preemption]:
        """Stop what has to be stopped on these candidates, in turn, and give their room away."""
        freed: Int = (self._size[load] * least[:, None]).T
        special: dict[int, tuple[int, ...]] = {}
        for at in np.flatnonzero(self._is_special(best)).tolist():
            numbers = self._victims(int(best[at]), int(load[at]), int(least[at]))
            freed[:, at] = self._size[np.array(numbers, np.int64)].sum(axis=0)
            special[at] = numbers
        tasks = np.minimum(self._places[best], wanted)
        for left, wish in zip(self._free[:, best] + freed, self._wants.tolist(), strict=True):
            np.minimum(tasks, left // wish, out=tasks)
        used = int(np.searchsorted(np.cumsum(tasks), wanted)) + 1
        best, tasks, freed = best[:used], tasks[:used], freed[:, :used]
        tasks[-1] -= max(0, int(tasks.sum()) - wanted)
        assert (tasks > 0).all(), "nobody is stopped in vain"
        self._free[:, best] += freed - self._wants[:, None] * tasks
        self._places[best] -= tasks
        plain = np.ones(len(best), np.bool_)
        plain[[at for at in special if at < len(best)]] = False
        load, least = load[: len(best)], least[: len(best)]
        self._meant[load[plain], best[plain]] -= least[plain]
        chosen = zip(best.tolist(), tasks.tolist(), load.tolist(), least.tolist(), strict=True)
        for at, (index, taken, number, count) in enumerate(chosen):
            mixed = special.get(at)
            if mixed:
                np.subtract.at(self._meant[:, index], np.array(mixed), 1)
            if self._ask.affinities:
                self._keep_apart(index)
            yield self._preemption(index, taken, (number,) * count if mixed is None else mixed)

    def _is_special(self, best: Int) -> Mask:
        """Where it takes more than so many of the only load there is."""
        several: Mask = np.count_nonzero(self._meant[:, best], axis=0) > 1
        if not self._clashes.any():
            return several
        clashing: Mask = np.count_nonzero(self._meant[self._clashes][:, best], axis=0) > 0
        return several | clashing

    def _victims(self, index: int, load: int, count: int) -> tuple[int, ...]:
        """The loads to take from on one candidate, each as often as tasks of it have to go."""
        forced = np.where(self._clashes, self._meant[:, index], 0)
        clashing = tuple(n for n, times in enumerate(forced.tolist()) for _ in range(times))
        found = self._mixtures.get(index) or self._of_lowest(index, forced, load, count)
        return clashing + found

    def _preemption(self, index: int, tasks: int, numbers: tuple[int, ...]) -> Preemption:
        node_id = self._fleet.id_at(int(self._rows[index]))
        victims = self._youngest(node_id, numbers) if numbers else ()
        name, row = self._fleet.name(node_id), int(self._rows[index])
        count = len(victims)
        for load in self._fleet.preempted():
            count += load.preempted.at(row)
        number = "1 task" if count == 1 else f"{count} tasks"
        message = f"preempts {number} on {name}" if count else f"waits for tasks to end on {name}"
        return Preemption(node_id=node_id, tasks=tasks, victims=victims, message=message)

    def _of_lowest(self, index: int, forced: Int, load: int, count: int) -> tuple[int, ...]:
        """So many of one load, or as few of several if their priorities are lower."""
        left = self._meant[:, index] - forced
        if np.count_nonzero(left) > 1 and count:
            deficit = self._wants - self._free[:, index] - self._size.T @ forced
            mixture = self._mixture(deficit, left, count)
            if len(mixture) == count and self._priorities(mixture) < self._priorities(
                (load,) * count
            ):
                return mixture
        return (load,) * count

    def _youngest(self, node_id: NodeId, numbers: tuple[int, ...]) -> tuple[TaskId, ...]:
        """The tasks to stop: of each load the youngest that are meant to run on the node."""
        there = self._view.tasks_on(node_id).values()
        found: list[TaskId] = []
        for number in sorted(set(numbers)):
            own = self._fleet.meant_of(self._lower[number], there)
            if self._stopped:
                own = [each for each in own if each.id not in self._stopped]
            own.sort(key=_age)
            found += [task.id for task in own[: numbers.count(number)]]
        self._found += found
        return tuple(found)

    def _is_choosy(self) -> bool:
        """Whether one task's place bears on where the next may go."""
        return any(wish.service == self._ask.name for wish in self._ask.affinities)

    def _keep_apart(self, index: int) -> None:
        """Close the places that the service's own wishes leave out once it is here."""
        for wish in self._ask.affinities:
            if wish.service == self._ask.name and wish.required:
                codes = self._fleet.attribute(wish.topology).codes[self._rows]
                same = codes == codes[index] if codes[index] else np.zeros(len(codes), np.bool_)
                self._places[same if wish.anti else ~same] = 0


def _ranks_below(load: Load, ask: Ask) -> bool:
    """Whether its tasks may give way: those that the service relies on are no help gone."""
    near = (w.service for w in ask.affinities if w.required and not w.anti)
    needed = load.ask.name in (*near, *ask.needs)
    is_other = load.ask.service_id != ask.service_id
    return is_other and not needed and load.ask.priority < ask.priority


def _age(task: Task) -> tuple[float, TaskId]:
    return -task.created_at, task.id


def _sizes(ask: Ask, other: Ask) -> list[int]:
    """How much `other` takes of each resource that `ask` is about."""
    generic = dict(other.generic)
    found = [other.cpu_millis] if ask.cpu_millis else []
    found += [other.memory_bytes] if ask.memory_bytes else []
    return found + [generic.get(kind, 0) for kind, _ in ask.generic]


def _clashes(ask: Ask, other: Ask) -> bool:
    return any(clash(port, theirs) for port in ask.ports for theirs in other.ports)


def _soon_free(fleet: Fleet, ask: Ask, room: Room) -> Int:
    """What is left of each resource once all that is leaving has ended."""
    free = [each for each in (room.cpu_free, room.memory_free) if each is not None]
    free += [room.generic_free[kind] for kind, _ in ask.generic]
    found = np.array(free, np.int64).reshape(len(free), len(fleet.ids))
    for load in fleet.loads():
        sizes = np.array(_sizes(ask, load.ask), np.int64)
        if load.leaving.total and sizes.any():
            found += sizes[:, None] * load.leaving.dense(len(fleet.ids))
    return found
