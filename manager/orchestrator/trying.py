"""Bring one replica of a job to its good end: attempt after attempt, until one completes.

An attempt that came to a good end decides for ever, even if it was asked to stop meanwhile or
its node is no more. Nothing starts while an earlier attempt may still run where we can ask;
only one on a node that is down is followed by another that may run beside it, unless the
service says that nothing is ever repeated.
"""

from collections.abc import Callable, Sequence
from enum import Enum, auto

from msgspec import Struct, structs

from manager.orchestrator.attempts import Attempt, Phase
from manager.orchestrator.draft import Draft, Opening, Wait
from manager.orchestrator.restarting import Again, after_end
from swarm.ids import NodeId
from swarm.objects import Run, Task
from swarm.specs import RestartCondition, RestartPolicy
from swarm.states import TaskState

NOWHERE = NodeId("")


class Outcome(Enum):
    """What has become of a replica."""

    DONE = auto()
    """It came to a good end."""
    FAILED = auto()
    """It never will."""
    BUSY = auto()
    """It runs, is about to, or waits for its next attempt."""
    AWAY = auto()
    """Whether it ever ends depends on a node that is down."""


class Need(Struct, frozen=True, kw_only=True, gc=False):
    """An attempt that has to start; `waiting` when it exists already and has no node yet."""

    opening: Opening
    waiting: Wait | None = None


class Trial(Struct, frozen=True, kw_only=True, gc=False):
    """How a replica stands, what it needs to go on, and the attempt that tells."""

    outcome: Outcome
    need: Need | None = None
    last: Attempt | None = None


class Rules(Struct, frozen=True, kw_only=True):
    """What all replicas of a run share. `moves` is whether another node will do as well."""

    run: Run
    policy: RestartPolicy
    may_stay: Callable[[Task], bool]
    moves: bool


def job_policy(policy: RestartPolicy) -> RestartPolicy:
    """A job is not repeated because it went well."""
    if policy.condition is RestartCondition.ANY:
        return structs.replace(policy, condition=RestartCondition.ON_FAILURE)
    return policy


def pursue(
    own: Sequence[Attempt],
    rules: Rules,
    draft: Draft,
    *,
    slot: int = 0,
    node_id: NodeId = NOWHERE,
) -> Trial:
    """Decide about one slot or node with its attempts, oldest first."""
    opening = Opening(
        slot=slot, node_id=node_id, run=rules.run.number, version=rules.run.spec_version
    )
    if not own:
        return Trial(outcome=Outcome.BUSY, need=Need(opening=opening))
    if any(each.state is TaskState.COMPLETE for each in own):
        wind_up(own, draft)
        return Trial(outcome=Outcome.DONE)
    if len(own) == 1 and own[0].phase is Phase.LIVE and _stays(own[0], rules):
        return Trial(outcome=Outcome.BUSY, last=own[0])  # nearly all, nearly always
    return _sort_out(own, rules, draft, opening)


def wind_up(own: Sequence[Attempt], draft: Draft) -> None:
    """Stop what is left of a replica that is over; how it ended stays on record."""
    for each in own:
        if each.phase is Phase.WAITING:
            draft.remove(each)
        elif each.phase is not Phase.ENDED:
            draft.stop(each)


def _stays(attempt: Attempt, rules: Rules) -> bool:
    return not attempt.task.eviction and rules.may_stay(attempt.task)


def _sort_out(own: Sequence[Attempt], rules: Rules, draft: Draft, opening: Opening) -> Trial:
    live = [each for each in own if each.phase is Phase.LIVE]
    staying = [each for each in live if _stays(each, rules)]
    best = max(staying, key=lambda each: (not each.unsure, each.state), default=None)
    for each in live:
        if each is not best:
            draft.stop(each)
    lost = tuple(each for each in own if each.phase is Phase.LOST and each.is_wanted)
    waiting = [each for each in own if each.phase is Phase.WAITING]
    if best is not None:
        if not best.unsure:
            wind_up([*lost, *waiting], draft)
        return Trial(outcome=Outcome.BUSY, last=best)
    for each in waiting[:-1]:
        draft.remove(each)
    if live or any(each.phase is Phase.LEAVING for each in own):
        return Trial(outcome=Outcome.BUSY)
    if waiting:
        wait = Wait(task=waiting[-1].task, replaced=lost)
        return Trial(outcome=Outcome.BUSY, need=Need(opening=opening, waiting=wait))
    return _follow_up(own, rules, draft, structs.replace(opening, replaced=lost))


def _follow_up(own: Sequence[Attempt], rules: Rules, draft: Draft, opening: Opening) -> Trial:
    """Nothing runs here that could be asked: try again now, later, or never."""
    last = own[-1]
    if last.phase is Phase.LOST and not rules.moves:
        return Trial(outcome=Outcome.AWAY, last=last)
    restarts = last.task.restarts
    if _ended_by_itself(last):
        following = after_end(rules.policy, last.task, last.state, last.at)
        if not isinstance(following, Again):
            return Trial(outcome=Outcome.FAILED, last=last)
        if following.at > draft.now:
            draft.wake(following.at)
            return Trial(outcome=Outcome.BUSY, last=last)
        restarts = following.restarts
    elif rules.policy.condition is RestartCondition.NONE:
        is_lost = last.phase is Phase.LOST
        return Trial(outcome=Outcome.AWAY if is_lost else Outcome.FAILED, last=last)
    if last.phase is Phase.ENDED:
        draft.stop(last)  # an agent must not run it again
    again = structs.replace(opening, attempt=last.task.attempt + 1, restarts=restarts)
    return Trial(outcome=Outcome.BUSY, need=Need(opening=again), last=last)


def _ended_by_itself(last: Attempt) -> bool:
    """Whether its end counts against the policy, also once it was asked to stop after it."""
    if last.state in (TaskState.FAILED, TaskState.REJECTED):
        return True
    return last.phase is Phase.ENDED and last.is_wanted
