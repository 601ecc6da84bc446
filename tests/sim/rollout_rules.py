"""What rollouts promise: how many replicas they take at a time, and when they stop or end.

Whatever else happens to a service, these hold of each decision: replicas that a rollout stops
while they run, together with those that are down or not proven, are at most `parallelism`;
where replacements start first, at most so many slots have two tasks; canaries and pauses hold;
too many failures have their consequence; and it is over only after `monitor_s`.
"""

from collections.abc import Callable, Iterator

from swarm.objects import Rollout, Task
from swarm.specs import (
    FailureAction,
    Replicated,
    RestartCondition,
    RestartPolicy,
    UpdateOrder,
)
from swarm.states import RolloutState, TaskState
from tests.sim.decided import Decided, Objection

PROVEN_S = 1.0
SLACK_S = 0.002

_GOING_ON = (RolloutState.UPDATING, RolloutState.CANARY, RolloutState.ROLLBACK_STARTED)


def check_floor(decided: Decided, objects: Objection) -> None:
    """It never decides to go below replicas - parallelism, unproven ones not counted."""
    service, policy = decided.service, decided.policy
    assert service is not None
    stopped = {task.slot for task in decided.stopped_by_rollout()}
    if not stopped or not policy.parallelism:
        return
    after = decided.wanted_after().values()
    proven = {task.slot for task in after if _is_proven(decided, task)}
    tried = {task.slot for task in decided.tasks.values() if task.node_id}
    down = ((tried & {task.slot for task in after}) - proven) | stopped
    down -= _put_up_with(decided)
    if len(down) > policy.parallelism:
        objects(
            "floor",
            f"{decided.name}: slots {sorted(down)} are down at once, to roll out version"
            f" {service.spec_version} by {policy.parallelism}",
        )


def check_ceiling(decided: Decided, objects: Objection) -> None:
    """At most `parallelism` slots have two tasks because of a rollout, and none has three."""
    policy, two = decided.policy, decided.beside()
    for slot, tasks in two.items():
        if sum(bool(task.node_id) for task in tasks) > 2:
            objects("ceiling", f"{decided.name}.{slot} is to have {len(tasks)} tasks")
    rolled = {slot for slot, tasks in two.items() if _is_rolled(decided, tasks)}
    opened = {task.slot for task in decided.created} & rolled
    rolled -= _put_up_with(decided)
    if opened and policy.order is not UpdateOrder.START_FIRST:
        objects("ceiling", f"{decided.name}: slots {sorted(opened)} start before they stop")
    if opened and policy.parallelism and len(rolled) > policy.parallelism:
        objects(
            "ceiling", f"{decided.name}: slots {sorted(rolled)} of {policy.parallelism} run twice"
        )


def check_order(decided: Decided, objects: Objection) -> None:
    """Where replacements start first, nothing that runs is stopped before its replacement runs."""
    if decided.policy.order is UpdateOrder.START_FIRST:
        for task in decided.stopped_by_rollout():
            objects("order", f"{decided.name}.{task.slot} is stopped before it is replaced")


def check_proof(decided: Decided, objects: Objection) -> None:
    """What runs stays until its replacement is proven."""
    for task_id, stop in decided.stops.items():
        task = decided.tasks.get(task_id)
        if task is None or stop.desired is not TaskState.SHUTDOWN or decided.is_new(task):
            continue
        if not decided.runs(task) or not decided.may_stay(task) or stop.eviction:
            continue
        others = [each for each in decided.wanted_after().values() if each.slot == task.slot]
        # One that has waited for a node since the old one was thought lost replaces nothing yet.
        newer = [each for each in others if decided.is_new(each) and each.node_id]
        if newer and not any(_is_proven(decided, each) for each in newer):
            objects("proof", f"{decided.name}.{task.slot}: its replacement is not proven")


def check_holds(decided: Decided, objects: Objection) -> None:
    """Nothing more is replaced while it is paused, and no more than the canaries before that."""
    rollout, replaced = decided.rollout, set(_replaced(decided))
    if rollout is None or not replaced:
        return
    if rollout.state in (RolloutState.PAUSED, RolloutState.ROLLBACK_PAUSED):
        objects("pause", f"{decided.name}: slots {sorted(replaced)} are replaced though paused")
    canary = decided.policy.canary
    if canary and not rollout.promoted and rollout.state in _GOING_ON[:2]:
        moved = {task.slot for task in decided.wanted_after().values() if decided.is_new(task)}
        if len(moved | replaced) > canary:
            objects("canary", f"{decided.name}: {sorted(moved | replaced)} are more than {canary}")


def check_ratio(decided: Decided, objects: Objection) -> None:
    """When more replicas failed than may, it goes back or pauses."""
    rollout, policy = decided.rollout, decided.policy
    if rollout is None or policy.failure_action is FailureAction.CONTINUE or decided.rewrites:
        return
    if rollout.state not in _GOING_ON or (decided.ledger is None and not decided.given):
        return
    failed = {*rollout.failed, *_failed(decided, rollout)}
    if len(failed) > policy.max_failure_ratio * max(rollout.total, 1):
        objects(
            "ratio", f"{decided.name}: {sorted(failed)} of {rollout.total} failed and it goes on"
        )


