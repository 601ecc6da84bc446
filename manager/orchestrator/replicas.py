"""Bring one replica in order: one attempt that runs, or the reason why not yet.

A replica is a slot of a replicated service or a node of a global one. One attempt of it runs,
and what was asked to stop has to end before the next one starts, but for two cases. An
attempt on a node that is down is replaced while it may still run, and it is told to stop in
the same commit that gives its replacement a node; until then it stays wanted: if no other
node has room, its own coming back is the quickest way to have it run. And where replacements
start first, the better of two attempts runs beside the worse until it is proven.

What a replica needs is told, not done: a rollout may have better plans for one whose last
attempt is of an earlier version. While one is under way, such a replica is otherwise started
again as what it was, so that no crash and no drained node spreads a version that is not proven.
"""

from collections.abc import Callable, Sequence
from enum import Enum, IntEnum, auto

from msgspec import Struct

from manager.orchestrator.attempts import Attempt, Phase
from manager.orchestrator.draft import Draft, Opening, Wait
from manager.orchestrator.restarting import Again, Never, after_end
from swarm.ids import NodeId
from swarm.objects import Service, Task
from swarm.specs import RestartCondition, RestartPolicy, TaskSpec
from swarm.states import TaskState

PROVEN_S = 1.0
"""How long an attempt is up before it is trusted, unless it is monitored for less."""


class Standing(Enum):
    """How far a replica is, as rollouts and moves see it."""

    UP = auto()
    """Its attempt of the current version runs, or ended well for good."""
    OLD = auto()
    """An attempt of an earlier version holds its place, running or about to run again."""
    MISPLACED = auto()
    """Its attempt runs where it must not, and nothing replaces it yet."""
    REPLACING = auto()
    """Its attempt runs until the one that is to replace it is proven."""
    MOVING = auto()
    """It is between two attempts, or its new one is not up yet, or failed."""
    UNTRIED = auto()
    """It never had a node."""
    AWAY = auto()
    """Its node is down or no longer admits it, or it must not run again."""


class Fitness(IntEnum):
    """Which of two attempts to prefer."""

    MISPLACED = 0
    OUTDATED = 1
    FIT = 2


class Replica(Struct, frozen=True, kw_only=True, gc=False):
    """A slot or node with its attempts, oldest first; none of them asked to be removed."""

    attempts: Sequence[Attempt]
    slot: int = 0
    node_id: NodeId = NodeId("")

    @property
    def name(self) -> str:
        """What a rollout remembers it by."""
        return str(self.slot) if self.slot else self.node_id

    def having(self, phase: Phase) -> list[Attempt]:
        """The attempts in a phase, oldest first."""
        return [each for each in self.attempts if each.phase is phase]

    def opening(
        self,
        *,
        restarts: tuple[float, ...] = (),
        version: int = 0,
        leaves: Attempt | None = None,
    ) -> Opening:
        """The need for the next attempt, which closes the last one: it must not run again."""
        last = self.attempts[-1] if self.attempts else None
        return Opening(
            slot=self.slot,
            node_id=self.node_id,
            attempt=last.task.attempt + 1 if last is not None else 1,
            restarts=restarts,
            replaced=still_wanted(self),
            closes=last if last is not None and last.phase is Phase.ENDED else None,
            version=version,
            avoid=avoided(leaves),
        )


class Settled(Struct, frozen=True, kw_only=True, gc=False):
    """How a replica stands: UP since when, or what holds its place, and what it needs now.

    It is spent when it failed and its restart policy allows no other attempt.
    """

    replica: Replica
    standing: Standing
    holder: Attempt | None = None
    up_since: float = 0.0
    need: Opening | Wait | None = None
    is_spent: bool = False


