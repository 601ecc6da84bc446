"""Decide when to check a container's health, and what the answers mean.

The next check begins an interval after the end of the last one, so two never run at once and
a slow program is asked less often. In the start period only success counts: a program that
was healthy once has started, and its failures count like any other's. While a container is
paused nobody is asked, and a check that was caught by the pause says nothing.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Final, assert_never

from msgspec import Struct
from msgspec.structs import replace

from runtime.outcome import HealthRecord, HealthResult, HealthStatus, KeptResult
from runtime.spec import Health

OUTPUT_BYTES: Final = 4096
NO_EXIT_CODE: Final = -1
SHORTEST_S: Final = 0.001


class Vitals(Struct, frozen=True, kw_only=True):
    """What is known of one container's health. Times are `now`'s.

    Something is due at `due_at`: a check, or while one runs (since `asked_at`) its end.
    """

    started_at: float
    due_at: float
    status: HealthStatus = HealthStatus.STARTING
    failing_streak: int = 0
    asked_at: float | None = None
    is_overdue: bool = False
    is_void: bool = False


class Woke(Struct, frozen=True):
    """Time has passed."""

    is_paused: bool = False


class Answered(Struct, frozen=True):
    """The check has ended; `NO_EXIT_CODE` if it could not even start."""

    exit_code: int


class Ask(Struct, frozen=True):
    """Start a check."""


class Interrupt(Struct, frozen=True):
    """Kill the check and all that it started; `Answered` follows once it is dead."""


class Tell(Struct, frozen=True):
    """Status or streak are others than before."""


Event = Woke | Answered
Effect = Ask | Interrupt | Tell


def begin(health: Health, now: float) -> Vitals:
    """A container that starts now: the first check is one interval away."""
    unborn = Vitals(started_at=now, due_at=now)
    return Vitals(started_at=now, due_at=now + _interval_s(unborn, health, now))


def next_deadline(vitals: Vitals) -> float | None:
    """When to say `Woke`; None while all that is left to do is to wait for an answer."""
    return None if vitals.is_overdue else vitals.due_at


def step(
    vitals: Vitals, event: Event, health: Health, now: float
) -> tuple[Vitals, tuple[Effect, ...]]:
    """Advance by one event."""
    match event:
        case Woke(is_paused=is_paused):
            return _wake(vitals, health, now, is_paused=is_paused)
        case Answered(exit_code=code):
            return _judge(vitals, health, code, now)
        case _:
            assert_never(event)


def _wake(
    vitals: Vitals, health: Health, now: float, *, is_paused: bool
) -> tuple[Vitals, tuple[Effect, ...]]:
    if vitals.is_overdue or now < vitals.due_at:
        return vitals, ()
    if vitals.asked_at is not None:
        return replace(vitals, is_overdue=True, is_void=is_paused), (Interrupt(),)
    if is_paused:
        return replace(vitals, due_at=now + _interval_s(vitals, health, now)), ()
    return replace(vitals, asked_at=now, due_at=now + health.timeout_s), (Ask(),)


def _judge(
    vitals: Vitals, health: Health, code: int, now: float
) -> tuple[Vitals, tuple[Effect, ...]]:
    assert vitals.asked_at is not None, "an answer that nobody asked for"
    status, streak = vitals.status, vitals.failing_streak
    if vitals.is_void:
        pass
    elif code == 0 and not vitals.is_overdue:
        status, streak = HealthStatus.HEALTHY, 0
    elif _counts(vitals, health, vitals.asked_at):
        streak += 1
        if streak >= health.retries:
            status = HealthStatus.UNHEALTHY
    judged = Vitals(
        started_at=vitals.started_at, due_at=now, status=status, failing_streak=streak
    )  # fmt: skip
    judged = replace(judged, due_at=now + _interval_s(judged, health, now))
    is_news = (status, streak) != (vitals.status, vitals.failing_streak)
    return judged, (Tell(),) if is_news else ()


def _counts(vitals: Vitals, health: Health, asked_at: float) -> bool:
    """Whether a failure does: not that of a program which is still starting."""
    has_time = asked_at - vitals.started_at < health.start_period_s
    return not (has_time and vitals.status is HealthStatus.STARTING)


def _interval_s(vitals: Vitals, health: Health, now: float) -> float:
    has_time = now - vitals.started_at < health.start_period_s
    is_starting = has_time and vitals.status is HealthStatus.STARTING
    return health.start_interval_s if is_starting else health.interval_s


def result(
    vitals: Vitals,
    health: Health,
    *,
    started_at: float,
    finished_at: float,
    exit_code: int,
    output: str,
) -> HealthResult:
    """What to keep of a check that ran before `vitals` was advanced by its answer."""
    if vitals.is_overdue:
        exit_code = NO_EXIT_CODE
        reason = f"health check exceeded its timeout of {health.timeout_s:g} s"
        output = f"{reason}: {output}" if output else reason
    return HealthResult(
        started_at=started_at, finished_at=finished_at, exit_code=exit_code, output=output
    )


def recorded(kept: Iterable[KeptResult]) -> HealthRecord:
    """What the last results say together, in whatever order they were found."""
    results = sorted(kept, key=lambda each: each.number)
    if not results:
        return HealthRecord()
    return HealthRecord(
        status=results[-1].status,
        failing_streak=results[-1].failing_streak,
        results=tuple(each.result for each in results),
    )


def problems(health: Health) -> Iterator[str]:
    """Everything that is wrong with a health check, each with its path."""
    if not health.args or not health.args[0]:
        yield "health.args: must name a command"
    if any("\0" in text for text in health.args):
        yield "health.args: must not contain a null character"
    times = {
        "interval_s": health.interval_s,
        "timeout_s": health.timeout_s,
        "start_interval_s": health.start_interval_s,
    }
    for name, value in times.items():
        if not SHORTEST_S <= value < math.inf:
            yield f"health.{name}: must be at least {SHORTEST_S:g} s, is {value:g}"
    if not 0 <= health.start_period_s < math.inf:
        yield f"health.start_period_s: must not be negative, is {health.start_period_s:g}"
    if health.retries < 1:
        yield f"health.retries: must be at least 1, is {health.retries}"


def check(vitals: Vitals, health: Health) -> None:
    """Assert what always holds."""
    assert vitals.failing_streak >= 0
    assert vitals.asked_at is not None or not (vitals.is_overdue or vitals.is_void)
    assert vitals.is_overdue or not vitals.is_void
    if vitals.status is HealthStatus.UNHEALTHY:
        assert vitals.failing_streak >= health.retries
    if vitals.status is HealthStatus.HEALTHY:
        assert vitals.failing_streak < max(1, health.retries)
