"""Judge what a leader decides by what it knows: faults may break a promise, decisions may not.

Each rule is told of a plan before it is committed, with the leader's own view.
"""

from collections import defaultdict
from collections.abc import Callable

from manager.decisions import Plan
from manager.view import ClusterView
from swarm.ids import NodeId, TaskId
from swarm.objects import SpecVersion, Task
from swarm.specs import Availability, DependencyCondition, Replicated
from swarm.states import TaskState
from tests.sim.decided import Decided, Objection
from tests.sim.job_rules import JOB_RULES
from tests.sim.rollout_rules import ROLLOUT_RULES
from tests.sim.room import holders, overcommitted, refusal, replicas_of, version_of, wanted_there


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
        for task in tasks:
            if reason := refusal(decided.view, node, version_of(decided.view, task)):
                objects("placement", f"{name}: {reason}")
        before = holders(decided.view, node)
        if reason := overcommitted(decided.view, node, [*before, *tasks]):
            objects("room", f"{name}: {reason}")
        placement = version_of(decided.view, tasks[0]).task.placement
        most = placement.max_replicas_per_node
        stopped = sum(each.id in decided.stops for each in before)
        there = wanted_there(decided.view, node, tasks[0]) - stopped
        if most and there + len(tasks) > most:
            objects("max per node", f"{name}: {there} and {len(tasks)} more, of {most}")


def check_history(decided: Decided, objects: Objection) -> None:
    """The attempt that decides what follows it is not forgotten while its replica is wanted."""
    service = decided.service
    if service is None or not isinstance(service.spec.mode, Replicated):
        return
    slots: defaultdict[int, list[Task]] = defaultdict(list)
    given_up = set[int]()
    for task in decided.tasks.values():
        slots[task.slot].append(task)
        if task.desired is TaskState.REMOVE:
            given_up.add(task.slot)
    kept = slots.keys() - given_up
    if len(kept) > decided.replicas:
        return
    opened = {task.slot for task in decided.created}
    for slot in sorted(kept - opened):
        last = max(slots[slot], key=lambda each: (each.attempt, each.created_at, each.id))
        if (
            last.id in decided.removed
            and last.node_id in decided.view.nodes
            and decided.view.state(last).is_terminal
        ):
            objects("history", f"{service.spec.name}.{slot}: {last.id[:6]} is forgotten")


def check_dependencies(decided: Decided, objects: Objection) -> None:
    """Nothing starts before what it depends on is there."""
    service = decided.service
    if service is None or not decided.given:
        return
    view = decided.view
    # A run keeps the version of when it fired; what lasts follows the present one.
    spec = version_of(view, decided.given[0]).task if service.spec.is_job else service.spec.task
    for dependency in spec.depends_on:
        found = [each for each in view.services.values() if each.spec.name == dependency.service]
        if not found:
            objects("dependency", f"{decided.name} starts without {dependency.service}")
            continue
        mode = found[0].spec.mode
        if dependency.condition is DependencyCondition.COMPLETE or not isinstance(mode, Replicated):
            continue
        running = sum(
            view.state(task) is TaskState.RUNNING and task.desired <= TaskState.RUNNING
            for task in view.tasks_of(found[0].id).values()
        )
        if running < max(1, replicas_of(view, found[0])):
            objects("dependency", f"{decided.name} starts before {dependency.service} runs")


def check_preemption(decided: Decided, objects: Objection) -> None:
    """Only tasks of lower priority give way, and only for what then fits."""
    view, service = decided.view, decided.service
    victims: defaultdict[NodeId, list[Task]] = defaultdict(list)
    for task_id, stop in decided.stops.items():
        task = view.tasks[task_id]
        if stop.eviction and task.service_id != decided.plan.service_id:
            victims[task.node_id].append(task)
    if service is None or not victims:
        return
    versions = {each.spec_version: each for each in decided.wanted_after().values()}
    asking = [version_of(view, each) for each in versions.values() if each.desired]
    asking.append(SpecVersion.of(service))
    most = max(each.task.priority for each in asking)
    for node_id, tasks in victims.items():
        names = ", ".join(f"{each.service_name}.{each.slot}" for each in tasks)
        for task in tasks:
            if version_of(view, task).task.priority >= most:
                objects("preemption", f"{names} give way to {decided.name}, which is no better")
        node, leaving = view.nodes[node_id], {task.id for task in tasks}
        left = [
            each
            for each in holders(view, node)
            if each.id not in leaving and each.desired <= TaskState.RUNNING
        ]
        newcomers = [
            Task(id=TaskId("new"), service_id=service.id, spec_version=each.version)
            for each in asking
        ]
        if all(overcommitted(view, node, [*left, each]) for each in newcomers):
            objects("preemption", f"{names} give way on {node_id}, but {decided.name} does not fit")


def check_unavailable(decided: Decided, objects: Objection) -> None:
    """No more replicas are down at once, because they may not stay, than may be unavailable."""
    service = decided.service
    if service is None or not isinstance(service.spec.mode, Replicated):
        return
    most = service.spec.max_unavailable
    moved = {
        task.slot
        for task_id, stop in decided.stops.items()
        if stop.eviction
        and (task := decided.tasks.get(task_id)) is not None
        and task.desired <= TaskState.RUNNING
        and decided.runs(task)
        and not is_overdue(decided, task)
    }
    if not most or not any(decided.is_down(slot) for slot in moved):
        return
    rolled = {task.slot for task in decided.stopped_by_rollout()}
    slots = {task.slot for task in decided.wanted_after().values()} | moved
    if decided.replicas < len(slots):
        return
    down = {slot for slot in slots - rolled if decided.is_down(slot)}
    if len(down) > most:
        objects("unavailable", f"{decided.name}: slots {sorted(down)} are down of {most} at most")


def is_overdue(decided: Decided, task: Task) -> bool:
    """Whether its node is drained, and has been for as long as may be waited for."""
    node = decided.view.nodes[task.node_id]
    timeout_s = node.spec.drain_timeout_s
    is_drained = node.spec.availability is Availability.DRAIN and timeout_s > 0
    return is_drained and decided.now >= node.availability_at + timeout_s


RULES: tuple[Callable[[Decided, Objection], None], ...] = (
    check_placement,
    check_history,
    check_dependencies,
    check_preemption,
    check_unavailable,
    *ROLLOUT_RULES,
    *JOB_RULES,
)


class Rules:
    """All rules of decisions; `objects` is told of the rule and how it was broken."""

    def __init__(self, objects: Objection) -> None:
        self._objects = objects

    def decided(self, view: ClusterView, plan: Plan, *, now: float) -> None:
        """A plan was made on this view, and is about to be committed."""
        if plan.service_id:
            decided = Decided(view, plan, now)
            for rule in RULES:
                rule(decided, self._objects)