def check_end(decided: Decided, objects: Objection) -> None:
    """It is over only `monitor_s` after every replica came up in the new version.

    That it ended since, or was moved, and is up again does not begin its watch anew: a task
    that ends well and is started again and again would hold the rollout up for ever.
    """
    service, rollout = decided.service, decided.rollout
    assert service is not None
    before = decided.view.ledgers.get(service.id)
    was_over = (
        before is not None
        and before.rollout is not None
        and before.rollout.spec_version == service.spec_version
        and before.rollout.state.is_over
    )
    if rollout is None or not rollout.state.is_over or was_over:
        return
    if service.spec.task.restart.condition is RestartCondition.NONE:
        return
    # Reports are dated again when they come, so two of one task may disagree a little.
    watched_since = decided.now - decided.policy.monitor_s + 0.05
    slots = {task.slot for task in decided.wanted_after().values()}
    for slot in slots - _put_up_with(decided):
        new = [
            each for each in decided.tasks.values() if each.slot == slot and decided.is_new(each)
        ]
        if any(decided.is_done(each) for each in new) or _had_others(decided, slot, new):
            continue  # it ended well before that, or was up before in an attempt long forgotten
        if not any(0 < decided.up_at(each) <= watched_since for each in new):
            objects("monitor", f"{decided.name}.{slot} was not watched for long enough")


def _is_proven(decided: Decided, task: Task) -> bool:
    """Whether a task is up for long enough to be relied upon, or old and up at all."""
    if decided.is_done(task):
        return True
    if not decided.runs(task):
        return False
    needed = min(decided.policy.monitor_s, PROVEN_S)
    return not decided.is_new(task) or decided.now - decided.up_at(task) >= needed - SLACK_S


def _had_others(decided: Decided, slot: int, new: list[Task]) -> bool:
    """Whether there were earlier attempts of the new version that are not known any more."""
    first = min((each.attempt for each in new), default=1)
    known = {each.attempt for each in decided.tasks.values() if each.slot == slot}
    return first > 1 and first - 1 not in known


def _put_up_with(decided: Decided) -> set[int]:
    """The slots whose failures the policy allows for, or whoever let the rollout go on."""
    rollout = decided.rollout
    if rollout is None:
        return set()
    failed = {int(each) for each in rollout.failed if each.isdigit()}
    if rollout.promoted and decided.service is not None:
        failed |= set(_spent(decided, decided.service.spec.task.restart))
        failed |= set(_failed_before(decided, rollout.changed_at))
    return failed


def _failed_before(decided: Decided, at: float) -> Iterator[int]:
    """The slots in which new tasks had failed before somebody let the rollout go on."""
    for task in decided.tasks.values():
        seen = decided.view.observation(task)
        has_failed = seen is not None and seen.state in (TaskState.FAILED, TaskState.REJECTED)
        if has_failed and seen is not None and seen.at <= at and decided.is_new(task):
            yield task.slot


def _spent(decided: Decided, policy: RestartPolicy) -> Iterator[int]:
    """The slots whose newest attempt failed, and may be the last."""
    newest: dict[int, Task] = {}
    for task in sorted(decided.tasks.values(), key=lambda each: each.attempt):
        newest[task.slot] = task
    for slot, task in newest.items():
        seen = decided.view.observation(task)
        has_failed = seen is not None and seen.state in (TaskState.FAILED, TaskState.REJECTED)
        is_bound = policy.condition is RestartCondition.NONE or policy.max_attempts > 0
        if has_failed and is_bound and decided.is_new(task):
            yield slot


def _is_rolled(decided: Decided, tasks: list[Task]) -> bool:
    """Whether two tasks of one slot are there because of their versions."""
    old = [each for each in tasks if not decided.is_new(each)]
    return len(old) == 1 and len(tasks) == 2 and decided.may_stay(old[0])


def _replaced(decided: Decided) -> Iterator[int]:
    """The slots that a plan takes from an earlier version to the new one."""
    yield from (task.slot for task in decided.stopped_by_rollout())
    tried = {task.slot for task in decided.tasks.values() if decided.is_new(task)}
    opened = {task.slot for task in decided.created if decided.is_new(task)} - tried
    for slot, tasks in decided.beside().items():
        if slot in opened and _is_rolled(decided, tasks):
            yield slot


def _failed(decided: Decided, rollout: Rollout) -> Iterator[str]:
    """The slots whose new tasks failed while they were watched."""
    for task in decided.tasks.values():
        seen = decided.view.observation(task)
        if seen is None or seen.state not in (TaskState.FAILED, TaskState.REJECTED):
            continue
        if not decided.is_new(task) or task.created_at < rollout.started_at:
            continue
        if rollout.promoted and seen.at <= rollout.changed_at:
            continue
        up_at = seen.running_at
        if not up_at or seen.at - up_at <= decided.policy.monitor_s - SLACK_S:
            yield str(task.slot)


def _of_replicated(rule: Callable[[Decided, Objection], None]) -> Callable[..., None]:
    def checked(decided: Decided, objects: Objection) -> None:
        service = decided.service
        if service is not None and isinstance(service.spec.mode, Replicated):
            rule(decided, objects)

    return checked


ROLLOUT_RULES = tuple(
    map(
        _of_replicated,
        (
            check_floor,
            check_ceiling,
            check_order,
            check_proof,
            check_holds,
            check_ratio,
            check_end,
        ),
    )
)
