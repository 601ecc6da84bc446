"""Keep the nodes in a table whose columns are arrays, current change by change.

A row holds what placing needs: standing, capacity, what is reserved, how many tasks. Each
task remembers what it was charged, so taking it off a node never depends on what its
service says by now. Reservations count until the task has ended, whatever is wanted of it;
the numbers of tasks count only those that are meant to run.

Rows of nodes that left are used again. Columns of attributes (labels, hostname, ...) are
made when a constraint first asks for one.
"""

from collections.abc import Iterable
from typing import TypeVar

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from manager.applied import Applied
from manager.view import ClusterView
from swarm.constraints import attribute_of
from swarm.ids import NodeId, ServiceId, TaskId
from swarm.objects import Node, Task
from swarm.specs import Availability, Resources
from swarm.states import NodeState, TaskState

Int = NDArray[np.int64]
Mask = NDArray[np.bool_]
Text = NDArray[np.object_]

_C = TypeVar("_C", bound=np.generic)

_FIRST_ROWS = 16
_NOTHING = Resources()


class _Charge(Struct, frozen=True):
    row: int
    service_id: ServiceId
    reserved: Resources
    counts: bool


class Fleet:
    """The node table. Arrays are as long as the table, with unused rows not `ready`."""

    def __init__(self) -> None:
        self.rows: dict[NodeId, int] = {}
        self.ids: list[NodeId] = [NodeId("")] * _FIRST_ROWS
        self.present: Mask = np.zeros(_FIRST_ROWS, np.bool_)
        self.ready: Mask = np.zeros(_FIRST_ROWS, np.bool_)
        self.active: Mask = np.zeros(_FIRST_ROWS, np.bool_)
        self.cpu_millis: Int = np.zeros(_FIRST_ROWS, np.int64)
        self.memory_bytes: Int = np.zeros(_FIRST_ROWS, np.int64)
        self.cpu_reserved: Int = np.zeros(_FIRST_ROWS, np.int64)
        self.memory_reserved: Int = np.zeros(_FIRST_ROWS, np.int64)
        self.tasks: Int = np.zeros(_FIRST_ROWS, np.int64)
        self._nodes: dict[int, Node] = {}
        self._unused = list(range(_FIRST_ROWS - 1, -1, -1))
        self._columns: dict[str, Text] = {}
        self._charges: dict[TaskId, _Charge] = {}
        self._per_service: dict[ServiceId, dict[int, int]] = {}
        self._order: Int | None = None

    @classmethod
    def of(cls, view: ClusterView) -> "Fleet":
        """Build the table of a whole view; after that, `sync` keeps it."""
        fleet = cls()
        for node_id in view.nodes:
            fleet._put_node(view, node_id)
        fleet._charge_all(view, view.tasks)
        return fleet

    def sync(self, view: ClusterView, applied: Applied) -> None:
        """Follow what `applied` did to the view. Leave none out."""
        tasks = set(applied.tasks)
        for node_id in applied.nodes:
            if (node_id in self.rows) is not (node_id in view.nodes):
                tasks.update(view.tasks_on(node_id))
        for task_id in tasks:
            self._discharge(task_id)
        for node_id in applied.nodes:
            self._put_node(view, node_id)
        self._charge_all(view, tasks)

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

    def tasks_of(self, service_id: ServiceId) -> Int:
        """How many tasks of the service are meant to run on each node."""
        counts = np.zeros(len(self.ids), np.int64)
        for row, count in self._per_service.get(service_id, {}).items():
            counts[row] = count
        return counts

    def name(self, node_id: NodeId) -> str:
        """What users call a node."""
        return self._nodes[self.rows[node_id]].description.hostname or node_id

    def column(self, attribute: str) -> Text:
        """What each node has for a constraint's attribute."""
        found = self._columns.get(attribute)
        if found is None:
            found = np.full(len(self.ids), "", np.object_)
            for row, node in self._nodes.items():
                found[row] = attribute_of(node, attribute)
            self._columns[attribute] = found
        return found

    # -- nodes ---------------------------------------------------------------------------

    def _put_node(self, view: ClusterView, node_id: NodeId) -> None:
        node = view.nodes.get(node_id)
        if node is None:
            self._drop_node(node_id)
            return
        row = self.rows[node_id] if node_id in self.rows else self._new_row(node_id)
        self._nodes[row] = node
        self.present[row] = True
        self.ready[row] = view.node_state(node_id) is NodeState.READY
        self.active[row] = node.spec.availability is Availability.ACTIVE
        self.cpu_millis[row] = node.description.resources.cpu_millis
        self.memory_bytes[row] = node.description.resources.memory_bytes
        for attribute, column in self._columns.items():
            column[row] = attribute_of(node, attribute)

    def _drop_node(self, node_id: NodeId) -> None:
        row = self.rows.pop(node_id, None)
        if row is None:
            return
        del self._nodes[row]
        self.ids[row] = NodeId("")
        self.present[row] = self.ready[row] = self.active[row] = False
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
        self.ids.extend([NodeId("")] * length)
        self._unused = list(range(2 * length - 1, length - 1, -1))
        self.present = _longer(self.present)
        self.ready = _longer(self.ready)
        self.active = _longer(self.active)
        self.cpu_millis = _longer(self.cpu_millis)
        self.memory_bytes = _longer(self.memory_bytes)
        self.cpu_reserved = _longer(self.cpu_reserved)
        self.memory_reserved = _longer(self.memory_reserved)
        self.tasks = _longer(self.tasks)
        self._columns.clear()

    # -- tasks ---------------------------------------------------------------------------

    def _charge_all(self, view: ClusterView, task_ids: Iterable[TaskId]) -> None:
        for task_id in task_ids:
            task = view.tasks.get(task_id)
            if task is not None and task.node_id in self.rows:
                self._charge(view, task)

    def _charge(self, view: ClusterView, task: Task) -> None:
        if view.state(task).is_terminal:
            return
        spec = view.task_spec(task.service_id, task.spec_version)
        charge = _Charge(
            self.rows[task.node_id],
            task.service_id,
            spec.reservations if spec is not None else _NOTHING,
            task.desired <= TaskState.RUNNING,
        )
        self._charges[task.id] = charge
        self._add(charge, 1)

    def _discharge(self, task_id: TaskId) -> None:
        charge = self._charges.pop(task_id, None)
        if charge is not None:
            self._add(charge, -1)

    def _add(self, charge: _Charge, times: int) -> None:
        self.cpu_reserved[charge.row] += times * charge.reserved.cpu_millis
        self.memory_reserved[charge.row] += times * charge.reserved.memory_bytes
        if not charge.counts:
            return
        self.tasks[charge.row] += times
        counts = self._per_service.setdefault(charge.service_id, {})
        counts[charge.row] = counts.get(charge.row, 0) + times
        if not counts[charge.row]:
            del counts[charge.row]
        if not counts:
            del self._per_service[charge.service_id]

    def check(self, view: ClusterView) -> None:
        """Assert that the table says what a table made anew from `view` would say."""
        anew = Fleet.of(view)
        assert self.rows.keys() == anew.rows.keys() == view.nodes.keys()
        assert self._charges.keys() == anew._charges.keys()
        for node_id, row in self.rows.items():
            assert self._row(row) == anew._row(anew.rows[node_id]), node_id
        for service_id in view.services:
            here, there = self.tasks_of(service_id), anew.tasks_of(service_id)
            assert all(here[self.rows[n]] == there[anew.rows[n]] for n in self.rows)

    def _row(self, row: int) -> tuple[object, ...]:
        columns = (self.present, self.ready, self.active, self.cpu_millis, self.memory_bytes)
        counted = (self.cpu_reserved, self.memory_reserved, self.tasks)
        return tuple(column[row].item() for column in (*columns, *counted))


def _longer(column: NDArray[_C]) -> NDArray[_C]:
    return np.concatenate([column, np.zeros_like(column)])
