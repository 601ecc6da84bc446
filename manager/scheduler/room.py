"""Know what is left of each node for tasks that ask the same, while they are being placed.

Room is made once for a call, from the fleet and what else the same plan does, and follows what
the call places. Its filters come after the standing ones.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np

from manager.scheduler import neighbours
from manager.scheduler.asks import EVERYWHERE, Ask
from manager.scheduler.columns import PLENTY, Int, Mask
from manager.scheduler.filters import Filter
from manager.scheduler.fleet import Fleet, Load
from swarm.ids import NodeId
from swarm.quantities import format_cpus, format_memory
from swarm.specs import Affinity, Port
from swarm.wishes import print_affinity


class Room:
    """What is left of each node. `tasks` of the service and `totals` are those meant to run.

    `leaving` counts tasks that the same plan asks to stop: they are not meant to run any more,
    but hold what they reserved.
    """

    def __init__(self, fleet: Fleet, ask: Ask, leaving: Mapping[NodeId, int] | None = None) -> None:
        stopped = by_row(fleet, leaving) if leaving else 0
        self.tasks: Int = fleet.tasks_of(ask.service_id) - stopped
        self.totals: Int = fleet.tasks - stopped
        self.cpu_free = fleet.cpu_free() if ask.cpu_millis else None
        self.memory_free = fleet.memory_free() if ask.memory_bytes else None
        self.generic_free = {kind: fleet.stock(kind).free() for kind, _ in ask.generic}
        self.given: Int | None = None
        self._fleet = fleet
        self._ask = ask

    def take(self, rows: Int) -> None:
        """Place a task on each of these rows, which may repeat."""
        ask = self._ask
        if self.given is None:
            self.given = np.zeros(len(self.tasks), np.int64)
        for counts in (self.tasks, self.totals, self.given):
            np.add.at(counts, rows, 1)
        if self.cpu_free is not None:
            np.subtract.at(self.cpu_free, rows, ask.cpu_millis)
        if self.memory_free is not None:
            np.subtract.at(self.memory_free, rows, ask.memory_bytes)
        for kind, count in ask.generic:
            np.subtract.at(self.generic_free[kind], rows, count)

    def capacity(self, rows: Int, *, most: int = PLENTY) -> Int:
        """How many more tasks, up to `most`, each of these nodes has room for.

        The filters' verdict is another question.
        """
        ask, room = self._ask, np.full(len(rows), most, np.int64)
        if self.cpu_free is not None:
            np.minimum(room, self.cpu_free[rows] // ask.cpu_millis, out=room)
        if self.memory_free is not None:
            np.minimum(room, self.memory_free[rows] // ask.memory_bytes, out=room)
        for kind, count in ask.generic:
            np.minimum(room, self.generic_free[kind][rows] // count, out=room)
        if ask.max_per_node > 0:
            np.minimum(room, ask.max_per_node - self.tasks[rows], out=room)
        if ask.ports or neighbours.EACH_NODE in neighbours.apart_by(ask):
            np.minimum(room, 1, out=room)
        return np.maximum(room, 0, out=room)

    def filters(self) -> Iterator[Filter]:
        """Filters that every placed task may change."""
        yield from self._affinity()
        for port in self._ask.ports:
            yield self._port(port)
        yield from self._amounts()
        if self._ask.max_per_node > 0:
            yield self._most()
        yield from self._clearing()

    def admits(self) -> Mask | None:
        """The nodes that pass the filters that capacity knows nothing of; None is all."""
        found: Mask | None = None
        for each in (
            *self._affinity(),
            *map(self._port, self._ask.ports),
            *self._clearing(),
        ):
            found = each.admits if found is None else found & each.admits
        return found

    def places(self) -> Int:
        """How many more tasks each node may have, whatever its resources."""
        room = np.full(len(self.tasks), PLENTY, np.int64)
        if self._ask.max_per_node > 0:
            np.minimum(room, self._ask.max_per_node - self.tasks, out=room)
        if self._ask.ports or neighbours.EACH_NODE in neighbours.apart_by(self._ask):
            np.minimum(room, 1, out=room)
        return room

    def admits_without(self, lower: Iterable[Load]) -> Mask:
        """As `admits`, if neither `lower` nor what is leaving held any ports."""
        found = np.ones(len(self.tasks), np.bool_)
        gone = {id(each) for each in lower}
        for each in (*self._affinity(), *self._clearing()):
            found &= each.admits
        for port in self._ask.ports:
            if self.given is not None:
                found &= self.given == 0
            for rival in self._rivals(port):
                if id(rival) not in gone:
                    found &= rival.meant(len(self.tasks)) == 0
        return found

    def _affinity(self) -> Iterator[Filter]:
        fleet, ask = self._fleet, self._ask
        for wish in ask.affinities:
            if wish.required:
                yield _wish(wish, self._fulfils(wish))
        for load, wish, near in neighbours.shunned(fleet, ask):
            yield _shunned(load, wish, near)

    def _fulfils(self, wish: Affinity) -> Mask:
        fleet, ask = self._fleet, self._ask
        if self.given is None and neighbours.seeks_itself(fleet, ask, wish):
            somewhere: Mask = fleet.attribute(wish.topology).codes > 0
            return somewhere
        found = neighbours.fulfils(fleet, ask, wish)
        if wish.service == ask.name and self.given is not None:
            here = neighbours.near(fleet, self.given, wish.topology)
            return found & ~here if wish.anti else found | here
        return found

    def _port(self, port: Port) -> Filter:
        length = len(self.tasks)
        rivals = self._rivals(port)
        admits = np.ones(length, np.bool_) if self.given is None else self.given == 0
        for rival in rivals:
            admits &= rival.held.dense(length) == 0
        name = f"{port.published}/{port.protocol.word}"

        def detail(row: int) -> str:
            holder = next((each.ask.name for each in rivals if each.held.at(row)), self._ask.name)
            return f"wants port {name} of the host, which service {holder} holds"

        return Filter("port", admits, lambda nodes: f"host port {name} in use on {nodes}", detail)

    def _rivals(self, port: Port) -> list[Load]:
        holding = self._fleet.holding_port(port.published)
        return [each for each in holding if any(clash(port, own) for own in each.ask.ports)]

    def _amounts(self) -> Iterator[Filter]:
        fleet, ask = self._fleet, self._ask
        if self.cpu_free is not None:
            yield self._amount(
                "cpu",
                "cpu",
                wanted=ask.cpu_millis,
                free=self.cpu_free,
                total=fleet.cpu_millis,
                show=format_cpus,
            )
        if self.memory_free is not None:
            yield self._amount(
                "memory",
                "memory",
                wanted=ask.memory_bytes,
                free=self.memory_free,
                total=fleet.memory_bytes,
                show=format_memory,
            )
        for kind, count in ask.generic:
            yield self._amount(
                "generic",
                kind,
                wanted=count,
                free=self.generic_free[kind],
                total=fleet.stock(kind).total,
                show=str,
            )

    def _amount(
        self,
        name: str,
        what: str,
        *,
        wanted: int,
        free: Int,
        total: Int,
        show: Callable[[int], str],
    ) -> Filter:
        def detail(row: int) -> str:
            left = show(max(int(free[row]), 0))
            return f"wants {show(wanted)} of {what}, {left} of {show(int(total[row]))} are free"

        return Filter(name, free >= wanted, lambda nodes: f"insufficient {what} on {nodes}", detail)

    def _most(self) -> Filter:
        most = self._ask.max_per_node
        return Filter(
            "max-replicas",
            self.tasks < most,
            lambda nodes: f"max replicas per node ({most}) reached on {nodes}",
            lambda row: f"runs {self.tasks[row]} of the service's tasks, of at most {most}",
        )

    def _clearing(self) -> Iterator[Filter]:
        """Nodes that are being cleared for tasks of a higher priority are not to be filled."""
        taken = None
        for load in self._fleet.preempted():
            if load.ask.priority >= self._ask.priority:
                here = load.preempted.dense(len(self.tasks)) > 0
                taken = here if taken is None else taken | here
        if taken is not None:
            yield Filter(
                "preemption",
                ~taken,
                lambda nodes: f"{nodes} being cleared for tasks of higher priority",
                lambda row: "is being cleared for tasks of higher priority",
            )


def by_row(fleet: Fleet, counts: Mapping[NodeId, int]) -> Int:
    """Counts by node as an array of the table's length."""
    found = np.zeros(len(fleet.ids), np.int64)
    for node_id, count in counts.items():
        if node_id in fleet.rows:
            found[fleet.rows[node_id]] = count
    return found


def _wish(wish: Affinity, admits: Mask) -> Filter:
    text = print_affinity(wish)
    verb = "runs" if wish.anti else "does not run"
    return Filter(
        "affinity",
        admits,
        lambda nodes: f"affinity {text} not satisfied on {nodes}",
        lambda row: f"{text} is asked for, and service {wish.service} {verb} there",
    )


def _shunned(load: Load, wish: Affinity, near: Mask) -> Filter:
    other, text = load.ask.name, print_affinity(wish)
    return Filter(
        "affinity",
        ~near,
        lambda nodes: f"service {other} ({text}) is on {nodes}",
        lambda row: f"runs service {other}, which asks for {text}",
    )


def clash(wish: Port, other: Port) -> bool:
    """Whether two tasks of one host cannot have these."""
    same = wish.published == other.published and wish.protocol == other.protocol
    return same and (wish.ip == other.ip or wish.ip in EVERYWHERE or other.ip in EVERYWHERE)
