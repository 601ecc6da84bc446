"""Keep the nodes in a table whose columns are arrays, current change by change.

A row holds what placing needs: standing, attributes, capacity, what is reserved, how many
tasks. Each task remembers what it was charged, so taking it off a node never depends on what
its service says by now. Reservations, ports and claims count until the task has ended,
whatever is wanted of it; the numbers of tasks count only those that are meant to run.

Tasks of one service and version cost the same: they are one `Load`, and a batch of any
size charges each load with a few array operations. Rows of nodes that left are used again.
Columns of attributes are made when a wish first asks for one.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator
from copy import deepcopy
from typing import TypeVar, cast

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from manager.applied import Applied
from manager.scheduler.asks import Ask, ask_of_version
from manager.scheduler.columns import Column, Counts, Int, Mask, Stock, Text, longer
from manager.view import ClusterView
from swarm.constraints import attribute_of
from swarm.ids import NetworkId, NodeId, ServiceId, TaskId
from swarm.objects import Node, Task
from swarm.specs import Availability, GenericResource, Taint
from swarm.states import NodeState, TaskState

PREEMPTED = "preempted by "
"""How the eviction of a task begins that was stopped in favour of another service's."""

_FIRST_ROWS = 16
_V = TypeVar("_V", bound=Hashable)
_Version = tuple[ServiceId, int]
_Listing = tuple[str, str | int]


class Load:
    """The tasks of one service and version, by row: those that hold what `ask` reserves.

    Of the `held` ones, `leaving` are not meant to run any more, and of those some have been
    `preempted`.
    """

    __slots__ = ("ask", "held", "leaving", "preempted")

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self.held = Counts()
        self.leaving = Counts()
        self.preempted = Counts()

    def copied(self) -> "Load":
        """The same, apart."""
        copy = Load(self.ask)
        copy.held, copy.leaving = self.held.copied(), self.leaving.copied()
        copy.preempted = self.preempted.copied()
        return copy

    def at(self, row: int) -> tuple[int, int, int]:
        """How many are held, leaving and preempted on one row."""
        return self.held.at(row), self.leaving.at(row), self.preempted.at(row)

    def meant(self, length: int) -> Int:
        """How many are meant to run on each row."""
        held = self.held.dense(length)
        return held - self.leaving.dense(length) if self.leaving.total else held


class _Charge(Struct, frozen=True, gc=False):
    """What a task costs, and where. `leaving` is 0 while it is meant to run, 2 if preempted."""

    load: Load
    row: int
    leaving: int
    claims: tuple[GenericResource, ...]