class Frame(Struct, frozen=True, kw_only=True):
    """What all replicas of a service share while they are looked at.

    `is_rolling` while a rollout is under way: then `spec_of` tells what earlier versions were,
    and `fresh_version` what a replica without any attempt starts as (0: the current version).
    """

    service: Service
    now: float
    may_stay: Callable[[Task], bool]
    spec_of: Callable[[int], TaskSpec | None] = lambda version: None
    start_first: bool = False
    proven_s: float = PROVEN_S
    is_rolling: bool = False
    fresh_version: int = 0

    def is_current(self, attempt: Attempt) -> bool:
        """Whether the attempt is of the version that is wanted."""
        return attempt.task.spec_version == self.service.spec_version

    def stays(self, attempt: Attempt) -> bool:
        """Whether the attempt may go on where it is."""
        return not attempt.task.eviction and self.may_stay(attempt.task)

    def fitness(self, attempt: Attempt) -> Fitness:
        """How good an attempt is."""
        if not self.stays(attempt):
            return Fitness.MISPLACED
        return Fitness.FIT if self.is_current(attempt) else Fitness.OUTDATED

    def is_proven(self, attempt: Attempt) -> bool:
        """Whether it has been up long enough to be relied upon."""
        is_up = attempt.state is TaskState.RUNNING and not attempt.unsure
        return is_up and self.now >= attempt.up_at + self.proven_s  # as whoever wakes reckons

    def own_version(self, task: Task) -> int:
        """What an earlier attempt is repeated as while a rollout goes on; 0: currently."""
        if self.is_rolling and self.spec_of(task.spec_version) is not None:
            return task.spec_version
        return 0

    def restart_policy(self, version: int) -> RestartPolicy:
        """The policy of a version, and of the current one if that is forgotten."""
        spec = None if version == self.service.spec_version else self.spec_of(version)
        return (spec or self.service.spec.task).restart

    def merit(self, attempt: Attempt) -> tuple[Fitness, bool, bool, TaskState]:
        """The greater, the rather it is kept. Of two that are to be replaced anyway, that is the
        one that runs, even if nobody has heard of its node lately.
        """
        fitness = self.fitness(attempt)
        serves = fitness is not Fitness.FIT and is_up(attempt)
        return fitness, serves, not attempt.unsure, attempt.state


def settle(replica: Replica, frame: Frame, draft: Draft) -> Settled:
    """Decide what to do about one replica, apart from rollouts and moves."""
    if len(replica.attempts) == 1:  # nearly all replicas, nearly always
        only = replica.attempts[0]
        if only.phase is Phase.LIVE:
            return _held_by(replica, only, frame)
    for attempt in replica.attempts[:-1]:
        if attempt.phase is Phase.ENDED:
            draft.stop(attempt)  # it ended after its successor had been called for
    if live := replica.having(Phase.LIVE):
        return _keep_best(replica, live, frame, draft)
    if waiting := replica.having(Phase.WAITING):
        return _wait(replica, waiting, frame, draft)
    if replica.having(Phase.LEAVING):
        return Settled(replica=replica, standing=Standing.MOVING)
    return _follow_up(replica, frame, draft)


def is_up(attempt: Attempt | None) -> bool:
    """Whether it runs, as far as anybody knows."""
    return (
        attempt is not None and attempt.phase is Phase.LIVE and attempt.state is TaskState.RUNNING
    )


def still_wanted(replica: Replica) -> tuple[Attempt, ...]:
    """The attempts that nobody can ask to stop, and that were not asked before."""
    return tuple(each for each in replica.having(Phase.LOST) if each.is_wanted)


def avoided(leaves: Attempt | None) -> NodeId:
    """The node that a replica is to leave although its tasks are admitted there."""
    return leaves.task.node_id if leaves is not None and leaves.task.eviction else NodeId("")


# -- something lives -----------------------------------------------------------------------


def _held_by(replica: Replica, best: Attempt, frame: Frame) -> Settled:
    fitness = frame.fitness(best)
    if fitness is Fitness.FIT:
        is_running = best.state is TaskState.RUNNING
        return Settled(
            replica=replica,
            standing=Standing.UP if is_running else Standing.MOVING,
            up_since=best.up_at if is_running else 0.0,
        )
    standing = Standing.OLD if fitness is Fitness.OUTDATED else Standing.MISPLACED
    return Settled(replica=replica, standing=standing, holder=best)


