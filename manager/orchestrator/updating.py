"""Roll a new version out, a few replicas at a time.

Whoever is between two attempts, not proven yet or failing takes one of the `parallelism`
places until its new task has been up for a moment: so a version that does not come up, or
crashes at once, stops its own rollout after that many replicas. Replicas without a running
attempt go first, because nothing is lost with them, and while there are some that may not
be replaced now, none that runs is stopped either. A replica that never had a node takes no
place; neither does one whose node is down, nor one whose failure is put up with.
"""

from collections.abc import Iterable, Sequence

from manager.orchestrator.attempts import Phase
from manager.orchestrator.draft import Draft
from manager.orchestrator.replicas import Settled, Standing, anew, is_up
from manager.orchestrator.rollout import Course
from swarm.ids import NodeId

_AWAITED = (Phase.WAITING, Phase.LOST)


def roll(settled: list[Settled], course: Course, draft: Draft) -> None:
    """Replace as many replicas of earlier versions as may be replaced now, in place."""
    old = [index for index, each in enumerate(settled) if each.standing is Standing.OLD]
    if not old or draft.hold or not course.may_replace:
        return
    places = (course.policy.parallelism or len(settled)) - _taken(settled, course, draft)
    if course.canaries:
        places = min(places, course.canaries - _moved(settled, course))
    if places <= 0:
        return
    ready_at = _given_back_at(settled, course) + course.policy.delay_s
    if course.policy.delay_s > 0 and draft.now < ready_at:
        draft.wake(ready_at)
        return
    old.sort(key=lambda index: _least_loss_first(settled[index]))
    for index in old[:places]:
        settled[index] = anew(settled[index], draft, start_first=course.start_first)


def _taken(settled: Iterable[Settled], course: Course, draft: Draft) -> int:
    """How many places are taken; asks to be called again when one is given back by time."""
    taken = 0
    for each in settled:
        match each.standing:
            case Standing.MOVING | Standing.REPLACING:
                taken += not course.has_failed(each)
            case Standing.UP | Standing.MISPLACED:
                proven_at = _new_since(each, course.service.spec_version) + course.proven_s
                if draft.now < proven_at:
                    taken += 1
                    draft.wake(proven_at)
            case _:
                pass
    return taken


def _new_since(settled: Settled, version: int) -> float:
    """Since when its new task is up, wherever it may stay; 0 where it has none."""
    holder = settled.holder
    if holder is not None and holder.task.spec_version == version:
        return holder.up_at
    return settled.up_since


def _moved(settled: Iterable[Settled], course: Course) -> int:
    """How many replicas have left the earlier version, wherever their tasks may stay."""
    return sum(not _stays_behind(each, course.service.spec_version) for each in settled)


def _stays_behind(settled: Settled, version: int) -> bool:
    last = settled.replica.attempts[-1] if settled.replica.attempts else None
    is_new = last is not None and last.task.spec_version == version
    if settled.standing in (Standing.AWAY, Standing.MISPLACED):
        return not is_new
    # The new task of one that is in doubt waits for a node, or is lost, until the doubt is over.
    is_awaited = is_new and last is not None and last.is_wanted and last.phase in _AWAITED
    return settled.standing is Standing.OLD and not is_awaited


def _given_back_at(settled: Sequence[Settled], course: Course) -> float:
    """When the last place was given back in this rollout."""
    began_at = course.rollout.started_at if course.rollout is not None else 0.0
    latest = 0.0
    for each in settled:
        if each.standing is Standing.UP and each.up_since >= began_at:
            latest = max(latest, each.up_since + course.proven_s)
        elif each.replica.attempts and course.has_failed(each):
            latest = max(latest, each.replica.attempts[-1].at)
    return latest


def _least_loss_first(settled: Settled) -> tuple[bool, bool, int, NodeId]:
    holder = settled.holder
    assert holder is not None
    return is_up(holder), holder.unsure, settled.replica.slot, settled.replica.node_id
