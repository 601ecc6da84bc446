"""Decide whether an attempt that ended by itself is followed by another, and when.

The restart policy counts from the end of the attempt, so asking again later gives the same
answer. A short delay is honoured for what fails now and then, but not for what fails at
once each time: from the third end in a row that comes within a second of its start, the
delay grows from a tenth of a second up to five. One killed process is thus replaced at
once, and a crash loop costs next to nothing. An attempt that lasts longer starts over.

With a longest delay the delay doubles with each end in a row, from the first on. There an
attempt has to last as long as the longest delay to start over: what crashes once a minute is
a loop as well.
"""

from itertools import pairwise

from msgspec import Struct

from swarm.objects import Task
from swarm.specs import RestartCondition, RestartPolicy
from swarm.states import TaskState

FLOORS_S = (0.0, 0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0)
"""The least delay after so many fast ends in a row."""
FAST_S = 1.0
"""An attempt that ended within this time of its start ended fast."""
LEAST_GROWING_S = 0.1
"""What a delay of none grows from."""
REMEMBERED = 20
"""How many earlier ends a task carries at least, if there were so many."""


class Again(Struct, frozen=True):
    """Another attempt is due `at`; it carries `restarts`, the ends of those before it."""

    at: float
    restarts: tuple[float, ...]


class Never(Struct, frozen=True):
    """No other attempt will follow; `done` when that is because the last one did well."""

    done: bool


def after_end(
    policy: RestartPolicy, task: Task, state: TaskState, ended_at: float
) -> Again | Never:
    """What follows an attempt that ended by itself in `state`."""
    done = state is TaskState.COMPLETE
    if policy.condition is RestartCondition.NONE:
        return Never(done)
    if policy.condition is RestartCondition.ON_FAILURE and done:
        return Never(done)
    if 0 < policy.max_attempts <= _counted(policy, task, ended_at):
        return Never(done=False)
    ends = (*task.restarts, ended_at)
    delay = max(_grown_s(policy, ends), floor_s(ends, delay_s=policy.delay_s))
    return Again(ended_at + delay, ends[-max(REMEMBERED, policy.max_attempts) :])


def next_try(policy: RestartPolicy, task: Task, state: TaskState, ended_at: float) -> float | None:
    """When the attempt after this one is due, as far as the policy decides; None for never."""
    following = after_end(policy, task, state, ended_at)
    return following.at if isinstance(following, Again) else None


def floor_s(ends: tuple[float, ...], *, delay_s: float) -> float:
    """The least delay after attempts that ended at these times, oldest first.

    A history that is as long as it is kept stands for a longer one, so it starts at the
    highest floor; the first attempt that lasted brings it down.
    """
    last = len(FLOORS_S) - 1
    fast = last if len(ends) > REMEMBERED else 0
    for before, at in pairwise(ends):
        waited = max(delay_s, FLOORS_S[fast])
        fast = min(fast + 1, last) if at - before < waited + FAST_S else 0
    return FLOORS_S[fast]


def _grown_s(policy: RestartPolicy, ends: tuple[float, ...]) -> float:
    """The policy's delay after these ends, oldest first: doubled for each in a row."""
    longest = policy.max_delay_s
    if longest <= 0:
        return policy.delay_s
    row = len(ends) if len(ends) > REMEMBERED else 1
    for before, at in pairwise(ends):
        lasted = at - before - _in_row_s(policy, row)
        row = 1 if lasted >= longest else row + 1
    return _in_row_s(policy, row)


def _in_row_s(policy: RestartPolicy, row: int) -> float:
    if row == 1:
        return min(policy.delay_s, policy.max_delay_s)
    first = max(policy.delay_s, LEAST_GROWING_S)
    return min(first * 2.0 ** min(row - 1, 64), policy.max_delay_s)


def _counted(policy: RestartPolicy, task: Task, ended_at: float) -> int:
    """How many restarts count against the policy's bound."""
    if policy.window_s <= 0:
        return len(task.restarts)
    return sum(ended_at - at <= policy.window_s for at in task.restarts)