def _keep_best(replica: Replica, live: list[Attempt], frame: Frame, draft: Draft) -> Settled:
    """One attempt is enough, or two while the better one is not proven.

    An unsure one is enough, too, but does not drive the others away.
    """
    best = max(live, key=frame.merit)
    others = [each for each in live if each is not best]
    kept = None if frame.is_proven(best) else _kept_beside(best, others, frame)
    for attempt in others:
        if attempt is not kept:
            draft.stop(attempt)
    if kept is None and frame.fitness(best) is not Fitness.FIT:
        if others and frame.start_first and is_up(best):  # they have to end before others start
            return Settled(replica=replica, standing=Standing.REPLACING, holder=best)
        return _unfit(replica, best, frame, draft)
    if not best.unsure:
        for attempt in replica.having(Phase.WAITING):
            draft.remove(attempt)
        # What was to replace it and failed, or went with its node, is not tried again.
        for phase in (Phase.LOST, Phase.GONE, Phase.ENDED):
            for attempt in replica.having(phase):
                draft.stop(attempt)
    if kept is None:
        return _held_by(replica, best, frame)
    if best.state is TaskState.RUNNING and not best.unsure:
        draft.wake(best.up_at + frame.proven_s)
    return Settled(replica=replica, standing=Standing.REPLACING, holder=kept)


def _kept_beside(best: Attempt, others: list[Attempt], frame: Frame) -> Attempt | None:
    """The attempt that runs on until `best` is proven: one that runs, and is not as good."""
    fitness = frame.fitness(best)
    running = [each for each in others if is_up(each) and frame.fitness(each) < fitness]
    return max(running, key=lambda each: (frame.fitness(each), not each.unsure), default=None)


def _unfit(replica: Replica, holder: Attempt, frame: Frame, draft: Draft) -> Settled:
    """What holds the place is to be replaced; perhaps its replacement waits, or has failed."""
    last = replica.attempts[-1]
    waiting = replica.having(Phase.WAITING)
    if frame.start_first and is_up(holder):
        replacing = Settled(replica=replica, standing=Standing.REPLACING, holder=holder)
        if replica.having(Phase.LEAVING):
            return replacing
        if waiting and waiting[-1] is last and _may_replace(last, holder, frame):
            for attempt in waiting[:-1]:
                draft.remove(attempt)
            need = Wait(task=last.task, replaced=still_wanted(replica), avoid=avoided(holder))
            return Settled(replica=replica, standing=Standing.REPLACING, holder=holder, need=need)
        if _ended_by_itself(last) and _may_replace(last, holder, frame):
            return _try_again(replica, holder, last, frame, draft)
    if _ended_by_itself(last):
        draft.stop(last)
    if not holder.unsure:
        for attempt in waiting:
            draft.remove(attempt)
        for attempt in [*replica.having(Phase.LOST), *replica.having(Phase.GONE)]:
            draft.stop(attempt)
    return _held_by(replica, holder, frame)


def _may_replace(attempt: Attempt, holder: Attempt, frame: Frame) -> bool:
    """Whether an attempt is what the holder would be replaced by today."""
    if frame.is_current(attempt):
        return True
    return not frame.stays(holder) and attempt.task.spec_version == frame.own_version(holder.task)


def _try_again(
    replica: Replica, holder: Attempt, last: Attempt, frame: Frame, draft: Draft
) -> Settled:
    """The replacement failed: the holder stays, and the next attempt follows in its time."""
    policy = frame.restart_policy(last.task.spec_version)
    following = after_end(policy, last.task, last.state, last.at)
    if isinstance(following, Never) and following.done:
        draft.stop(holder)
        return _done(replica, last, frame)
    need = None
    if isinstance(following, Again) and following.at <= frame.now:
        need = replica.opening(
            restarts=following.restarts,
            version=0 if frame.is_current(last) else last.task.spec_version,
            leaves=holder,
        )
    elif isinstance(following, Again):
        draft.wake(following.at)
    return Settled(
        replica=replica,
        standing=Standing.REPLACING,
        holder=holder,
        need=need,
        is_spent=isinstance(following, Never),
    )


# -- nothing lives -------------------------------------------------------------------------


def _wait(replica: Replica, waiting: list[Attempt], frame: Frame, draft: Draft) -> Settled:
    """Look for a node again, unless an earlier attempt came back and has to end first."""
    newest = waiting[-1]
    for attempt in waiting[:-1]:
        draft.remove(attempt)
    standing = Standing.UNTRIED if newest.task.attempt <= 1 else Standing.MOVING
    if replica.having(Phase.LEAVING):
        return Settled(replica=replica, standing=standing)
    need = Wait(task=newest.task, replaced=still_wanted(replica))
    if frame.is_current(newest):
        return Settled(replica=replica, standing=standing, need=need)
    if frame.own_version(newest.task):
        return Settled(replica=replica, standing=Standing.OLD, holder=newest, need=need)
    return anew(Settled(replica=replica, standing=standing, holder=newest), draft)


