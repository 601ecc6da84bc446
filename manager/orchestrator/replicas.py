"""Bring one replica in order: one attempt that runs, or the reason why not yet.

A replica is a slot of a replicated service or a node of a global one. At most one attempt
of it runs: what was asked to stop has to end before the next one starts. Only an attempt on
a node that is down is replaced while it may still run, and it is told to stop in the same
commit that gives its replacement a node. Until then it stays wanted: if no other node has
room, its own coming back is the quickest way to have it run.
"""

from collections.abc import Callable, Sequence
from enum import Enum, auto

from msgspec import Struct

from manager.orchestrator.attempts import Attempt, Phase
from manager.orchestrator.draft import Draft, Opening, Wait
from manager.orchestrator.restarting import Again, Never, after_end
from swarm.ids import NodeId
from swarm.objects import Service, Task
from swarm.specs import RestartCondition
from swarm.states import TaskState


class Standing(Enum):
    """How far a replica is, as a rollout sees it."""

    UP = auto()
    """Its attempt of the current version runs, or ended well for good."""
    OLD = auto()
    """An attempt of an earlier version holds its place."""
    MOVING = auto()
    """It is between two attempts, or its new one is not up yet, or failed."""
    UNTRIED = auto()
    """It never had a node."""
    AWAY = auto()
    """Its node is down or no longer admits it."""


class Replica(Struct, frozen=True, kw_only=True, gc=False):
    """A slot or node with its attempts, oldest first; none of them asked to be removed."""

    attempts: Sequence[Attempt]
    slot: int = 0
    node_id: NodeId = NodeId("")

    def having(self, phase: Phase) -> list[Attempt]:
        """The attempts in a phase, oldest first."""
        return [each for each in self.attempts if each.phase is phase]

    def opening(
        self,
        *,
        attempt: int = 1,
        restarts: tuple[float, ...] = (),
        replaced: tuple[Attempt, ...] = (),
    ) -> Opening:
        """The need for another attempt of this replica."""
        return Opening(
            slot=self.slot,
            node_id=self.node_id,
            attempt=attempt,
            restarts=restarts,
            replaced=replaced,
        )


class Settled(Struct, frozen=True, kw_only=True, gc=False):
    """How a replica stands: UP since when, or OLD because of which attempt."""

    replica: Replica
    standing: Standing
    holder: Attempt | None = None
    up_since: float = 0.0


class Frame(Struct, frozen=True, kw_only=True):
    """What all replicas of a service share while they are looked at."""

    service: Service
    now: float
    may_stay: Callable[[Task], bool]

    def is_current(self, attempt: Attempt) -> bool:
        """Whether the attempt is of the version that is wanted."""
        return attempt.task.spec_version == self.service.spec_version


def settle(replica: Replica, frame: Frame, draft: Draft) -> Settled:
    """Decide what to do about one replica, apart from a rollout."""
    if len(replica.attempts) == 1:  # nearly all replicas, nearly always
        only = replica.attempts[0]
        if only.phase is Phase.LIVE and frame.may_stay(only.task):
            return _held_by(replica, only, frame)
    for attempt in replica.attempts[:-1]:
        if attempt.phase is Phase.ENDED:
            draft.stop(attempt)  # it ended after its successor had been called for
    live = replica.having(Phase.LIVE)
    staying = [each for each in live if frame.may_stay(each.task)]
    for attempt in live:
        if not frame.may_stay(attempt.task):
            draft.stop(attempt)
    if staying:
        return _keep_best(replica, staying, frame, draft)
    if live:
        return Settled(replica=replica, standing=Standing.MOVING)
    if waiting := replica.having(Phase.WAITING):
        return _wait(replica, waiting, frame, draft)
    if replica.having(Phase.LEAVING):
        return Settled(replica=replica, standing=Standing.MOVING)
    return _follow_up(replica, frame, draft)


def _keep_best(replica: Replica, live: list[Attempt], frame: Frame, draft: Draft) -> Settled:
    """One attempt is enough. An unsure one is, too, but does not drive the others away."""
    best = max(live, key=lambda each: (not each.unsure, each.state, each.task.spec_version))
    for attempt in live:
        if attempt is not best:
            draft.stop(attempt)
    if not best.unsure:
        for attempt in replica.having(Phase.WAITING):
            draft.remove(attempt)
        for attempt in replica.having(Phase.LOST):
            draft.stop(attempt)
    return _held_by(replica, best, frame)


