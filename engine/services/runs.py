"""Translate how many tasks a service has, and when.

A client that sends no mode at all leaves the one that is. Of schedules and autoscaling Docker knows
nothing: they stay as they are, unless a client speaks of them, and end with an empty one.
"""

from engine.services.words import nanoseconds, read_word, seconds, word
from engine.wire.services import (
    AutoscaleJson,
    ModeJson,
    ReplicatedJobJson,
    ReplicatedJson,
    ScheduleJson,
)
from swarm.errors import Invalid
from swarm.specs import (
    Autoscale,
    Catchup,
    Concurrency,
    Global,
    GlobalJob,
    Mode,
    Replicated,
    ReplicatedJob,
    Schedule,
)

_SCHEDULE, _AUTOSCALE = Schedule(), Autoscale()


def read_mode(path: str, asked: ModeJson | None, before: Mode) -> Mode:
    """The mode that a client asks for."""
    asked = asked or ModeJson()
    modes: list[Mode] = []
    if (replicated := asked.replicated) is not None:
        wanted = replicated.replicas
        modes.append(Replicated(replicas=1 if wanted is None else wanted))
    if asked.global_ is not None:
        modes.append(Global())
    if (job := asked.replicated_job) is not None:
        at_once = 1 if job.max_concurrent is None else job.max_concurrent
        total = job.total_completions
        modes.append(
            ReplicatedJob(max_concurrent=at_once, total=at_once if total is None else total)
        )
    if asked.global_job is not None:
        modes.append(GlobalJob())
    if len(modes) > 1:
        raise Invalid(f"{path}: must specify only one service mode")
    return modes[0] if modes else before


def write_mode(mode: Mode) -> ModeJson:
    """A mode as Docker's clients read it."""
    match mode:
        case Replicated(replicas=replicas):
            return ModeJson(replicated=ReplicatedJson(replicas=replicas))
        case Global():
            return ModeJson(global_={})
        case ReplicatedJob(max_concurrent=at_once, total=total):
            job = ReplicatedJobJson(max_concurrent=at_once, total_completions=total)
            return ModeJson(replicated_job=job)
        case GlobalJob():
            return ModeJson(global_job={})


def read_schedule(
    path: str, asked: ScheduleJson | None, before: Schedule | None
) -> Schedule | None:
    """When a client wants a job to run."""
    if asked is None:
        return before
    if not asked.expression:
        return None
    completed, failed = asked.keep_completed, asked.keep_failed
    return Schedule(
        expression=asked.expression,
        timezone=asked.timezone,
        catchup=read_word(f"{path}.Catchup", asked.catchup, Catchup, _SCHEDULE.catchup),
        concurrency=read_word(
            f"{path}.Concurrency", asked.concurrency, Concurrency, _SCHEDULE.concurrency
        ),
        keep_completed=_SCHEDULE.keep_completed if completed is None else completed,
        keep_failed=_SCHEDULE.keep_failed if failed is None else failed,
    )


def write_schedule(schedule: Schedule | None) -> ScheduleJson | None:
    """When a job runs."""
    if schedule is None:
        return None
    return ScheduleJson(
        expression=schedule.expression,
        timezone=schedule.timezone,
        catchup=word(schedule.catchup),
        concurrency=word(schedule.concurrency),
        keep_completed=schedule.keep_completed,
        keep_failed=schedule.keep_failed,
    )


def read_autoscale(asked: AutoscaleJson | None, before: Autoscale | None) -> Autoscale | None:
    """How a client wants the number of replicas to follow their use."""
    if asked is None:
        return before
    if not asked.max:
        return None
    up, down = asked.up_window, asked.down_window
    return Autoscale(
        least=asked.min,
        most=asked.max,
        cpu_percent=asked.cpu_percent,
        memory_percent=asked.memory_percent,
        query=asked.query,
        target=asked.target,
        up_window_s=_AUTOSCALE.up_window_s if up is None else seconds(up),
        down_window_s=_AUTOSCALE.down_window_s if down is None else seconds(down),
    )


def write_autoscale(wish: Autoscale | None) -> AutoscaleJson | None:
    """How the number of replicas follows their use."""
    if wish is None:
        return None
    return AutoscaleJson(
        min=wish.least,
        max=wish.most,
        cpu_percent=wish.cpu_percent,
        memory_percent=wish.memory_percent,
        query=wish.query,
        target=wish.target,
        up_window=nanoseconds(wish.up_window_s),
        down_window=nanoseconds(wish.down_window_s),
    )
