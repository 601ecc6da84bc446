"""Go on with one run of a replicated job: slots in order, so many at a time.

A slot takes a place from its first attempt until it is over, the pauses between its attempts
included, so a job that cannot work fails in its first slots and leaves the others alone. What
is over is written in the run, in the commit that sees it, and is never asked of tasks again:
of a large job most are forgotten, and planning looks at what runs and the latest ends.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import islice

from msgspec import Struct, structs

from manager.orchestrator.attempts import Attempt, Phase, in_order
from manager.orchestrator.draft import Draft, Opening
from manager.orchestrator.reaping import YOUNG_S, dismiss, placed_ones, trim
from manager.orchestrator.spans import Spans, contain, count_until, merged, missing, with_slots
from manager.orchestrator.trying import Need, Outcome, Rules, pursue, wind_up
from swarm.objects import Run
from swarm.specs import ReplicatedJob
from swarm.states import RunState

KEPT_ENDS = 1000
"""How many tasks of slots that are over a run keeps."""


class Round(Struct, frozen=True, kw_only=True):
    """A run after it was looked at, and what has to start for it.

    `is_abandoned` when nothing of it runs or will, but for nodes that are down. `spoiled` is
    the attempt after which a slot or node was newly given up.
    """

    run: Run
    needs: tuple[Need, ...] = ()
    is_abandoned: bool = False
    spoiled: Attempt | None = None


def go_on(
    attempts: Iterable[Attempt],
    mode: ReplicatedJob,
    rules: Rules,
    draft: Draft,
    *,
    limit: int,
    is_held: bool,
) -> Round:
    """Look at every slot of a run once; no slot is begun while the run `is_held`."""
    run = rules.run
    slots = _slots(attempts)
    over = merged(run.done, run.failed)
    outcomes: defaultdict[Outcome, list[int]] = defaultdict(list)
    needs: list[Need] = []
    spoiled: Attempt | None = None
    for slot in sorted(slots):
        own = slots[slot]
        if contain(over, slot):
            wind_up(own, draft)
            continue
        trial = pursue(own, rules, draft, slot=slot)
        if slot > mode.total and trial.outcome is not Outcome.DONE:
            dismiss(own, draft)
            continue
        outcomes[trial.outcome].append(slot)
        if trial.need is not None:
            needs.append(trial.need)
        if trial.outcome is Outcome.FAILED:
            wind_up(own, draft)
            spoiled = spoiled or trial.last
    done, failed = outcomes[Outcome.DONE], outcomes[Outcome.FAILED]
    run = structs.replace(
        run, done=with_slots(run.done, done), failed=with_slots(run.failed, failed)
    )
    over = merged(run.done, run.failed)
    begun = {*outcomes[Outcome.BUSY], *outcomes[Outcome.AWAY]}
    if not is_held:
        needs += _next_slots(over, begun, mode, run)
    opened = {need.opening.slot for need in needs if need.waiting is None}
    _forget(slots, over, opened, draft, limit=limit)
    return Round(
        run=_judged(run, over, mode, draft.now),
        needs=tuple(needs),
        is_abandoned=bool(outcomes[Outcome.AWAY]) and not (needs or outcomes[Outcome.BUSY]),
        spoiled=spoiled,
    )


def _slots(attempts: Iterable[Attempt]) -> dict[int, list[Attempt]]:
    slots: defaultdict[int, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        slots[attempt.task.slot].append(attempt)
    return {slot: in_order(own) for slot, own in slots.items()}


def _next_slots(over: Spans, begun: set[int], mode: ReplicatedJob, run: Run) -> list[Need]:
    """The slots to begin with now, so that no more than may are under way."""
    places = (mode.max_concurrent or mode.total) - len(begun)
    free = (slot for slot in missing(over, mode.total) if slot not in begun)
    return [
        Need(opening=Opening(slot=slot, run=run.number, version=run.spec_version))
        for slot in islice(free, max(0, places))
    ]


def _judged(run: Run, over: Spans, mode: ReplicatedJob, now: float) -> Run:
    """The run with its counts, over when no slot is left."""
    completed = count_until(run.done, mode.total)
    run = structs.replace(run, total=mode.total, completed=completed)
    if count_until(over, mode.total) < mode.total:
        return structs.replace(run, state=RunState.RUNNING, ended_at=0.0)
    state = RunState.COMPLETE if completed >= mode.total else RunState.FAILED
    return structs.replace(run, state=state, ended_at=run.ended_at or now)


def _forget(
    slots: Mapping[int, list[Attempt]],
    over: Spans,
    opened: set[int],
    draft: Draft,
    *,
    limit: int,
) -> None:
    """Forget old attempts of slots that go on, and all but the latest of those that are over."""
    ends: list[Attempt] = []
    for slot, own in slots.items():
        is_over, is_opened = contain(over, slot), slot in opened
        placed = placed_ones(own, draft)
        for each in placed if is_over else placed[:-1]:
            if each.phase is Phase.GONE:
                draft.remove(each)
        if len(own) > 1 or is_opened:
            trim(own, limit, draft, is_opened=is_opened)
        if is_over:
            ends += (each for each in own if each.phase is Phase.ENDED)
    if len(ends) > KEPT_ENDS:
        ends.sort(key=lambda each: (each.at, each.task.id))
        _drop(ends[: len(ends) - KEPT_ENDS], draft)


def _drop(ends: Iterable[Attempt], draft: Draft) -> None:
    for each in ends:
        forgettable_at = each.task.created_at + YOUNG_S
        if forgettable_at <= draft.now:
            draft.remove(each)
        else:
            draft.wake(forgettable_at)
