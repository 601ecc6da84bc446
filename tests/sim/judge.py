"""Watch the whole simulated cluster and object at once when an invariant breaks.

The judge sees what no process can: every commit at the moment it happens, and every container
on every host. It keeps a view of its own, which is the truth.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator

from manager import layout
from manager.applied import Applied
from manager.decisions import Plan
from manager.decoding import Key, read_key
from manager.scheduler.fleet import Fleet
from manager.store import Batch, Commit
from manager.view import ClusterView
from swarm.codec import unpack
from swarm.dispatch import StatusBatch
from swarm.ids import NodeId, ServiceId, TaskId
from swarm.objects import Observation, Task
from swarm.specs import UpdateOrder
from swarm.states import TaskState
from tests.sim.addressing import Addressing
from tests.sim.ending import unfinished
from tests.sim.engine import Clock, Engine, Violated
from tests.sim.graces import Graces
from tests.sim.ledgers import Ledgers
from tests.sim.manager import Manager, Plea
from tests.sim.node import Container, Node
from tests.sim.room import holders, overcommitted
from tests.sim.rules import Rules
from tests.sim.starving import Starving

Place = tuple[ServiceId, int, int, NodeId]


class Judge:
    """The truth, and what must hold of it."""

    def __init__(self, engine: Engine) -> None:
        self.view = ClusterView()
        self.fleet = Fleet.of(self.view)
        self.nodes: dict[NodeId, Node] = {}
        self.abandoned: set[TaskId] = set()
        self._engine = engine
        self._furthest: dict[TaskId, tuple[TaskState, TaskState]] = {}
        self._plea: Plea | None = None
        self._last_term = 0
        self._beside: set[TaskId] = set()
        self._leading = 0
        self._leaders: dict[int, str] = {}
        self._rules = Rules(self._object)
        self._graces = Graces(engine, self._object)
        self._ledgers = Ledgers(self._object)
        self._starving = Starving(engine, self._object)
        self._addressing = Addressing(self._object)
        self.reverted: Counter[ServiceId] = Counter()

    def decided(self, manager: str, view: ClusterView, plan: Plan, *, now: float) -> None:
        """A leader decided something, from what it knows."""
        self._graces.decided(manager, view, plan)
        self._ledgers.decided(view, plan)
        self._rules.decided(view, plan, now=now)

    # -- commits -------------------------------------------------------------------------

    def took_office(self, manager: str, clock: Clock) -> None:
        """A leader begins to decide."""
        self._graces.took_office(manager, clock)

    def before(self, commit: Commit, witness: object) -> None:
        """A commit is about to be tried; remember what its leader believes, if one made it."""
        self._plea = witness if isinstance(witness, Plea) else None
        self._graces.before(commit)

    def committed(self, batch: Batch) -> None:
        """Something was written."""
        plea, self._plea = self._plea, None
        self._graces.committed(batch)
        if plea is not None:
            self._check_term(plea)
        for change in batch.changes:
            if change.key == layout.LEADER and (change.value is None or not self._leading):
                self._leading = change.mod_revision if change.value is not None else 0
        self._check_slots(batch, plea)
        self._addressing.committed(self.view, batch)
        if plea is not None:
            self.reverted.update(_rewritten(batch))
        applied = self.view.apply(batch.changes, batch.revision, now=self._engine.epoch)
        self._ledgers.committed(self.view, batch)
        self.fleet.sync(self.view, applied)
        for task_id in applied.tasks:
            self._check_forward(task_id)
        if applied.tasks or applied.endpoints:
            self._addressing.check(self.view)
        for event in applied.events:
            reason = event.attributes.get("reason", "")
            self._engine.tell(
                "truth", f"{event.kind} {event.action} {event.name} {event.id[:6]} {reason}"
            )
        self._check_room(applied)

    def _check_term(self, plea: Plea) -> None:
        term = plea.fence.create_revision
        if term < self._last_term:
            self._object(
                "term", f"{plea.manager} wrote in term {term} after term {self._last_term}"
            )
        if term != self._leading:
            self._object("term", f"{plea.manager} wrote in term {term}, which is over")
        self._last_term = term
        if self._leaders.setdefault(term, plea.manager) != plea.manager:
            self._object("term", f"two leaders in term {term}")

    def _check_slots(self, batch: Batch, plea: Plea | None) -> None:
        """A replica gets another attempt only when no earlier one can run, or is out of reach."""
        for change in batch.changes:
            key = read_key(change.key)
            if key is not None and key.kind == layout.OBSERVED and change.value is not None:
                self._check_report(key, unpack(Observation, change.value))
            if key is None or key.kind != layout.TASKS:
                continue
            if plea is None:
                self._object("writer", f"{change.key} was not written by a leader")
                continue
            old = self.view.tasks.get(key.task_id)
            if change.value is None:
                if old is not None and self._may_run(old):
                    self._abandon(old, plea)
                continue
            new = unpack(Task, change.value)
            if new.node_id and (old is None or not old.node_id):
                self._check_beside(new, plea)

    def _check_beside(self, new: Task, plea: Plea) -> None:
        """Beside it runs what cannot be asked, or, where it starts first, what it replaces."""
        others = [
            other
            for other in self.view.tasks_of(new.service_id).values()
            if other.id != new.id and _place(other) == _place(new) and self._may_run(other)
        ]
        within_reach = [each for each in others if not self._is_out_of_reach(each, plea)]
        for other in others:
            if other in within_reach and len(within_reach) == 1 and self._starts_first(other):
                self._beside.add(new.id)
                continue
            self._abandon(other, plea)

    def _starts_first(self, task: Task) -> bool:
        """Whether another task may be started while this one, which is wanted, runs."""
        service = self.view.services.get(task.service_id)
        return (
            service is not None
            and UpdateOrder.START_FIRST in (service.spec.update.order, service.spec.rollback.order)
            and task.desired <= TaskState.RUNNING
            and self.view.state(task) is TaskState.RUNNING
        )

    def _is_out_of_reach(self, task: Task, plea: Plea) -> bool:
        return task.id in plea.lost or task.id in self.abandoned

    def _check_report(self, key: Key, seen: Observation) -> None:
        known = self.view.observations_on(key.node_id).get(key.task_id)
        if known is not None and seen.state < known.state:
            self._object(
                "backwards",
                f"{key.task_id}: {known.state.word} was overwritten by {seen.state.word}",
            )

    def _abandon(self, task: Task, plea: Plea) -> None:
        if not self._is_out_of_reach(task, plea):
            self._object("slot", f"{_name(task)} was replaced or forgotten while it may run")
        self.abandoned.add(task.id)

    def _check_forward(self, task_id: TaskId) -> None:
        task = self.view.tasks.get(task_id)
        if task is None:
            return
        now = (task.desired, self.view.state(task))
        before = self._furthest.get(task_id, (TaskState.NEW, TaskState.NEW))
        if now[0] < before[0] or now[1] < before[1]:
            self._object("backwards", f"{_name(task)} moved backwards: {before} to {now}")
        self._furthest[task_id] = now

    def _check_room(self, applied: Applied) -> None:
        """What tasks reserve of a node is there; counted here, not by the scheduler's table."""
        touched = {
            task.node_id
            for task_id in applied.tasks
            if (task := self.view.tasks.get(task_id)) is not None
        }
        for node_id in touched:
            node = self.view.nodes.get(node_id)
            if node is None:
                continue
            if problem := overcommitted(self.view, node, holders(self.view, node)):
                self._object("room", f"{node_id}: {problem}")

    # -- containers ----------------------------------------------------------------------

    def started(self, node: Node, container: Container) -> None:
        """A container runs."""
        self._engine.tell(
            node.id,
            f"container {container.task.id[:6]} runs {_name(container.task)}"
            f" of version {container.task.spec_version}",
        )
        running: defaultdict[Place, list[str]] = defaultdict(list)
        for each in self.nodes.values():
            for other in each.running:
                if other.task.id not in self.abandoned:
                    running[_place(other.task)].append(f"{other.task.id[:6]} on {each.id}")
        doubles = running[_place(container.task)]
        service = self.view.services.get(container.task.service_id)
        orders = (service.spec.update.order, service.spec.rollback.order) if service else ()
        may_be_two = service is None or UpdateOrder.START_FIRST in orders
        may_be_two |= container.task.id in self._beside  # by a spec that was rolled back since
        if len(doubles) > (2 if may_be_two else 1):
            self._object("slot", f"{_name(container.task)} runs twice: {', '.join(doubles)}")

    def ended(self, node: Node, container: Container) -> None:
        """A container's process has ended."""

    def acknowledged(self, node: Node, batch: StatusBatch) -> None:
        """An agent was told that its statuses are safe."""
        for seen in batch.statuses:
            task = self.view.tasks.get(seen.task_id)
            if task is not None and task.node_id == node.id and self.view.state(task) < seen.state:
                self._object("status", f"{_name(task)}: acknowledged {seen.state.word} was lost")

    # -- the end -------------------------------------------------------------------------

    def look(self, leader: Manager | None, *, is_undisturbed: bool) -> None:
        """See what waits by what the leader knows, if it knows everything."""
        knows_all = leader is not None and leader.view.revision >= self.view.revision
        self._starving.look(leader, is_undisturbed=is_undisturbed and knows_all)

    def unfinished(self, leader: Manager | None) -> str:
        """What is not as wanted, by what the leader knows; empty once everything is."""
        if leader is None or leader.term is None:
            return "nobody leads"
        if leader.view.revision < self.view.revision:
            return f"{leader.id} has not seen everything"
        hosts, now = self.nodes.values(), leader.clock.epoch
        return unfinished(leader.view, leader.term.fleet, hosts, now=now)

    def check(self) -> None:
        """Assert that the judge's own view is in order."""
        self.view.check()
        self.fleet.check(self.view)

    def _may_run(self, task: Task) -> bool:
        return bool(task.node_id) and not self.view.state(task).is_terminal

    def _object(self, rule: str, what: str) -> None:
        self._engine.tell("judge", f"{rule}: {what}")
        raise Violated(rule, what)


def _place(task: Task) -> Place:
    return task.service_id, task.run, task.slot, NodeId("") if task.slot else task.node_id


def _rewritten(batch: Batch) -> Iterator[ServiceId]:
    """The services that a leader changed by itself, as when it rolls back."""
    for change in batch.changes:
        key = read_key(change.key)
        if key is not None and key.kind == layout.SERVICES and change.value is not None:
            yield key.service_id


def _name(task: Task) -> str:
    return f"{task.service_name}.{task.slot or task.node_id} ({task.id[:6]})"
