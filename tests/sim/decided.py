"""Look at a plan the way its rules do: what it stops, creates and gives, and what is left then."""

from collections.abc import Callable, Iterator

from msgspec import structs

from manager.decisions import (
    AssignTask,
    CreateTask,
    Plan,
    RemoveTask,
    SetDesired,
    WriteLedger,
    WriteService,
)
from manager.view import ClusterView
from swarm.ids import TaskId
from swarm.objects import Ledger, Rollout, Task
from swarm.specs import (
    Availability,
    RestartCondition,
    TaintEffect,
    UpdatePolicy,
)
from swarm.states import NodeState, TaskState
from tests.sim.room import replicas_of, unfit, version_of

Objection = Callable[[str, str], None]


class Decided:
    """A plan and what it was made on."""

    def __init__(self, view: ClusterView, plan: Plan, now: float) -> None:
        self.view = view
        self.now = now
        self.plan = plan
        self.service = view.services.get(plan.service_id)
        self.tasks = view.tasks_of(plan.service_id)
        self.stops: dict[TaskId, SetDesired] = {}
        self.removed: set[TaskId] = set()
        self.given: list[Task] = []
        self.created: list[Task] = []
        self.ledger: Ledger | None = None
        self.rewrites = False
        for each in plan.decisions:
            match each:
                case SetDesired():
                    self.stops[each.task_id] = each
                case RemoveTask():
                    self.removed.add(each.task_id)
                case CreateTask(task=task):
                    self.created.append(task)
                    if task.node_id:
                        self.given.append(task)
                case AssignTask():
                    task = view.tasks[each.task_id]
                    self.given.append(
                        structs.replace(task, node_id=each.node_id, claims=each.claims)
                    )
                case WriteLedger(ledger=ledger):
                    self.ledger = ledger
                case WriteService():
                    self.rewrites = True
                case _:
                    pass

    def wanted_after(self) -> dict[TaskId, Task]:
        """The service's tasks that are wanted once this is done."""
        kept = {
            task.id: task
            for task in self.tasks.values()
            if task.desired <= TaskState.RUNNING
            and task.id not in self.stops
            and task.id not in self.removed
        }
        return kept | {task.id: task for task in (*self.created, *self.given)}

    def runs(self, task: Task) -> bool:
        """Whether a task does its work, as far as is known."""
        return (
            self.view.state(task) is TaskState.RUNNING
            and self.view.node_state(task.node_id) is not NodeState.DOWN
        )

    def is_done(self, task: Task) -> bool:
        """Whether a task did what was asked and nothing follows it."""
        assert self.service is not None
        is_repeated = self.service.spec.task.restart.condition is RestartCondition.ANY
        return self.view.state(task) is TaskState.COMPLETE and not is_repeated

    @property
    def name(self) -> str:
        """Of the service."""
        return self.service.spec.name if self.service is not None else self.plan.service_id

    @property
    def rollout(self) -> Rollout | None:
        """The rollout of the current version, as it stands after this."""
        ledger = self.ledger or self.view.ledgers.get(self.plan.service_id)
        rollout = ledger.rollout if ledger is not None else None
        assert self.service is not None
        is_current = rollout is not None and rollout.spec_version == self.service.spec_version
        return rollout if is_current else None

    @property
    def policy(self) -> UpdatePolicy:
        """What the rollout follows."""
        assert self.service is not None
        is_back = self.rollout is not None and self.rollout.state.is_rollback
        return self.service.spec.rollback if is_back else self.service.spec.update

    @property
    def replicas(self) -> int:
        """How many replicas there are to be, also while a service scales itself."""
        assert self.service is not None
        return replicas_of(self.view, self.service)

    def is_down(self, slot: int) -> bool:
        """Whether nothing of a slot that is wanted after this runs, or did what was asked."""
        own = [task for task in self.wanted_after().values() if task.slot == slot]
        return not any(self.runs(task) or self.is_done(task) for task in own)

    def is_new(self, task: Task) -> bool:
        """Whether a task is of the version that is wanted."""
        assert self.service is not None
        return task.spec_version == self.service.spec_version

    def up_at(self, task: Task) -> float:
        """Since when it ran; 0 if it never did.

        What began after its last report began by a clock that has been set back since.
        """
        seen = self.view.observation(task)
        return min(seen.running_at, seen.at) if seen is not None else 0.0

    def may_stay(self, task: Task) -> bool:
        """Whether nothing but its version speaks against a task where it is."""
        node = self.view.nodes.get(task.node_id)
        if task.eviction or node is None or node.spec.availability is Availability.DRAIN:
            return False
        return not unfit(node, version_of(self.view, task).task, TaintEffect.NO_EXECUTE)

    def stopped_by_rollout(self) -> Iterator[Task]:
        """The running tasks that are stopped for no other reason than their version."""
        after = {task.slot for task in self.wanted_after().values()}
        for task_id, stop in self.stops.items():
            task = self.tasks.get(task_id)
            if task is None or stop.desired is not TaskState.SHUTDOWN or stop.eviction:
                continue
            is_old = task.desired <= TaskState.RUNNING and not self.is_new(task)
            if is_old and task.slot not in after and self.may_stay(task) and self.runs(task):
                yield task

    def beside(self) -> dict[int, list[Task]]:
        """The slots in which a new task is to run beside an old one that might have stayed."""
        wanted: dict[int, list[Task]] = {}
        for task in self.wanted_after().values():
            is_lost = self.view.node_state(task.node_id) is NodeState.DOWN and task.node_id
            if not is_lost and not self.view.state(task).is_terminal:
                wanted.setdefault(task.slot, []).append(task)
        return {slot: tasks for slot, tasks in wanted.items() if len(tasks) > 1}