def _held_by(replica: Replica, best: Attempt, frame: Frame) -> Settled:
    if not frame.is_current(best):
        return Settled(replica=replica, standing=Standing.OLD, holder=best)
    is_up = best.state is TaskState.RUNNING
    return Settled(
        replica=replica,
        standing=Standing.UP if is_up else Standing.MOVING,
        up_since=best.at if is_up else 0.0,
    )


def _wait(replica: Replica, waiting: list[Attempt], frame: Frame, draft: Draft) -> Settled:
    """Look for a node again, unless an earlier attempt came back and has to end first."""
    newest = waiting[-1]
    for attempt in waiting[:-1]:
        draft.remove(attempt)
    standing = Standing.UNTRIED if newest.task.attempt <= 1 else Standing.MOVING
    if not replica.having(Phase.LEAVING):
        replaced = _still_wanted(replica)
        if frame.is_current(newest):
            draft.waits.append(Wait(task=newest.task, replaced=replaced))
        else:
            draft.remove(newest)
            opening = replica.opening(attempt=newest.task.attempt, replaced=replaced)
            draft.openings.append(opening)
    return Settled(replica=replica, standing=standing)


def _follow_up(replica: Replica, frame: Frame, draft: Draft) -> Settled:
    """Nothing runs here that could be asked: start an attempt, later or never."""
    if not replica.attempts:
        draft.openings.append(replica.opening())
        return Settled(replica=replica, standing=Standing.UNTRIED)
    last = replica.attempts[-1]
    policy = frame.service.spec.task.restart
    ended_by_itself = last.phase is Phase.ENDED and last.is_wanted
    if ended_by_itself:
        following = after_end(policy, last.task, last.state, last.at)
        if isinstance(following, Never) and following.done:
            return _done(replica, last, frame)
        if frame.is_current(last):
            return _start_again(replica, following, frame, draft)
    elif _is_not_repeated(last, frame):
        return Settled(replica=replica, standing=Standing.AWAY)
    restarts = last.task.restarts if frame.is_current(last) else ()
    _open(replica, restarts, draft)
    return Settled(replica=replica, standing=Standing.MOVING)


def _is_not_repeated(last: Attempt, frame: Frame) -> bool:
    """Whether an attempt that did not end by itself was the only one there may be."""
    once = frame.service.spec.task.restart.condition is RestartCondition.NONE
    return once and frame.is_current(last) and last.phase is not Phase.GONE


def _done(replica: Replica, last: Attempt, frame: Frame) -> Settled:
    if frame.is_current(last):
        return Settled(replica=replica, standing=Standing.UP, up_since=last.at)
    return Settled(replica=replica, standing=Standing.OLD, holder=last)


def _start_again(replica: Replica, following: Again | Never, frame: Frame, draft: Draft) -> Settled:
    if isinstance(following, Again):
        if following.at <= frame.now:
            _open(replica, following.restarts, draft)
        else:
            draft.wake(following.at)
    return Settled(replica=replica, standing=Standing.MOVING)


def _open(replica: Replica, restarts: tuple[float, ...], draft: Draft) -> None:
    """Call for the next attempt and close the last one: an agent must not run it again."""
    last = replica.attempts[-1]
    if last.phase is Phase.ENDED:
        draft.stop(last)
    draft.openings.append(
        replica.opening(
            attempt=last.task.attempt + 1, restarts=restarts, replaced=_still_wanted(replica)
        )
    )


def reopen(settled: Settled, draft: Draft) -> None:
    """Replace the attempt of an earlier version that holds a replica's place."""
    holder = settled.holder
    assert holder is not None
    if holder.phase is Phase.LIVE:
        draft.stop(holder)
    else:
        _open(settled.replica, (), draft)


def _still_wanted(replica: Replica) -> tuple[Attempt, ...]:
    return tuple(each for each in replica.having(Phase.LOST) if each.is_wanted)
