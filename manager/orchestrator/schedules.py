"""Fire scheduled jobs: decide in the ledger which runs there are.

A firing is decided by writing it down. The ledger says up to which time the firings of which
schedule are decided, and the run stands in the same commit, so a firing never happens twice
whoever leads and whatever crashed, and clocks that disagree can only put it off. A schedule
that is new or was changed counts from the moment it is seen. A job without a schedule has one
run, with the number 0, that starts over with each version of the service.
"""

from collections import Counter
from collections.abc import Collection

from msgspec import structs

from swarm.objects import Ledger, Run, Service
from swarm.specs import Catchup, Concurrency, Schedule
from swarm.states import RunState
from swarm.timetables import due_between, next_after, read_timetable

PUNCTUAL_S = 30.0
"""How late a firing may be without having been missed."""
MOST_CAUGHT_UP = 100
"""How many firings are made up for at most."""


def begun(service: Service, ledger: Ledger, *, now: float) -> Ledger:
    """The ledger from which the service's runs can go on; runs of another kind are left out."""
    schedule = service.spec.schedule
    if schedule is None:
        return _with_single_run(service, ledger, now=now)
    numbered = tuple(run for run in ledger.runs if run.number)
    if ledger.schedule == signature(schedule):
        return structs.replace(ledger, runs=numbered) if numbered != ledger.runs else ledger
    return structs.replace(ledger, runs=numbered, schedule=signature(schedule), fired_until=now)


def fired(
    service: Service, ledger: Ledger, *, now: float, abandoned: Collection[int] = ()
) -> Ledger:
    """The ledger with all firings decided that are due; `begun` comes first.

    `abandoned` runs wait only for nodes that are down: the next firing gives them up.
    """
    schedule = service.spec.schedule
    if schedule is None or not (times := _due(schedule, ledger, now)):
        return ledger
    for due_at in _caught_up(schedule, times, now):
        ledger = fire(service, ledger, due_at=due_at, now=now, abandoned=abandoned)
    return structs.replace(ledger, fired_until=times[-1])


def fire(
    service: Service, ledger: Ledger, *, due_at: float, now: float, abandoned: Collection[int] = ()
) -> Ledger:
    """The ledger with one more run, which may end those that are under way, or be skipped."""
    schedule = service.spec.schedule
    assert schedule is not None
    runs = tuple(
        _ended(run, RunState.FAILED, now, run.message or "its nodes are down")
        if run.number in abandoned and run.state is RunState.RUNNING
        else run
        for run in ledger.runs
    )
    number = ledger.last_run + 1
    run = Run(number=number, due_at=due_at, started_at=now, spec_version=service.spec_version)
    going = [each.number for each in runs if each.state is RunState.RUNNING]
    if going and schedule.concurrency is Concurrency.FORBID:
        run = _ended(run, RunState.SKIPPED, now, f"run {going[-1]} was still going on")
    elif going and schedule.concurrency is Concurrency.REPLACE:
        replaced = f"run {number} took its place"
        runs = tuple(
            _ended(each, RunState.REPLACED, now, replaced) if each.number in going else each
            for each in runs
        )
    return structs.replace(ledger, runs=(*runs, run), last_run=number)


def without_history(schedule: Schedule | None, ledger: Ledger) -> Ledger:
    """The ledger without runs that ended too long ago; each way to end is counted by itself."""
    if schedule is None:
        return ledger
    kept: list[Run] = []
    counts: Counter[RunState] = Counter()
    for run in reversed(ledger.runs):
        counts[run.state] += 1
        if run.state is RunState.RUNNING or counts[run.state] <= _limit(schedule, run.state):
            kept.append(run)
    return structs.replace(ledger, runs=tuple(reversed(kept))) if counts else ledger


def next_firing(schedule: Schedule | None, ledger: Ledger | None) -> float | None:
    """When the schedule fires next, once it has begun to count."""
    if schedule is None or ledger is None or ledger.schedule != signature(schedule):
        return None
    return next_after(read_timetable(schedule.expression, schedule.timezone), ledger.fired_until)


def signature(schedule: Schedule) -> str:
    """What makes a schedule another one."""
    return f"{schedule.expression} {schedule.timezone or 'UTC'}"


def _with_single_run(service: Service, ledger: Ledger, *, now: float) -> Ledger:
    if [(run.number, run.spec_version) for run in ledger.runs] == [(0, service.spec_version)]:
        return ledger
    run = Run(number=0, due_at=now, started_at=now, spec_version=service.spec_version)
    return structs.replace(ledger, runs=(run,), schedule="", fired_until=0.0)


def _due(schedule: Schedule, ledger: Ledger, now: float) -> tuple[float, ...]:
    """The firings that are not decided yet, or the last of them."""
    table = read_timetable(schedule.expression, schedule.timezone)
    return due_between(table, ledger.fired_until, now, most=MOST_CAUGHT_UP)


def _caught_up(schedule: Schedule, times: tuple[float, ...], now: float) -> tuple[float, ...]:
    match schedule.catchup:
        case Catchup.LATEST:
            return times[-1:]
        case Catchup.NONE:
            return tuple(at for at in times if now - at <= PUNCTUAL_S)
        case Catchup.ALL:
            return times


def _ended(run: Run, state: RunState, now: float, message: str) -> Run:
    return structs.replace(run, state=state, ended_at=now, message=message)


def _limit(schedule: Schedule, state: RunState) -> int:
    return schedule.keep_completed if state is RunState.COMPLETE else schedule.keep_failed