def _follow_up(replica: Replica, frame: Frame, draft: Draft) -> Settled:
    """Nothing runs here that could be asked: start an attempt, later or never."""
    if not replica.attempts:
        fresh = replica.opening(version=frame.fresh_version)
        return Settled(replica=replica, standing=Standing.UNTRIED, need=fresh)
    last = replica.attempts[-1]
    is_own = _ended_by_itself(last) or bool(last.task.eviction) or last.is_wanted
    if not frame.is_current(last) and is_own and frame.own_version(last.task):
        return _repeat_old(replica, last, frame, draft)
    if _ended_by_itself(last):
        policy = frame.restart_policy(last.task.spec_version)
        following = after_end(policy, last.task, last.state, last.at)
        if isinstance(following, Never) and following.done:
            return _done(replica, last, frame)
        if frame.is_current(last):
            return Settled(
                replica=replica,
                standing=Standing.MOVING,
                need=_next(replica, following, frame, draft),
                is_spent=isinstance(following, Never),
            )
    elif is_not_repeated(last, frame):
        return Settled(replica=replica, standing=Standing.AWAY)
    restarts = last.task.restarts if frame.is_current(last) else ()
    leaves = last if frame.is_current(last) else None
    again = replica.opening(restarts=restarts, leaves=leaves)
    return Settled(replica=replica, standing=Standing.MOVING, need=again)


def _repeat_old(replica: Replica, last: Attempt, frame: Frame, draft: Draft) -> Settled:
    """Start an attempt of an earlier version again as what it was, if it is to run again."""
    version = last.task.spec_version
    if _ended_by_itself(last):
        following = after_end(frame.restart_policy(version), last.task, last.state, last.at)
        need = _next(replica, following, frame, draft, version=version)
    elif is_not_repeated(last, frame):
        need = None
    else:
        need = replica.opening(restarts=last.task.restarts, version=version, leaves=last)
    return Settled(replica=replica, standing=Standing.OLD, holder=last, need=need)


def _next(
    replica: Replica,
    following: Again | Never,
    frame: Frame,
    draft: Draft,
    *,
    version: int = 0,
) -> Opening | None:
    if isinstance(following, Never):
        return None
    if following.at <= frame.now:
        return replica.opening(restarts=following.restarts, version=version)
    draft.wake(following.at)
    return None


def is_not_repeated(last: Attempt, frame: Frame) -> bool:
    """Whether an attempt that does not end by itself is the only one there may be."""
    policy = frame.restart_policy(last.task.spec_version)
    is_meant = frame.is_current(last) or frame.is_rolling
    once = policy.condition is RestartCondition.NONE
    return once and is_meant and last.phase is not Phase.GONE


def _done(replica: Replica, last: Attempt, frame: Frame) -> Settled:
    if frame.is_current(last):
        return Settled(replica=replica, standing=Standing.UP, up_since=last.at)
    return Settled(replica=replica, standing=Standing.OLD, holder=last)


def _ended_by_itself(attempt: Attempt) -> bool:
    return attempt.phase is Phase.ENDED and attempt.is_wanted


# -- what rollouts and moves do --------------------------------------------------------------


def anew(settled: Settled, draft: Draft, *, start_first: bool = False, version: int = 0) -> Settled:
    """Replace what holds a replica's place by another attempt, of the current version or this."""
    holder, replica = settled.holder, settled.replica
    assert holder is not None
    if holder.phase is Phase.LIVE and not (start_first and is_up(holder)):
        draft.stop(holder)
        return Settled(replica=replica, standing=Standing.MOVING)
    if holder.phase is Phase.LIVE:
        need = replica.opening(version=version, leaves=holder)
        return Settled(replica=replica, standing=Standing.REPLACING, holder=holder, need=need)
    if holder.phase is Phase.WAITING:
        draft.remove(holder)
        again = Opening(
            slot=replica.slot,
            node_id=replica.node_id,
            attempt=holder.task.attempt,
            replaced=still_wanted(replica),
            version=version,
        )
        standing = Standing.UNTRIED if again.attempt <= 1 else Standing.MOVING
        return Settled(replica=replica, standing=standing, need=again)
    need = replica.opening(version=version)
    return Settled(replica=replica, standing=Standing.MOVING, need=need)
