"""Follow a service until it is as its spec wants it.

A container that dies a moment after its start looks well each time it is started again, so a
service must stay as it is wanted for a while before it counts as converged: briefly if nothing
ever failed while we watched, longer if something did. The manager counts a task that ended
well and is not to run again among those that run.

Where a rollout replaces tasks, the managers watch them, and we wait until they have. That a
rollout was paused or rolled back is a failure of the command that began it; that it holds for
its canaries is what it was asked to do.
"""

from msgspec import Struct, field

from swarm.objects import Rollout
from swarm.states import RolloutState, TaskState

SETTLE_S = 1.0
STEADY_S = 5.0
BAR_WIDTH = 50
_SHOWN_PROBLEMS = 5


_RUNNING = TaskState.RUNNING.word
_PAUSED = (RolloutState.PAUSED, RolloutState.ROLLBACK_PAUSED)


class Progress(Struct, frozen=True, kw_only=True):
    """How far a service is: `old` tasks are still to be stopped, `problems` hold others up.

    `running` includes tasks that have completed for good; `states` is only shown.
    """

    wanted: int = 0
    running: int = 0
    states: dict[str, int] = field(default_factory=dict[str, int])
    problems: tuple[str, ...] = ()
    old: int = 0
    rollout: Rollout | None = None

    @property
    def done(self) -> int:
        """Replicas that are as wanted."""
        return min(self.running, self.wanted)

    @property
    def is_reached(self) -> bool:
        """Whether everything is as wanted at this moment.

        More than is wanted is not: right after a scale-down nobody has been told to stop yet.
        """
        is_over = self.rollout is None or self.rollout.state.is_over
        return self.is_up and self.old == 0 and is_over

    @property
    def is_up(self) -> bool:
        """Whether as many run as are wanted."""
        return self.running == self.wanted

    @property
    def is_held(self) -> bool:
        """Whether all replicas run, and the rollout waits for somebody to promote its canaries."""
        is_canary = self.rollout is not None and self.rollout.state is RolloutState.CANARY
        return is_canary and self.states.get(_RUNNING, 0) >= self.wanted

    @property
    def is_stuck(self) -> bool:
        """Whether the rollout goes no further by itself, because too much failed."""
        return self.rollout is not None and self.rollout.state in _PAUSED


class Convergence:
    """Judges what is seen of one service; every method takes `now`.

    `settle_s` is how long a service that never failed must stay as it is wanted.
    """

    def __init__(self, *, settle_s: float) -> None:
        self._settle_s = settle_s
        self.latest: Progress | None = None
        self._has_failed = False
        self._reached_at: float | None = None
        self._before: Rollout | None = None
        self._was_verified = False

    def seen(self, progress: Progress, *, now: float) -> None:
        """Take note of the service's progress."""
        if self.latest is None:
            self._before = progress.rollout
        self._has_failed |= bool(progress.problems)
        if progress.rollout is not None and not progress.rollout.state.is_over:
            self._was_verified = True
        if not (progress.is_reached or progress.is_held):
            self._reached_at = None
        elif self._reached_at is None:
            self._reached_at = now
        self.latest = progress

    def has_converged(self, *, now: float) -> bool:
        """Whether nothing is left to wait for."""
        deadline = self.deadline()
        return deadline is not None and now >= deadline

    def deadline(self) -> float | None:
        """When it will have converged if nothing changes; `None` while it is not reached."""
        if self._reached_at is None:
            return None
        return self._reached_at + self.patience_s

    @property
    def failure(self) -> str:
        """Why it will not become what was asked for; empty while it may."""
        latest = self.latest
        if latest is None or latest.rollout is None:
            return ""
        if latest.is_stuck:
            return latest.rollout.message
        before = self._before
        is_news = before is None or not before.state.is_over or _differ(before, latest.rollout)
        is_back = latest.rollout.is_automatic and is_news and latest.is_reached
        return latest.rollout.message if is_back else ""

    @property
    def patience_s(self) -> float:
        """How long it has to stay as it is wanted; a rollout was watched by the managers."""
        if self._was_verified:
            return 0.0
        return max(STEADY_S, self._settle_s) if self._has_failed else self._settle_s

    def check(self) -> None:
        """Assert that what is reached was seen."""
        if self._reached_at is not None:
            assert self.latest is not None
            assert self.latest.is_reached or self.latest.is_held


def _differ(before: Rollout, after: Rollout) -> bool:
    return (before.spec_version, before.started_at) != (after.spec_version, after.started_at)


def summary(progress: Progress) -> str:
    """`overall progress: 37 out of 100 tasks`."""
    return f"overall progress: {progress.done} out of {progress.wanted} tasks"


def bar(done: int, total: int, *, width: int = BAR_WIDTH) -> str:
    """`[=====>    ]`, full when nothing is left."""
    filled = width if total <= 0 else max(0, min(width, width * done // total))
    if filled == width:
        return f"[{'=' * width}]"
    return f"[{('=' * filled + '>').ljust(width)}]"


def picture(progress: Progress, *, columns: int) -> list[str]:
    """The lines that a terminal shows meanwhile."""
    width = max(10, min(BAR_WIDTH, columns - 20))
    percent = 100 if progress.wanted <= 0 else 100 * progress.done // progress.wanted
    lines = [summary(progress), f"{bar(progress.done, progress.wanted, width=width)} {percent:3d}%"]
    states = ", ".join(
        f"{count} {state}" for state, count in sorted(progress.states.items()) if count
    )
    if states and not progress.is_reached:
        lines.append(f"tasks: {states}")
    if progress.rollout is not None and not progress.rollout.state.is_over:
        lines.append(f"rollout: {progress.rollout.state.word.replace('_', ' ')}")
    if progress.old:
        lines.append(f"still to be stopped: {progress.old}")
    lines += [f"  {each}" for each in progress.problems[:_SHOWN_PROBLEMS]]
    return [line[: max(columns - 1, 1)] for line in lines]
