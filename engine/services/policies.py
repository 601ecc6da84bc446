"""Translate how tasks are restarted and how a service is rolled out.

What a client leaves out means what it means to Docker: without a policy our defaults, which are
Docker's own; in a policy without a parallelism all at once, and without a time to watch new tasks
five seconds. Where a service watches for no time at all, which Docker's API cannot say, a client
that sends that back leaves it so.
"""

from msgspec import structs

from engine.services.words import nanoseconds, read_word, seconds, word
from engine.wire.services import PolicyJson, RestartPolicyJson
from swarm.specs import (
    FailureAction,
    RestartCondition,
    RestartPolicy,
    UpdateOrder,
    UpdatePolicy,
)

_RESTART, _UPDATE = RestartPolicy(), UpdatePolicy()


def read_restart(
    path: str, asked: RestartPolicyJson | None, before: RestartPolicy
) -> RestartPolicy:
    """The restart policy that a client asks for."""
    asked = asked or RestartPolicyJson()
    delay, window = asked.delay, asked.window
    return structs.replace(
        before,
        condition=read_word(
            f"{path}.Condition", asked.condition, RestartCondition, RestartCondition.ANY
        ),
        delay_s=_RESTART.delay_s if delay is None else seconds(delay),
        max_attempts=asked.max_attempts or 0,
        window_s=0.0 if window is None else seconds(window),
        max_delay_s=before.max_delay_s if asked.max_delay is None else seconds(asked.max_delay),
    )


def write_restart(policy: RestartPolicy, *, defaults: bool) -> RestartPolicyJson | None:
    """A restart policy as Docker's clients read it; None when it is the default."""
    if policy == _RESTART and not defaults:
        return None
    return RestartPolicyJson(
        condition=word(policy.condition),
        delay=nanoseconds(policy.delay_s),
        max_attempts=policy.max_attempts,
        window=nanoseconds(policy.window_s),
        max_delay=nanoseconds(policy.max_delay_s) or None,
    )


def read_policy(path: str, asked: PolicyJson | None, before: UpdatePolicy) -> UpdatePolicy:
    """How a client wants updates, or rollbacks, to go."""
    if asked is None:
        return structs.replace(_UPDATE, canary=before.canary)
    monitor_s = seconds(asked.monitor)
    if not monitor_s and before.monitor_s:
        monitor_s = _UPDATE.monitor_s
    return structs.replace(
        before,
        parallelism=asked.parallelism or 0,
        delay_s=seconds(asked.delay),
        order=read_word(f"{path}.Order", asked.order or "", UpdateOrder, UpdateOrder.STOP_FIRST),
        monitor_s=monitor_s,
        max_failure_ratio=asked.max_failure_ratio or 0.0,
        failure_action=read_word(
            f"{path}.FailureAction", asked.failure_action, FailureAction, FailureAction.PAUSE
        ),
        canary=before.canary if asked.canary is None else asked.canary,
    )


def write_policy(policy: UpdatePolicy, *, defaults: bool) -> PolicyJson | None:
    """How updates or rollbacks go, as Docker's clients read it; None when it is the default."""
    if policy == _UPDATE and not defaults:
        return None
    return PolicyJson(
        parallelism=policy.parallelism,
        delay=nanoseconds(policy.delay_s),
        failure_action=word(policy.failure_action),
        monitor=nanoseconds(policy.monitor_s),
        max_failure_ratio=policy.max_failure_ratio,
        order=word(policy.order),
        canary=policy.canary or None,
    )
