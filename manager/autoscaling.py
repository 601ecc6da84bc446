"""Decide how many replicas a service's use calls for.

Each metric proposes ceil(tasks * use / target), and the largest proposal wins; within a tenth
of the target nothing changes, or the count would swing for ever between two neighbours. A task
that nothing is known of yet (it is starting, or its node was silent) counts as idle when the
others call for more and as fully busy when they call for less: ignorance never moves the count.
For the same reason a metric that cannot be read forbids shrinking, but not growing.

Then time has a say. Growing takes the least that was proposed in `up_window_s`, shrinking the
most in `down_window_s`; whoever begins to watch begins with the count that it found, so a new
leader waits a whole window before it shrinks anything.
"""

from collections.abc import Iterator, Sequence
from math import ceil

from msgspec import Struct, structs

from swarm.objects import Ledger
from swarm.specs import Autoscale, TaskSpec

TOLERANCE = 0.1
"""How far from its target a use may be without anything being changed."""
WHOLE_CORE_MILLIS = 1000
CANNOT = "cannot scale: "
"""How the message of a service begins whose metrics cannot be read."""

History = tuple[tuple[float, int], ...]
"""What was proposed when, oldest first."""


class Load(Struct, frozen=True, kw_only=True):
    """What one task uses, `None` where nobody knows; `cpu_percent` is of one core."""

    cpu_percent: float | None = None
    memory_bytes: int | None = None
    is_up: bool = True


class Measured(Struct, frozen=True, kw_only=True):
    """What is known of a service: its tasks, and the answer to its query or why there is none."""

    loads: tuple[Load, ...] = ()
    answer: float | None = None
    problem: str = ""


class Scaling(Struct, frozen=True, kw_only=True):
    """How many replicas there should be and why; pass `history` to the next decision."""

    replicas: int
    message: str
    history: History


class _Proposal(Struct, frozen=True):
    """What one metric calls for, `None` when it cannot be told."""

    replicas: int | None
    reason: str


def desired(
    policy: Autoscale,
    task: TaskSpec,
    measured: Measured,
    *,
    replicas: int,
    now: float,
    history: History,
) -> Scaling:
    """How many replicas to have, when there are to be `replicas` at present."""
    proposals = tuple(_proposals(policy, task, measured, replicas))
    proposed, reason = _largest(proposals, replicas)
    within = min(max(proposed, policy.least), policy.most)
    kept = max(policy.up_window_s, policy.down_window_s)
    past = tuple(each for each in history or ((now, replicas),) if each[0] > now - kept)
    settled = _stabilised(policy, within, replicas=replicas, now=now, past=past)
    return Scaling(
        replicas=settled,
        message=_message(policy, settled, proposed, reason, replicas=replicas),
        history=(*past, (now, within)),
    )


def remembered(ledger: Ledger, scaling: Scaling, *, now: float) -> Ledger | None:
    """The ledger with this decision in it, or `None` when it says so already.

    The count is written when it changes, and a message when reading the metrics begins or
    ceases to be possible: a message that follows every sample would be a write each time.
    """
    is_changed = scaling.replicas != ledger.replicas
    was_blind, is_blind = (
        each.startswith(CANNOT) for each in (ledger.scale_message, scaling.message)
    )
    is_new_blindness = is_blind and scaling.message != ledger.scale_message
    if not is_changed and not is_new_blindness and was_blind == is_blind:
        return None
    return structs.replace(
        ledger,
        replicas=scaling.replicas,
        scaled_at=now if is_changed else ledger.scaled_at,
        scale_message=scaling.message,
    )


