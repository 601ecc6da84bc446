"""Turn the flags of updates, rollbacks, restarts and schedules into a service's policies."""

from enum import IntEnum
from typing import TypeVar

from swarm.errors import Invalid
from swarm.specs import (
    Catchup,
    Concurrency,
    FailureAction,
    RestartCondition,
    RestartPolicy,
    Schedule,
    ServiceSpec,
    UpdateOrder,
    UpdatePolicy,
)
from swarmctl.edits import with_given
from swarmctl.flags import ServiceFlags

E = TypeVar("E", bound=IntEnum)


def with_rollouts(spec: ServiceSpec, flags: ServiceFlags) -> tuple[UpdatePolicy, UpdatePolicy]:
    """How the service is updated and rolled back; a job is neither."""
    update = with_given(
        spec.update,
        parallelism=flags.update_parallelism,
        delay_s=flags.update_delay,
        order=chosen("--update-order", UpdateOrder, flags.update_order),
        monitor_s=flags.update_monitor,
        max_failure_ratio=flags.update_max_failure_ratio,
        failure_action=chosen(
            "--update-failure-action", FailureAction, flags.update_failure_action
        ),
        canary=flags.update_canary,
    )
    rollback = with_given(
        spec.rollback,
        parallelism=flags.rollback_parallelism,
        delay_s=flags.rollback_delay,
        order=chosen("--rollback-order", UpdateOrder, flags.rollback_order),
        monitor_s=flags.rollback_monitor,
        max_failure_ratio=flags.rollback_max_failure_ratio,
        failure_action=chosen(
            "--rollback-failure-action", FailureAction, flags.rollback_failure_action
        ),
    )
    if spec.is_job and _names_a_rollout(flags):
        raise Invalid(
            "--update-* and --rollback-* are not for jobs, whose new versions start over",
            hint="leave them out",
        )
    return update, rollback


def with_restarts(spec: ServiceSpec, flags: ServiceFlags, *, is_new: bool) -> RestartPolicy:
    """What becomes of tasks that end; those of a job are to end, so only failures count."""
    condition = chosen("--restart-condition", RestartCondition, flags.restart_condition)
    if spec.is_job and condition is RestartCondition.ANY:
        raise Invalid(
            "--restart-condition any would repeat a job for ever", hint="use on-failure or none"
        )
    if spec.is_job and is_new and condition is None:
        condition = RestartCondition.ON_FAILURE
    return with_given(
        spec.task.restart,
        condition=condition,
        delay_s=flags.restart_delay,
        max_attempts=flags.restart_max_attempts,
        window_s=flags.restart_window,
        max_delay_s=flags.restart_max_delay,
    )


def with_schedule(spec: ServiceSpec, flags: ServiceFlags) -> Schedule | None:
    """When the job runs."""
    given: dict[str, object] = {
        "expression": flags.schedule,
        "timezone": flags.schedule_timezone,
        "catchup": chosen("--schedule-catchup", Catchup, flags.schedule_catchup),
        "concurrency": chosen("--schedule-concurrency", Concurrency, flags.schedule_concurrency),
        "keep_completed": flags.schedule_keep,
        "keep_failed": flags.schedule_keep_failed,
    }
    if all(each is None for each in given.values()):
        return spec.schedule
    if spec.schedule is None and flags.schedule is None:
        raise Invalid(
            "--schedule-* flags refine a schedule, and there is none",
            hint='give one, like --schedule "*/5 * * * *"',
        )
    if not spec.is_job:
        raise Invalid(
            "--schedule is for jobs, which end by themselves",
            hint="use --mode replicated-job or global-job",
        )
    return with_given(spec.schedule or Schedule(), **given)


def chosen(flag: str, kind: type[E], text: str | None) -> E | None:
    """The member that `text` names, such as `start-first`."""
    if text is None:
        return None
    try:
        return kind[text.upper().replace("-", "_")]
    except KeyError as err:
        names = ", ".join(each.name.lower().replace("_", "-") for each in kind)
        raise Invalid(f"{flag} {text!r} is unknown", hint=f"there are {names}") from err


def _names_a_rollout(flags: ServiceFlags) -> bool:
    return any(
        getattr(flags, name) is not None
        for name in flags.__struct_fields__
        if name.startswith(("update_", "rollback_"))
    )
