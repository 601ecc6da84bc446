"""Judge what a leader decides by what it knows: faults may break a promise, decisions may not.

Each rule is told of a plan before it is committed, with the leader's own view.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping

from msgspec import structs

from manager.decisions import AssignTask, CreateTask, Plan, RemoveTask, SetDesired
from manager.view import ClusterView
from swarm.ids import TaskId
from swarm.objects import Service, Task
from swarm.specs import (
    Availability,
    Replicated,
    RestartCondition,
    TaintEffect,
    UpdateOrder,
    UpdatePolicy,
)
from swarm.states import NodeState, TaskState
from tests.sim.room import holders, overcommitted, refusal, unfit, version_of, wanted_there

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


def check_placement(decided: Decided, objects: Objection) -> None:
    """Nodes are given tasks that they admit and have room for."""
    by_node: defaultdict[str, list[Task]] = defaultdict(list)
    for task in decided.given:
        by_node[task.node_id].append(task)
    for tasks in by_node.values():
        node = decided.view.nodes.get(tasks[0].node_id)
        name = f"{tasks[0].service_name} on {tasks[0].node_id}"
        if node is None:
            objects("placement", f"{name}: there is no such node")
            return
        version = version_of(decided.view, tasks[0])
        if reason := refusal(decided.view, node, version):
            objects("placement", f"{name}: {reason}")
        before = holders(decided.view, node)
        if reason := overcommitted(decided.view, node, [*before, *tasks]):
            objects("room", f"{name}: {reason}")
        most = version.task.placement.max_replicas_per_node
        stopped = sum(each.id in decided.stops for each in before)
        there = wanted_there(decided.view, node, tasks[0]) - stopped
        if most and there + len(tasks) > most:
            objects("max per node", f"{name}: {there} and {len(tasks)} more, of {most}")


def check_floor(decided: Decided, objects: Objection) -> None:
    """A rollout that stops first never decides to go below replicas - parallelism."""
    service = decided.service
    if service is None or not isinstance(service.spec.mode, Replicated):
        return
    policy = policy_of(decided)
    if policy.order is not UpdateOrder.STOP_FIRST or not policy.parallelism:
        return
    stopped = [task for task in _stopped_by_rollout(decided, service) if decided.runs(task)]
    if not stopped:
        return
    after = decided.wanted_after().values()
    running = {task.slot for task in after if decided.runs(task) or decided.is_done(task)}
    tried = {task.slot for task in decided.tasks.values() if task.node_id}
    wanted = {task.slot for task in after}
    down = {each.slot for each in stopped} | ((tried & wanted) - running)
    if len(down) > policy.parallelism:
        objects(
            "floor",
            f"{service.spec.name}: slots {sorted(down)} are down at once, to roll out version"
            f" {service.spec_version} by {policy.parallelism}",
        )


def policy_of(decided: Decided) -> UpdatePolicy:
    """The policy that the service's rollout follows."""
    assert decided.service is not None
    spec, ledger = decided.service.spec, decided.view.ledgers.get(decided.service.id)
    rollout = ledger.rollout if ledger is not None else None
    is_rollback = (
        rollout is not None
        and rollout.state.is_rollback
        and rollout.spec_version == decided.service.spec_version
    )
    return spec.rollback if is_rollback else spec.update


def _stopped_by_rollout(decided: Decided, service: Service) -> Iterator[Task]:
    """The tasks that a plan stops for no other reason than their version."""
    after = {task.slot for task in decided.wanted_after().values()}
    for task_id, stop in decided.stops.items():
        task = decided.tasks.get(task_id)
        if task is None or stop.desired is not TaskState.SHUTDOWN or stop.eviction:
            continue
        is_old = task.desired <= TaskState.RUNNING and task.spec_version != service.spec_version
        if is_old and task.slot not in after and not task.eviction and _may_stay(decided, task):
            yield task


def _may_stay(decided: Decided, task: Task) -> bool:
    node = decided.view.nodes.get(task.node_id)
    if node is None or node.spec.availability is Availability.DRAIN:
        return False
    return not unfit(node, version_of(decided.view, task).task, TaintEffect.NO_EXECUTE)


def check_history(decided: Decided, objects: Objection) -> None:
    """The attempt that decides what follows it is not forgotten while its replica is wanted."""
    service = decided.service
    if service is None or not isinstance(service.spec.mode, Replicated):
        return
    slots: defaultdict[int, list[Task]] = defaultdict(list)
    for task in decided.tasks.values():
        if task.desired is not TaskState.REMOVE:
            slots[task.slot].append(task)
    if len(slots) > replicas_of(decided):
        return
    opened = {task.slot for task in decided.created}
    for slot, tasks in slots.items():
        last = max(tasks, key=lambda each: (each.attempt, each.created_at, each.id))
        if (
            last.id in decided.removed
            and slot not in opened
            and last.node_id in decided.view.nodes
            and decided.view.state(last) is TaskState.COMPLETE
            and service.spec.task.restart.condition is not RestartCondition.ANY
        ):
            objects("history", f"{service.spec.name}.{slot}: {last.id[:6]} is forgotten")


def replicas_of(decided: Decided) -> int:
    """How many replicas there are to be, also while a service scales itself."""
    assert decided.service is not None
    spec, ledger = decided.service.spec, decided.view.ledgers.get(decided.service.id)
    assert isinstance(spec.mode, Replicated)
    scaled = ledger.replicas if ledger is not None and spec.autoscale is not None else 0
    return scaled or spec.mode.replicas


RULES: Mapping[str, Callable[[Decided, Objection], None]] = {
    "placement": check_placement,
    "floor": check_floor,
    "history": check_history,
}


class Rules:
    """All rules of decisions; `objects` is told of the rule and how it was broken."""

    def __init__(self, objects: Objection) -> None:
        self._objects = objects

    def decided(self, view: ClusterView, plan: Plan, *, now: float) -> None:
        """A plan was made on this view, and is about to be committed."""
        if plan.service_id:
            decided = Decided(view, plan, now)
            for rule in RULES.values():
                rule(decided, self._objects)