def _proposals(
    policy: Autoscale, task: TaskSpec, measured: Measured, replicas: int
) -> Iterator[_Proposal]:
    if policy.cpu_percent > 0:
        millis = task.reservations.cpu_millis or task.limits.cpu_millis or WHOLE_CORE_MILLIS
        uses = [
            None if each.cpu_percent is None else each.cpu_percent * 1000.0 / millis
            for each in _padded(measured.loads, replicas)
        ]
        yield _by_share("cpu", uses, policy.cpu_percent, replicas)
    if policy.memory_percent > 0:
        memory = task.reservations.memory_bytes or task.limits.memory_bytes
        if memory <= 0:
            yield _Proposal(None, "its tasks neither reserve memory nor have a limit of it")
        else:
            shares = [
                None if each.memory_bytes is None else 100.0 * each.memory_bytes / memory
                for each in _padded(measured.loads, replicas)
            ]
            yield _by_share("memory", shares, policy.memory_percent, replicas)
    if policy.query:
        yield _by_query(policy, measured, replicas)


def _padded(loads: Sequence[Load], replicas: int) -> Iterator[Load]:
    """The tasks, and for each replica that has none yet one that nothing is known of."""
    for each in loads:
        yield each if each.is_up else Load()
    for _ in range(replicas - len(loads)):
        yield Load()


def _by_share(name: str, uses: Sequence[float | None], target: float, replicas: int) -> _Proposal:
    known = [each for each in uses if each is not None]
    if not known:
        return _Proposal(None, f"no task has told its {name} yet")
    mean = sum(known) / len(known)
    reason = f"{name} at {mean:.0f}% (target {target:g}%)"
    unknown = len(uses) - len(known)
    ratio = mean / target
    if unknown:
        assumed = 0.0 if ratio > 1 else max(100.0, target)
        filled = (sum(known) + unknown * assumed) / len(uses) / target
        ratio = filled if (filled > 1) is (ratio > 1) else 1.0
    if _is_near(ratio):
        return _Proposal(replicas, reason)
    proposed = _rounded_up(ratio * len(uses))
    return _Proposal(max(proposed, replicas) if ratio > 1 else min(proposed, replicas), reason)


def _by_query(policy: Autoscale, measured: Measured, replicas: int) -> _Proposal:
    if measured.answer is None or policy.target <= 0:
        return _Proposal(None, measured.problem or "the query has not been answered yet")
    each = f"{measured.answer / replicas:g} each" if replicas else "no replica"
    reason = f"query says {measured.answer:g}, {each} (target {policy.target:g})"
    if replicas and _is_near(measured.answer / (policy.target * replicas)):
        return _Proposal(replicas, reason)
    return _Proposal(max(0, _rounded_up(measured.answer / policy.target)), reason)


def _is_near(ratio: float) -> bool:
    return abs(ratio - 1) <= TOLERANCE + 1e-9


def _rounded_up(number: float) -> int:
    return ceil(number - 1e-9)


def _largest(proposals: Sequence[_Proposal], replicas: int) -> tuple[int, str]:
    told = [(each.replicas, each.reason) for each in proposals if each.replicas is not None]
    blind = [each.reason for each in proposals if each.replicas is None]
    highest, reason = max(told, key=lambda each: each[0], default=(replicas, ""))
    if blind and highest <= replicas:
        return replicas, CANNOT + "; ".join(blind)
    return highest, reason


def _stabilised(
    policy: Autoscale, proposed: int, *, replicas: int, now: float, past: History
) -> int:
    rising = [count for at, count in past if at > now - policy.up_window_s]
    falling = [count for at, count in past if at > now - policy.down_window_s]
    least_called_for, most_called_for = min([proposed, *rising]), max([proposed, *falling])
    settled = min(max(replicas, least_called_for), most_called_for)
    return min(max(settled, policy.least), policy.most)


def _message(policy: Autoscale, settled: int, proposed: int, reason: str, *, replicas: int) -> str:
    if reason.startswith(CANNOT):
        return reason
    bound = ""
    if settled == policy.most < proposed:
        bound = f", at most {policy.most}"
    elif settled == policy.least > proposed:
        bound = f", at least {policy.least}"
    change = f"{replicas} to {settled}" if settled != replicas else f"stays at {settled}"
    return f"{reason}: {change}{bound}" if reason else f"{change}{bound}"
