"""Judge how a service is rolled out, restarted, scheduled and scaled."""

import math
from collections.abc import Iterator

from swarm.checking.basics import Problem, count, duration, ratio, readable, replicas
from swarm.specs import (
    Autoscale,
    FailureAction,
    Replicated,
    RestartPolicy,
    Schedule,
    ServiceSpec,
    UpdatePolicy,
)

_NO_POLICY = UpdatePolicy()


def rollouts(spec: ServiceSpec) -> Iterator[Problem]:
    """How updates and rollbacks go; a job has neither, since it begins again."""
    for path, policy in (("update", spec.update), ("rollback", spec.rollback)):
        if spec.is_job and policy != _NO_POLICY:
            yield path, "a job has no updates that are rolled out: a new version starts over"
            continue
        yield from _policy(path, policy)
    if spec.rollback.failure_action is FailureAction.ROLLBACK:
        yield "rollback.failure_action", "a rollback cannot be rolled back; use pause or continue"
    if spec.rollback.canary:
        yield "rollback.canary", "a rollback has no canaries"


def restarts(policy: RestartPolicy) -> Iterator[Problem]:
    """When and how often ended tasks are replaced."""
    yield from duration("task.restart.delay_s", policy.delay_s)
    yield from duration("task.restart.max_delay_s", policy.max_delay_s)
    yield from duration("task.restart.window_s", policy.window_s)
    yield from count("task.restart.max_attempts", policy.max_attempts)
    if 0 < policy.max_delay_s < policy.delay_s:
        yield (
            "task.restart.max_delay_s",
            f"{policy.max_delay_s:g} s is less than the first delay of {policy.delay_s:g} s",
        )


def schedule(spec: ServiceSpec) -> Iterator[Problem]:
    """When a job runs by itself."""
    plan = spec.schedule
    if plan is None:
        return
    if not spec.is_job:
        yield "schedule", "belongs to jobs; use mode replicated-job or global-job"
    yield from _expression(plan)
    yield from count("schedule.keep_completed", plan.keep_completed)
    yield from count("schedule.keep_failed", plan.keep_failed)


def autoscale(spec: ServiceSpec) -> Iterator[Problem]:
    """How the number of replicas follows their use."""
    wish = spec.autoscale
    if wish is None:
        return
    if not isinstance(spec.mode, Replicated):
        yield "autoscale", "is for replicated services"
    yield from replicas("autoscale.least", wish.least, least=1)
    yield from replicas("autoscale.most", wish.most, least=1)
    if 1 <= wish.most < wish.least:
        yield "autoscale.most", f"{wish.most} is less than the least, {wish.least}; give a range"
    yield from _targets(spec, wish)
    yield from duration("autoscale.up_window_s", wish.up_window_s)
    yield from duration("autoscale.down_window_s", wish.down_window_s)


def _policy(path: str, policy: UpdatePolicy) -> Iterator[Problem]:
    yield from count(f"{path}.parallelism", policy.parallelism)
    yield from count(f"{path}.canary", policy.canary)
    yield from duration(f"{path}.delay_s", policy.delay_s)
    yield from duration(f"{path}.monitor_s", policy.monitor_s)
    yield from ratio(f"{path}.max_failure_ratio", policy.max_failure_ratio)


def _expression(plan: Schedule) -> Iterator[Problem]:
    # A command line that sets no schedule does not pay for the libraries that read one.
    from swarm.timetables import read_timetable, read_zone

    if plan.expression:
        yield from readable("schedule.expression", read_timetable, plan.expression)
    else:
        yield "schedule.expression", "must not be empty; --no-schedule runs an existing job once"
    yield from readable("schedule.timezone", read_zone, plan.timezone)


def _targets(spec: ServiceSpec, wish: Autoscale) -> Iterator[Problem]:
    named = {
        "cpu_percent": wish.cpu_percent,
        "memory_percent": wish.memory_percent,
        "target": wish.target,
    }
    for name, number in named.items():
        if not math.isfinite(number) or number < 0:
            yield f"autoscale.{name}", f"{number:g} is not a number from 0 up"
    if not any(named.values()):
        yield "autoscale", "has no target: give cpu, memory or prometheus"
    if bool(wish.query) is not bool(wish.target):
        yield "autoscale.query", "needs a target above 0, and a target needs a query"
    limits, reserved = spec.task.limits, spec.task.reservations
    if wish.memory_percent and not (limits.memory_bytes or reserved.memory_bytes):
        yield (
            "autoscale.memory_percent",
            "is a share of the task's reservation or limit of memory, and it has neither",
        )
