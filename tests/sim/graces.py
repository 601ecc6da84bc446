"""See that no node is given up before its time.

What a leader may take for lost is told by how the node's session ended. Whoever held it deletes
it after three silent heartbeats, or a goodbye: that counts at once, if the leader was in
office to see it. A session that went with its manager's lease, or before the term began, says
nothing of the node, which then has a full grace period.
"""

from collections.abc import Callable

from msgspec import Struct

from manager import layout
from manager.decisions import AssignTask, CreateTask, Plan
from manager.decoding import read_key
from manager.store import Batch, Commit, Delete
from manager.view import ClusterView
from swarm.ids import NodeId
from swarm.objects import Task
from swarm.states import NodeState
from tests.sim.engine import Clock, Engine

GRACE_S = 3.0
SLACK_S = 0.05


class _Office(Struct, frozen=True):
    since: float
    clock: Clock
    off_s: float


class Graces:
    """How sessions ended, and since when leaders lead; `objects` is told of what is broken."""

    def __init__(self, engine: Engine, objects: Callable[[str, str], None]) -> None:
        self._engine = engine
        self._objects = objects
        self._deleting: frozenset[str] = frozenset()
        self._ended: dict[NodeId, list[tuple[int, float, bool]]] = {}
        self._offices: dict[str, _Office] = {}

    def before(self, commit: Commit) -> None:
        """A commit is about to be tried."""
        self._deleting = frozenset(
            each.key for each in commit.operations if isinstance(each, Delete)
        )

    def committed(self, batch: Batch) -> None:
        """Something was written."""
        for change in batch.changes:
            key = read_key(change.key)
            if key is not None and key.kind == layout.SESSIONS and change.value is None:
                is_deleted = change.key in self._deleting
                ends = self._ended.setdefault(key.node_id, [])
                ends.append((batch.revision, self._engine.now, is_deleted))
        self._deleting = frozenset()

    def took_office(self, manager: str, clock: Clock) -> None:
        """A term begins."""
        self._offices[manager] = _Office(self._engine.now, clock, clock.off_s)

    def decided(self, manager: str, view: ClusterView, plan: Plan) -> None:
        """A plan that replaces what is on a lost node has to rest on its being lost."""
        office = self._offices[manager]
        if office.clock.off_s != office.off_s:
            return  # by its clock, any time may have passed
        places = {
            _place(each.task if isinstance(each, CreateTask) else view.tasks[each.task_id])
            for each in plan.decisions
            if isinstance(each, CreateTask | AssignTask)
        }
        if not places:
            return
        for task in view.tasks_of(plan.service_id).values():
            is_lost = task.node_id in view.nodes and not view.state(task).is_terminal
            if is_lost and _place(task) in places and self._is_hasty(task.node_id, office, view):
                self._objects("grace", f"{manager} gave up {task.node_id} before its time")

    def _is_hasty(self, node_id: NodeId, office: _Office, view: ClusterView) -> bool:
        if view.node_state(node_id) is not NodeState.DOWN:
            return False
        # A manager knows of its own deletions before the watch has come that far.
        known = [
            each for each in self._ended.get(node_id, ()) if each[2] or each[0] <= view.revision
        ]
        _, at, is_deleted = known[-1] if known else (0, 0.0, False)
        if is_deleted and at > office.since:
            return False
        return self._engine.now - max(at, office.since) < GRACE_S - SLACK_S


def _place(task: Task) -> tuple[int, str]:
    return task.slot, "" if task.slot else task.node_id
