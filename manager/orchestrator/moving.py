"""Move what may not stay where it is.

Where the service starts replacements first, each gets one elsewhere and stays until that is
proven, or until the drain of its node has taken as long as it may. Otherwise it is stopped at
once, and started elsewhere when it has ended; but no more replicas are brought down than may
be unavailable at a time, if the service says how many.
"""

from math import inf

from manager.orchestrator.draft import Draft
from manager.orchestrator.draining import Whereabouts
from manager.orchestrator.replicas import Frame, Settled, Standing, anew, is_not_repeated, is_up


def move(
    settled: list[Settled],
    frame: Frame,
    whereabouts: Whereabouts,
    draft: Draft,
    *,
    max_unavailable: int,
) -> None:
    """Replace misplaced attempts, in place: `settled` tells how the replicas stand afterwards."""
    # The replica of a node has nowhere else to go, so nothing is started for it first.
    starts_first = frame.start_first and not any(each.replica.node_id for each in settled)
    patient: list[int] = []
    for index, each in enumerate(settled):
        if each.standing is Standing.REPLACING:
            settled[index] = _replacing(each, frame, whereabouts, draft)
        elif each.standing is Standing.MISPLACED:
            if _may_wait(each, frame, whereabouts, draft):
                patient.append(index)
            else:
                settled[index] = _stop(each, whereabouts, draft)
    budget = len(patient)
    if max_unavailable and not starts_first:
        budget = max(0, max_unavailable - sum(_is_down(each) for each in settled))
    for index in patient:
        holder = settled[index].holder
        assert holder is not None
        if starts_first and not is_not_repeated(holder, frame):
            version = 0 if frame.is_current(holder) else frame.own_version(holder.task)
            settled[index] = anew(settled[index], draft, start_first=True, version=version)
        elif budget > 0:
            budget -= 1
            settled[index] = _stop(settled[index], whereabouts, draft)


def _replacing(settled: Settled, frame: Frame, whereabouts: Whereabouts, draft: Draft) -> Settled:
    holder = settled.holder
    assert holder is not None
    if frame.stays(holder) or _may_wait(settled, frame, whereabouts, draft):
        return settled
    draft.stop(holder, eviction=whereabouts.objection(holder.task))
    return Settled(replica=settled.replica, standing=Standing.MOVING, need=settled.need)


def _may_wait(settled: Settled, frame: Frame, whereabouts: Whereabouts, draft: Draft) -> bool:
    """Whether there is something to lose by stopping it, and time to wait."""
    holder = settled.holder
    assert holder is not None
    deadline = whereabouts.deadline(holder.task)
    if not is_up(holder) or deadline <= frame.now:
        return False
    if deadline < inf:
        draft.wake(deadline)
    return True


def _stop(settled: Settled, whereabouts: Whereabouts, draft: Draft) -> Settled:
    holder = settled.holder
    assert holder is not None
    draft.stop(holder, eviction=whereabouts.objection(holder.task))
    return Settled(replica=settled.replica, standing=Standing.MOVING)


def _is_down(settled: Settled) -> bool:
    if settled.standing is Standing.OLD:
        return not is_up(settled.holder)
    return settled.standing in (Standing.MOVING, Standing.UNTRIED)
