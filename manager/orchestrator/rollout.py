"""Keep track of a rollout: when it begins, what its failures lead to, and when it is over.

What can be told from the tasks is told from the tasks. The record only holds what would be
lost with them: which replicas failed while they were watched or for good, whether somebody let
it go on, and how it ended. A rollout begins when tasks of an earlier version are found, whoever
changed the service, or when one is overtaken that was not over; a rollback that an operator or
a failure asked for was recorded by who decided it.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial

from msgspec import Struct, structs

from manager.orchestrator.attempts import Attempt, Phase
from manager.orchestrator.draft import Draft
from manager.orchestrator.draining import Whereabouts
from manager.orchestrator.replicas import PROVEN_S, Frame, Settled, Standing
from manager.orchestrator.restarting import Never, after_end
from manager.revising import revised, revision_of
from manager.view import ClusterView
from swarm.objects import ROLLED_BACK, Revision, Rollout, Service
from swarm.specs import (
    FailureAction,
    RestartCondition,
    RestartPolicy,
    UpdateOrder,
    UpdatePolicy,
)
from swarm.states import RolloutState, TaskState

_MOVING_ON = (RolloutState.UPDATING, RolloutState.CANARY, RolloutState.ROLLBACK_STARTED)
_BROKEN = (TaskState.FAILED, TaskState.REJECTED)
_ENDED = (*_BROKEN, TaskState.COMPLETE)
_UNDER_WAY = (Standing.MOVING, Standing.REPLACING)


class Course(Struct, frozen=True, kw_only=True):
    """Where a service stands on the way to its current version, and by which rules it goes on.

    `rollout` is None when all there is to replace are leftovers of one that is over.
    """

    service: Service
    policy: UpdatePolicy
    rollout: Rollout | None = None

    @property
    def is_rolling(self) -> bool:
        """Whether earlier versions have still a right to run."""
        return self.rollout is not None and not self.rollout.state.is_over

    @property
    def may_replace(self) -> bool:
        """Whether it goes on by itself."""
        rollout = self.rollout
        return rollout is None or rollout.state.is_over or rollout.state in _MOVING_ON

    @property
    def start_first(self) -> bool:
        """Whether replacements start before what they replace is stopped."""
        return self.policy.order is UpdateOrder.START_FIRST

    @property
    def proven_s(self) -> float:
        """How long a new task has to be up before the next is replaced."""
        return min(self.policy.monitor_s, PROVEN_S)

    @property
    def canaries(self) -> int:
        """How many replicas may be replaced before somebody has a look; 0: all."""
        rollout = self.rollout
        if rollout is None or rollout.promoted or rollout.state.is_rollback:
            return 0
        return 0 if rollout.state.is_over else self.policy.canary

    @property
    def is_held(self) -> bool:
        """Whether replicas that are added had better not be of the new version."""
        return bool(self.canaries) or not self.may_replace

    def has_failed(self, settled: Settled) -> bool:
        """Whether the replica's new task failed, and that was put up with.

        Who lets a rollout go on puts up with the replicas that are not tried again, too:
        they would hold their places for ever.
        """
        rollout = self.rollout
        if rollout is None:
            return False
        return settled.replica.name in rollout.failed or (rollout.promoted and settled.is_spent)


class Reversal(Struct, frozen=True, kw_only=True):
    """Too much failed: the service as it was before, and what to remember of that."""

    service: Service
    revision: Revision
    rollout: Rollout


def take_up(
    view: ClusterView, service: Service, attempts: Sequence[Attempt], *, now: float
) -> Course | Reversal:
    """Where the service stands after what has happened to its tasks."""
    ledger = view.ledgers.get(service.id)
    rollout = ledger.rollout if ledger is not None else None
    if rollout is None or rollout.spec_version != service.spec_version:
        rollout = _begun(service, attempts, overtaken=rollout, now=now)
    if rollout is None:
        return Course(service=service, policy=service.spec.update)
    is_back = rollout.state.is_rollback
    policy = service.spec.rollback if is_back else service.spec.update
    broken = _broken(service)
    if rollout.state in _MOVING_ON:
        failed = _failures(rollout, policy, attempts, broken, service.spec.task.restart)
        rollout = _having_failed(rollout, failed) if failed else rollout
    course = Course(service=service, policy=policy, rollout=rollout)
    if not _has_failed_too_much(course):
        return course
    why = _why(view, rollout, attempts)
    if policy.failure_action is FailureAction.ROLLBACK and not is_back:
        return _reversal(view, course, why, now=now)
    return structs.replace(course, rollout=_paused(rollout, why, now=now))


def frame_for(
    view: ClusterView,
    course: Course,
    attempts: Sequence[Attempt],
    whereabouts: Whereabouts,
    *,
    now: float,
) -> Frame:
    """What the replicas of the service share while it is on this course."""
    service = course.service
    return Frame(
        service=service,
        now=now,
        may_stay=whereabouts.may_stay,
        spec_of=partial(view.task_spec, service.id),
        start_first=course.start_first,
        proven_s=course.proven_s,
        is_rolling=course.is_rolling,
        fresh_version=_fresh_version(course, attempts),
    )


def _fresh_version(course: Course, attempts: Iterable[Attempt]) -> int:
    """What replicas that are added start as: while a version waits for approval, the old one."""
    rollout = course.rollout
    if rollout is None or rollout.state.is_rollback or not course.is_held:
        return 0
    versions = Counter(
        each.task.spec_version for each in attempts if each.phase is Phase.LIVE and each.is_wanted
    )
    versions.pop(course.service.spec_version, None)
    return max(versions, key=lambda each: (versions[each], each), default=0)


def conclude(course: Course, settled: Sequence[Settled], draft: Draft) -> Rollout | None:
    """The record of the rollout after this plan."""
    rollout = course.rollout
    if rollout is None or rollout.state.is_over:
        return rollout
    if not rollout.total:
        there = sum(each.standing is not Standing.AWAY for each in settled)
        rollout = structs.replace(rollout, total=there)
    if rollout.state not in _MOVING_ON:
        return rollout
    if (done_at := _done_at(course, settled)) is not None:
        if done_at <= draft.now:
            return _over(rollout, now=draft.now)
        draft.wake(done_at)
    return _canary(course, rollout, settled, draft)


def rollback(service: Service, message: str, *, now: float) -> Rollout:
    """The record of a rollback that begins with `service` as it is to be."""
    return Rollout(
        state=RolloutState.ROLLBACK_STARTED,
        spec_version=service.spec_version,
        started_at=now,
        message=message,
        changed_at=now,
    )


def promoted(rollout: Rollout, *, now: float) -> Rollout:
    """The record after somebody let it go on: what failed before is put up with."""
    is_back = rollout.state.is_rollback
    return structs.replace(
        rollout,
        state=RolloutState.ROLLBACK_STARTED if is_back else RolloutState.UPDATING,
        promoted=True,
        failed=(),
        message="rollback in progress" if is_back else "update in progress",
        changed_at=now,
    )


# -- beginning -----------------------------------------------------------------------------


def _begun(
    service: Service, attempts: Iterable[Attempt], *, overtaken: Rollout | None, now: float
) -> Rollout | None:
    if overtaken is None and service.spec_version == 1:
        return None
    version = service.spec_version
    # What another rollout left unfinished is this one's to finish, also where nothing that ran
    # before is left to replace: nobody has proven this version either.
    is_unfinished = overtaken is not None and not overtaken.state.is_over
    if not is_unfinished and not any(
        each.is_wanted and each.task.spec_version != version and each.phase is not Phase.GONE
        for each in attempts
    ):
        return None
    return Rollout(
        spec_version=version, started_at=now, changed_at=now, message="update in progress"
    )


# -- failing -------------------------------------------------------------------------------


def _broken(service: Service) -> tuple[TaskState, ...]:
    """The ends that are failures: what is to run always must not end well within moments either."""
    is_endless = service.spec.task.restart.condition is RestartCondition.ANY
    return _ENDED if is_endless else _BROKEN


def _failures(
    rollout: Rollout,
    policy: UpdatePolicy,
    attempts: Iterable[Attempt],
    broken: tuple[TaskState, ...],
    restart: RestartPolicy,
) -> set[str]:
    """The replicas whose new tasks failed in this rollout: while they were watched, or for good.

    One that is not tried again would hold its place for ever, and nobody would hear of it.
    """
    return {
        _replica_of(each)
        for each in attempts
        if each.state in broken and _counts(each, rollout, policy, restart)
    }


def _counts(
    attempt: Attempt, rollout: Rollout, policy: UpdatePolicy, restart: RestartPolicy
) -> bool:
    task = attempt.task
    if task.spec_version != rollout.spec_version or task.created_at < rollout.started_at:
        return False
    if rollout.promoted and attempt.at <= rollout.changed_at:
        return False
    if not attempt.up_at or attempt.at - attempt.up_at <= policy.monitor_s:
        return True
    return after_end(restart, task, attempt.state, attempt.at) == Never(done=False)


def _replica_of(attempt: Attempt) -> str:
    return str(attempt.task.slot) if attempt.task.slot else attempt.task.node_id


def _having_failed(rollout: Rollout, replicas: set[str]) -> Rollout:
    return structs.replace(rollout, failed=tuple(sorted({*rollout.failed, *replicas})))


def _has_failed_too_much(course: Course) -> bool:
    rollout, policy = course.rollout, course.policy
    if rollout is None or rollout.state not in _MOVING_ON or not rollout.failed:
        return False
    if policy.failure_action is FailureAction.CONTINUE:
        return False
    return len(rollout.failed) > policy.max_failure_ratio * max(rollout.total, 1)


def _why(view: ClusterView, rollout: Rollout, attempts: Iterable[Attempt]) -> str:
    """Which task failed last, and why, in words."""
    broken = [
        each
        for each in attempts
        if each.state in _ENDED
        and each.task.spec_version == rollout.spec_version
        and _replica_of(each) in rollout.failed
    ]
    if not broken:
        return f"{len(rollout.failed)} of {rollout.total} replicas failed"
    last = max(broken, key=lambda each: (each.at, each.task.id))
    seen = view.observation(last.task)
    reason = (seen.error or seen.message) if seen is not None else ""
    name = f"{last.task.service_name}.{_replica_of(last)}"
    if last.state is TaskState.COMPLETE:
        return f"task {last.task.id} ({name}) ended early, with exit code 0"
    return f"task {last.task.id} ({name}) {last.state.word}" + (f": {reason}" if reason else "")


def _paused(rollout: Rollout, why: str, *, now: float) -> Rollout:
    is_back = rollout.state.is_rollback
    return structs.replace(
        rollout,
        state=RolloutState.ROLLBACK_PAUSED if is_back else RolloutState.PAUSED,
        message=f"{'rollback' if is_back else 'update'} paused: {why}",
        changed_at=now,
    )


def _reversal(view: ClusterView, course: Course, why: str, *, now: float) -> Course | Reversal:
    service, rollout = course.service, course.rollout
    assert rollout is not None
    spec = service.previous_spec
    if spec is not None:
        before = revised(view, service, spec, previous=service.spec, now=now)
        if before.spec_version != service.spec_version:
            message = f"{ROLLED_BACK}{why}"
            return Reversal(
                service=before,
                revision=revision_of(before, "automatic rollback"),
                rollout=rollback(before, message, now=now),
            )
    why = f"{why}; there is nothing to roll back to"
    return structs.replace(course, rollout=_paused(rollout, why, now=now))


# -- ending --------------------------------------------------------------------------------


def _done_at(course: Course, settled: Iterable[Settled]) -> float | None:
    """When the last new task will have been watched for long enough; None while one is missing.

    A task that ends and is started again and again is watched from its first start: an end
    that is put up with does not hold the rollout up.
    """
    latest = 0.0
    for each in settled:
        if each.standing is Standing.UP:
            latest = max(latest, _up_since(course, each))
        elif each.standing in _UNDER_WAY and course.has_failed(each):
            continue
        elif each.standing is not Standing.AWAY:
            return None
    return latest + course.policy.monitor_s if latest else 0.0


def _up_since(course: Course, settled: Settled) -> float:
    version = course.service.spec_version
    # A rollback brings a version back, which had tasks before: they prove nothing now.
    began = course.rollout.started_at if course.rollout is not None else 0.0
    starts = [
        each.up_at
        for each in settled.replica.attempts
        if each.up_at and each.task.spec_version == version and each.task.created_at >= began
    ]
    return min((settled.up_since, *starts))


def _over(rollout: Rollout, *, now: float) -> Rollout:
    is_back = rollout.state.is_rollback
    failed = f", {len(rollout.failed)} of {rollout.total} replicas failed" if rollout.failed else ""
    reason = rollout.message if rollout.is_automatic else ""
    return structs.replace(
        rollout,
        state=RolloutState.ROLLBACK_COMPLETED if is_back else RolloutState.COMPLETED,
        message=reason or f"{'rollback' if is_back else 'update'} completed{failed}",
        completed_at=now,
        changed_at=now,
    )


def _canary(course: Course, rollout: Rollout, settled: Sequence[Settled], draft: Draft) -> Rollout:
    """Hold once the canaries are proven; a hold that nobody asks for any more ends."""
    canaries = course.canaries
    if not canaries and rollout.state is RolloutState.CANARY:
        return structs.replace(rollout, state=RolloutState.UPDATING, message="update in progress")
    if not canaries or rollout.state is RolloutState.CANARY:
        return rollout
    proven_at = [
        each.up_since + course.proven_s for each in settled if each.standing is Standing.UP
    ]
    proven = sum(at <= draft.now for at in proven_at)
    if proven < canaries:
        for at in proven_at:
            if at > draft.now:
                draft.wake(at)
        return rollout
    return structs.replace(
        rollout,
        state=RolloutState.CANARY,
        message=f"{proven} of {rollout.total} replicas are canaries: promote them or roll back",
        changed_at=draft.now,
    )