class Fleet:
    """The node table. Arrays are as long as the table, with unused rows not `ready`.

    `ids` and `names` (of hosts) are by row; `believed` are nodes that are not known to be down,
    `encrypting` those that can be in networks that are `encrypted`.
    """

    def __init__(self) -> None:
        self.rows: dict[NodeId, int] = {}
        self.ids: Text = np.full(_FIRST_ROWS, "", np.object_)
        self.present: Mask = np.zeros(_FIRST_ROWS, np.bool_)
        self.ready: Mask = np.zeros(_FIRST_ROWS, np.bool_)
        self.believed: Mask = np.zeros(_FIRST_ROWS, np.bool_)
        self.active: Mask = np.zeros(_FIRST_ROWS, np.bool_)
        self.encrypting: Mask = np.zeros(_FIRST_ROWS, np.bool_)
        self.cpu_millis: Int = np.zeros(_FIRST_ROWS, np.int64)
        self.memory_bytes: Int = np.zeros(_FIRST_ROWS, np.int64)
        self.cpu_reserved: Int = np.zeros(_FIRST_ROWS, np.int64)
        self.memory_reserved: Int = np.zeros(_FIRST_ROWS, np.int64)
        self.tasks: Int = np.zeros(_FIRST_ROWS, np.int64)
        self.taints: Column[tuple[Taint, ...]] = Column(_taints, (), _FIRST_ROWS)
        self.encrypted: set[NetworkId] = set()
        self._nodes: dict[int, Node] = {}
        self._unused = list(range(_FIRST_ROWS - 1, -1, -1))
        self._columns: dict[str, Column[str]] = {}
        self._stocks: dict[str, Stock] = {}
        self._volumes: dict[str, set[int]] = {}
        self._charges: dict[TaskId, _Charge] = {}
        self._loads: dict[_Version, Load] = {}
        self._of_service: dict[ServiceId, dict[int, Load]] = {}
        self._listed: dict[_Listing, dict[_Version, Load]] = {}
        self._giving_way: dict[_Version, Load] = {}
        self._order: Int | None = None

    @classmethod
    def of(cls, view: ClusterView) -> "Fleet":
        """Build the table of a whole view; after that, `sync` keeps it."""
        fleet = cls()
        fleet._follow_networks(view, view.networks)
        for node_id in view.nodes:
            fleet._put_node(view, node_id)
        fleet._charge_all(view, view.tasks)
        return fleet

    def copied(self, tasks: Iterable[TaskId] = ()) -> "Fleet":
        """Another table that says the same. It knows what `tasks` were charged: sync no others."""
        copy, loads = Fleet(), {key: load.copied() for key, load in self._loads.items()}
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray):
                setattr(copy, name, np.array(cast("NDArray[np.generic]", value)))
        copy.rows, copy._nodes, copy._unused = dict(self.rows), dict(self._nodes), [*self._unused]
        copy.taints, copy._columns, copy._stocks = deepcopy(
            (self.taints, self._columns, self._stocks)
        )
        copy.encrypted = set(self.encrypted)
        copy._volumes = {name: set(rows) for name, rows in self._volumes.items()}
        copy._loads = loads
        copy._giving_way = {key: loads[key] for key in self._giving_way}
        copy._of_service = {
            service_id: {version: loads[service_id, version] for version in own}
            for service_id, own in self._of_service.items()
        }
        copy._listed = {at: {key: loads[key] for key in own} for at, own in self._listed.items()}
        for task_id in tasks:
            if (charge := self._charges.get(task_id)) is not None:
                ask = charge.load.ask
                own_load = loads[ask.service_id, ask.version]
                copy._charges[task_id] = structs.replace(charge, load=own_load)
        return copy

    def sync(self, view: ClusterView, applied: Applied) -> None:
        """Follow what `applied` did to the view. Leave none out."""
        tasks: Iterable[TaskId] = applied.tasks
        moved = [n for n in applied.nodes if (n in self.rows) is not (n in view.nodes)]
        if moved:
            tasks = {*tasks, *(task_id for n in moved for task_id in view.tasks_on(n))}
        self._follow_networks(view, applied.networks)
        for node_id in applied.nodes:
            self._put_node(view, node_id)
        self._charge_all(view, tasks)

    # -- questions -----------------------------------------------------------------------

    @property
    def order(self) -> Int:
        """Each row's place when the nodes are sorted by id."""
        if self._order is None:
            places = np.zeros(len(self.ids), np.int64)
            for place, node_id in enumerate(sorted(self.rows)):
                places[self.rows[node_id]] = place
            self._order = places
        return self._order

    def cpu_free(self) -> Int:
        """What no task has reserved, in thousandths of a core; may be negative."""
        return self.cpu_millis - self.cpu_reserved

    def memory_free(self) -> Int:
        """What no task has reserved, in bytes; may be negative."""
        return self.memory_bytes - self.memory_reserved

    def stock(self, kind: str) -> Stock:
        """What nodes have of a kind of generic resource."""
        return self._stocks.get(kind) or Stock(kind, len(self.ids))

    def tasks_of(self, service_id: ServiceId) -> Int:
        """How many tasks of the service are meant to run on each node."""
        return self._sum(self._of_service.get(service_id, {}).values(), Load.meant)

    def held_of(self, service_id: ServiceId) -> Int:
        """How many tasks of the service have not ended on each node."""
        return self._sum(self._of_service.get(service_id, {}).values(), _held)

    def tasks_named(self, name: str) -> Int:
        """How many tasks of services of this name are meant to run on each node."""
        return self._sum(self._list("named", name), Load.meant)

    def held_named(self, name: str) -> Int:
        """How many tasks of services of this name have not ended on each node."""
        return self._sum(self._list("named", name), _held)

    def loads(self) -> Iterable[Load]:
        """All tasks that hold anything, by service and version."""
        return self._loads.values()

    def shunning(self, name: str) -> Iterable[Load]:
        """The tasks that must not meet those of the service of this name."""
        return self._list("shunning", name)

    def holding_port(self, port: int) -> Iterable[Load]:
        """The tasks that hold a port of this number on their nodes, of any protocol."""
        return self._list("port", port)

    def preempted(self) -> Iterable[Load]:
        """The tasks of which some are giving way to others."""
        return self._giving_way.values()

    def having_volume(self, name: str) -> Iterator[NodeId]:
        """The nodes that say they have a volume of this name, sorted."""
        yield from sorted(self.ids[row] for row in self._volumes.get(name, ()))

    def name(self, node_id: NodeId) -> str:
        """What users call a node."""
        return self.node(self.rows[node_id]).description.hostname or node_id

    def id_at(self, row: int) -> NodeId:
        """The id of a row's node."""
        found: NodeId = self.ids[row]
        return found

    def node(self, row: int) -> Node:
        """The node of a row that is present."""
        return self._nodes[row]

    def load_of(self, task_id: TaskId) -> Load | None:
        """What a task is charged as, unless it holds nothing."""
        charge = self._charges.get(task_id)
        return charge.load if charge is not None else None

    def meant_of(self, load: Load, tasks: Iterable[Task]) -> list[Task]:
        """Those of these tasks that are of a load and meant to run."""
        charges = self._charges
        return [
            task
            for task in tasks
            if (charge := charges.get(task.id)) is not None
            and charge.load is load
            and not charge.leaving
        ]

    def attribute(self, attribute: str) -> Column[str]:
        """What each node has for a constraint's attribute."""
        found = self._columns.get(attribute)
        if found is None:
            found = Column(_reader(attribute), "", len(self.ids))
            for row, node in self._nodes.items():
                found.put(row, node)
            self._columns[attribute] = found
        return found

    def _list(self, kind: str, at: str | int) -> Iterable[Load]:
        return self._listed.get((kind, at), {}).values()

    def _sum(self, loads: Iterable[Load], count: Callable[[Load, int], Int]) -> Int:
        every = [count(load, len(self.ids)) for load in loads]
        if len(every) == 1:
            return every[0]
        return np.sum(every, axis=0) if every else np.zeros(len(self.ids), np.int64)

    # -- nodes ---------------------------------------------------------------------------

    def _follow_networks(self, view: ClusterView, changed: Iterable[NetworkId]) -> None:
        for network_id in changed:
            network = view.networks.get(network_id)
            if network is not None and network.spec.encrypted:
                self.encrypted.add(network_id)
            else:
                self.encrypted.discard(network_id)

    def _put_node(self, view: ClusterView, node_id: NodeId) -> None:
        node = view.nodes.get(node_id)
        if node is None:
            self._drop_node(node_id)
            return
        row = self.rows[node_id] if node_id in self.rows else self._new_row(node_id)
        old = self._nodes.get(row)
        self._nodes[row] = node
        state = view.node_state(node_id)
        self.present[row] = True
        self.ready[row] = state is NodeState.READY
        self.believed[row] = state is not NodeState.DOWN
        self.active[row] = node.spec.availability is Availability.ACTIVE
        if old is not node:
            self._describe(row, old, node)

    def _describe(self, row: int, old: Node | None, node: Node | None) -> None:
        told = node.description if node is not None else None
        resources = told.resources if told is not None else None
        self.encrypting[row] = told is not None and bool(told.public_key)
        self.cpu_millis[row] = resources.cpu_millis if resources is not None else 0
        self.memory_bytes[row] = resources.memory_bytes if resources is not None else 0
        generic = {each.kind: each for each in resources.generic} if resources is not None else {}
        for kind in generic.keys() - self._stocks.keys():
            self._stock_of(kind)
        for kind, stock in self._stocks.items():
            stock.put(row, generic.get(kind))
        for name in old.description.volumes if old is not None else ():
            self._volumes[name].discard(row)
            if not self._volumes[name]:
                del self._volumes[name]
        for name in told.volumes if told is not None else ():
            self._volumes.setdefault(name, set()).add(row)
        self.taints.put(row, node)
        for column in self._columns.values():
            column.put(row, node)

    def _drop_node(self, node_id: NodeId) -> None:
        row = self.rows.pop(node_id, None)
        if row is None:
            return
        self._describe(row, self._nodes.pop(row), None)
        self.ids[row] = NodeId("")
        for mask in (self.present, self.ready, self.believed, self.active):
            mask[row] = False
        self._unused.append(row)
        self._order = None

    def _new_row(self, node_id: NodeId) -> int:
        if not self._unused:
            self._grow()
        row = self._unused.pop()
        self.rows[node_id] = row
        self.ids[row] = node_id
        self._order = None
        return row

    def _grow(self) -> None:
        length = len(self.ids)
        self.ids = np.concatenate([self.ids, np.full(length, "", np.object_)])
        self._unused = list(range(2 * length - 1, length - 1, -1))
        self.present, self.ready = longer(self.present), longer(self.ready)
        self.believed, self.active = longer(self.believed), longer(self.active)
        self.encrypting = longer(self.encrypting)
        self.cpu_millis, self.memory_bytes = longer(self.cpu_millis), longer(self.memory_bytes)
        self.cpu_reserved = longer(self.cpu_reserved)
        self.memory_reserved = longer(self.memory_reserved)
        self.tasks = longer(self.tasks)
        self.taints.grow()
        for column in self._columns.values():
            column.grow()
        for stock in self._stocks.values():
            stock.grow()

    def _stock_of(self, kind: str) -> Stock:
        return self._stocks.setdefault(kind, Stock(kind, len(self.ids)))

    # -- tasks ---------------------------------------------------------------------------

    def book(self, ask: Ask, rows: Int, sign: int = 1) -> None:
        """Charge what was placed but is not in the view (yet); `sign` -1 takes it back.

        Names of generic resources are not claimed: a booking is forgotten before `sync`.
        """
        load = self._load(ask)
        self._add(load, rows, np.full(len(rows), sign, np.int64))
        load.held.add(rows, sign, len(self.ids))
        np.add.at(self.tasks, rows, sign)
        self._forget_if_empty(load)

    def discharge(self, task_id: TaskId) -> None:
        """Suppose that a task had ended; a table that supposes anything is not to be synced."""
        charge = self._charges.pop(task_id)
        if charge.claims:
            self._claim(charge, -1)
        self._change(charge.load, *(np.array([each]) for each in (charge.row, charge.leaving, -1)))

    def _charge_all(self, view: ClusterView, task_ids: Iterable[TaskId]) -> None:
        """Make the charges of these tasks what they ought to be by now."""
        changes: dict[Load, tuple[list[int], list[int], list[int]]] = {}
        charges = self._charges
        for task_id in task_ids:
            old, new = charges.get(task_id), self._charge(view, task_id)
            if old is not None and new is not None and _is_same(old, new):
                continue
            for charge, sign in ((old, -1), (new, 1)):
                if charge is None:
                    continue
                rows, leaving, signs = changes.setdefault(charge.load, ([], [], []))
                rows.append(charge.row)
                leaving.append(charge.leaving)
                signs.append(sign)
                if charge.claims:
                    self._claim(charge, sign)
            if new is not None:
                charges[task_id] = new
            elif old is not None:
                del charges[task_id]
        for load, (rows, leaving, signs) in changes.items():
            self._change(load, np.array(rows), np.array(leaving), np.array(signs))

    def _charge(self, view: ClusterView, task_id: TaskId) -> _Charge | None:
        """What a task costs now; None when it holds nothing."""
        task = view.tasks.get(task_id)
        if task is None:
            return None
        row = self.rows.get(task.node_id)
        if row is None:
            return None
        seen = view.observations_on(task.node_id).get(task_id)
        if seen is not None and seen.state > TaskState.RUNNING:
            return None
        load = self._loads.get((task.service_id, task.spec_version))
        if load is None:
            load = self._load(_ask_of_task(view, task))
        leaving = 0
        if task.desired > TaskState.RUNNING:
            leaving = 2 if task.eviction.startswith(PREEMPTED) else 1
        return _Charge(load, row, leaving, task.claims)

    def _change(self, load: Load, rows: Int, leaving: Int, signs: Int) -> None:
        length = len(self.ids)
        self._add(load, rows, signs)
        load.held.add(rows, signs, length)
        is_leaving = leaving > 0
        if is_leaving.any():
            load.leaving.add(rows[is_leaving], signs[is_leaving], length)
            is_preempted = leaving > 1
            load.preempted.add(rows[is_preempted], signs[is_preempted], length)
            key = load.ask.service_id, load.ask.version
            self._giving_way.pop(key, None)
            if load.preempted.total:
                self._giving_way[key] = load
            rows, signs = rows[~is_leaving], signs[~is_leaving]
        np.add.at(self.tasks, rows, signs)
        self._forget_if_empty(load)

    def _add(self, load: Load, rows: Int, signs: Int) -> None:
        ask = load.ask
        if ask.cpu_millis:
            np.add.at(self.cpu_reserved, rows, signs * ask.cpu_millis)
        if ask.memory_bytes:
            np.add.at(self.memory_reserved, rows, signs * ask.memory_bytes)
        for kind, count in ask.generic:
            np.add.at(self._stock_of(kind).reserved, rows, signs * count)

    def _claim(self, charge: _Charge, sign: int) -> None:
        for each in charge.claims:
            if each.names:
                self._stock_of(each.kind).claim(charge.row, each.names, sign)

    def _load(self, ask: Ask) -> Load:
        """The load of tasks that ask this, listed where others look for it."""
        key = ask.service_id, ask.version
        load = self._loads.get(key)
        if load is None:
            load = self._loads[key] = Load(ask)
            self._of_service.setdefault(ask.service_id, {})[ask.version] = load
            for listing in _listings(ask):
                self._listed.setdefault(listing, {})[key] = load
        return load

    def _forget_if_empty(self, load: Load) -> None:
        if load.held.total:
            return
        key = load.ask.service_id, load.ask.version
        del self._loads[key]
        of_service = self._of_service[load.ask.service_id]
        del of_service[load.ask.version]
        if not of_service:
            del self._of_service[load.ask.service_id]
        for listing in _listings(load.ask):
            del self._listed[listing][key]
            if not self._listed[listing]:
                del self._listed[listing]

    def check(self, view: ClusterView) -> None:
        """Assert that the table says what a table made anew from `view` would say."""
        anew = Fleet.of(view)
        assert self.rows.keys() == anew.rows.keys() == view.nodes.keys()
        assert self._charges.keys() == anew._charges.keys()
        assert self._loads.keys() == anew._loads.keys()
        assert self._listed.keys() == anew._listed.keys()
        assert all(own.keys() == anew._listed[at].keys() for at, own in self._listed.items())
        for attribute in self._columns:
            anew.attribute(attribute)
        for node_id, row in self.rows.items():
            assert self._row(row) == anew._row(anew.rows[node_id]), node_id
        unused = np.ones(len(self.ids), np.bool_)
        unused[list(self.rows.values())] = False
        assert self.encrypted == anew.encrypted
        for column in (*self._masks(), self.cpu_reserved):
            assert not column[unused].any()
        assert not any(load.held.dense(len(self.ids))[unused].any() for load in self.loads())

    def _masks(self) -> tuple[Mask, ...]:
        return self.present, self.ready, self.believed, self.active, self.encrypting

    def _row(self, row: int) -> tuple[object, ...]:
        """All that is known of a row, apart from its number."""
        amounts = (self.cpu_millis, self.memory_bytes, self.cpu_reserved, self.memory_reserved)
        stocks = sorted((kind, each.row(row)) for kind, each in self._stocks.items())
        return (
            [bool(each[row]) for each in self._masks()],
            [int(each[row]) for each in (*amounts, self.tasks)],
            self.taints.at(row),
            sorted((name, column.at(row)) for name, column in self._columns.items()),
            [each for each in stocks if any(each[1])],
            sorted(name for name, rows in self._volumes.items() if row in rows),
            sorted((key, each.at(row)) for key, each in self._loads.items() if any(each.at(row))),
        )


def _taints(node: Node) -> tuple[Taint, ...]:
    return node.spec.taints


def _reader(attribute: str) -> Callable[[Node], str]:
    return lambda node: attribute_of(node, attribute)


def _is_same(old: _Charge, new: _Charge) -> bool:
    return (
        old.load is new.load
        and old.row == new.row
        and old.leaving == new.leaving
        and old.claims == new.claims
    )


def _held(load: Load, length: int) -> Int:
    return load.held.dense(length)


def _ask_of_task(view: ClusterView, task: Task) -> Ask:
    version = view.version_of(task.service_id, task.spec_version)
    if version is None:
        return Ask(service_id=task.service_id, name=task.service_name, version=task.spec_version)
    return ask_of_version(version, task.service_name)


def _listings(ask: Ask) -> frozenset[_Listing]:
    """Where others look for tasks that ask this."""
    shunned = {("shunning", wish.service) for wish in ask.keeps_away}
    ports = {("port", port.published) for port in ask.ports}
    return frozenset({("named", ask.name)} | shunned | ports)
