"""Go on with one run of a global job: once to a good end on every node that admits it.

What a node has done is known by the task that did it, which stays as long as the node does.
A node that is down is not waited for: a run ends without it, unless it comes back before. A
node that joins later is part of the run of a job without a schedule, and of the next firing
of one that has a schedule.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable

from msgspec import structs

from manager.orchestrator.attempts import Attempt, Phase, in_order
from manager.orchestrator.draft import Draft, Opening, Wait
from manager.orchestrator.job_slots import Round
from manager.orchestrator.reaping import trim
from manager.orchestrator.trying import Need, Outcome, Rules, Trial, pursue
from swarm.ids import NodeId, TaskId
from swarm.objects import Run
from swarm.states import RunState, TaskState


def go_around(
    attempts: Iterable[Attempt],
    admitted: frozenset[NodeId],
    rules: Rules,
    draft: Draft,
    *,
    limit: int,
    is_held: bool,
) -> Round:
    """Look at every node of a run once; no node is begun with while the run `is_held`."""
    waiting, by_node = _by_node(attempts)
    counts: Counter[Outcome] = Counter()
    openings: list[Opening] = []
    spoiled: Attempt | None = None
    for node_id in sorted(admitted | by_node.keys()):
        own = by_node.get(node_id, [])
        if node_id in admitted and (own or not is_held):
            trial = pursue(own, rules, draft, node_id=node_id)
        elif node_id in admitted:
            trial = Trial(outcome=Outcome.BUSY)
        else:
            trial = _unadmitted(own, rules, draft)
        counts[trial.outcome] += 1
        if trial.need is not None:
            openings.append(trial.need.opening)
        if trial.outcome is Outcome.FAILED:
            spoiled = spoiled or trial.last
        _forget(own, draft, limit=limit)
    return Round(
        run=_judged(rules.run, counts, draft.now),
        needs=_recognised(openings, waiting, draft),
        is_abandoned=bool(counts[Outcome.AWAY]) and not counts[Outcome.BUSY],
        spoiled=spoiled,
    )


def _by_node(
    attempts: Iterable[Attempt],
) -> tuple[dict[TaskId, Attempt], dict[NodeId, list[Attempt]]]:
    waiting: dict[TaskId, Attempt] = {}
    by_node: defaultdict[NodeId, list[Attempt]] = defaultdict(list)
    for each in attempts:
        if each.phase is Phase.WAITING:
            waiting[each.task.id] = each
        else:
            by_node[each.task.node_id].append(each)
    return waiting, {node_id: in_order(own) for node_id, own in by_node.items()}


def _unadmitted(own: list[Attempt], rules: Rules, draft: Draft) -> Trial:
    """Nothing starts here; what runs may end if it may stay."""
    if any(each.phase in (Phase.LIVE, Phase.LEAVING) for each in own):
        trial = pursue(own, rules, draft)
        return structs.replace(trial, need=None)
    return Trial(outcome=Outcome.DONE if _is_done(own) else Outcome.AWAY)


def _is_done(own: list[Attempt]) -> bool:
    return any(each.state is TaskState.COMPLETE for each in own)


def _judged(run: Run, counts: Counter[Outcome], now: float) -> Run:
    done, failed, busy = counts[Outcome.DONE], counts[Outcome.FAILED], counts[Outcome.BUSY]
    run = structs.replace(run, total=done + failed + busy, completed=done)
    if busy or not (done or failed):
        return structs.replace(run, state=RunState.RUNNING, ended_at=0.0)
    state = RunState.FAILED if failed else RunState.COMPLETE
    return structs.replace(run, state=state, ended_at=run.ended_at or now)


def _recognised(
    openings: Iterable[Opening], waiting: dict[TaskId, Attempt], draft: Draft
) -> tuple[Need, ...]:
    """The openings, or the tasks that wait for just that: those have their ids."""
    needs: list[Need] = []
    for opening in openings:
        found = waiting.pop(draft.name_of(opening), None)
        waits = Wait(task=found.task) if found is not None else None
        needs.append(Need(opening=opening, waiting=waits))
    for attempt in waiting.values():
        draft.remove(attempt)
    return tuple(needs)


def _forget(own: list[Attempt], draft: Draft, *, limit: int) -> None:
    """Forget but the latest: what follows may have to wait, and then does not bear the node."""
    for each in own:
        if each.phase is Phase.GONE:
            draft.remove(each)
    if len(own) > 1:
        # The attempt that came to a good end is the last to go, whatever came after it.
        own.sort(key=lambda each: each.state is TaskState.COMPLETE)
        trim(own, limit, draft, is_opened=False)
