"""What jobs promise: so many at a time, one attempt where there is to be one, firings in time."""

from collections import Counter

from swarm.objects import Task
from swarm.specs import ReplicatedJob, RestartCondition
from swarm.states import NodeState, TaskState
from tests.sim.decided import Decided, Objection
from tests.sim.room import version_of

EARLY_S = 0.001


def check_concurrency(decided: Decided, objects: Objection) -> None:
    """No more tasks of a run are under way than `max_concurrent`."""
    service = decided.service
    if service is None or not isinstance(service.spec.mode, ReplicatedJob) or not decided.given:
        return
    most = service.spec.mode.max_concurrent
    going = Counter(
        task.run
        for task in decided.wanted_after().values()
        if _is_under_way(decided, task) and decided.is_new(task)
    )
    for run, count in going.items():
        if most and count > most and any(task.run == run for task in decided.created):
            objects("concurrency", f"{decided.name}, run {run}: {count} tasks of {most}")


def check_single_attempts(decided: Decided, objects: Objection) -> None:
    """What is not to be repeated has one attempt."""
    for task in decided.created:
        restart = version_of(decided.view, task).task.restart
        is_job = decided.service is not None and decided.service.spec.is_job
        if is_job and restart.condition is RestartCondition.NONE and task.attempt > 1:
            objects("repetition", f"{decided.name}.{task.slot}, run {task.run}: again")


def check_firings(decided: Decided, objects: Objection) -> None:
    """No firing is early, or at a time that is not due."""
    before = decided.view.ledgers.get(decided.plan.service_id)
    known = before.last_run if before is not None else 0
    for run in decided.ledger.runs if decided.ledger is not None else ():
        if run.number > known and run.number:
            if run.due_at > decided.now + EARLY_S:
                objects("firing", f"{decided.name}: run {run.number} is early")
            if run.due_at % 60:
                objects("firing", f"{decided.name}: run {run.number} is not due at {run.due_at}")


def _is_under_way(decided: Decided, task: Task) -> bool:
    if decided.view.state(task) > TaskState.RUNNING:
        return False
    return not task.node_id or decided.view.node_state(task.node_id) is not NodeState.DOWN


JOB_RULES = (check_concurrency, check_single_attempts, check_firings)
