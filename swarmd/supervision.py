"""Decide when a part that ended is started again.

A part that had lived for a while starts again at once: a crash should cost as little as
possible. One that keeps falling over waits twice as long each time, up to a bound, and is
never given up: an operator who frees a port or a disk need not tell anyone.
"""

from msgspec import Struct

FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 5.0
STEADY_AFTER_S = 5.0


class Life(Struct):
    """One part: running (`pid`), waiting to start (`due_at`), or not wanted (neither)."""

    pid: int = 0
    started_at: float = 0.0
    due_at: float | None = None
    failures: int = 0
    restarts: int = 0


class Supervision:
    """The lives of this node's parts, in the order in which they start."""

    def __init__(self) -> None:
        self.lives: dict[str, Life] = {}

    def want(self, name: str, *, now: float) -> None:
        """Have `name` run from now on."""
        self.lives.setdefault(name, Life(due_at=now))

    def forget(self, name: str) -> None:
        """Have `name` run no more."""
        self.lives.pop(name, None)

    def started(self, name: str, pid: int, *, now: float) -> None:
        """`name` runs as `pid`."""
        life = self.lives[name]
        life.pid, life.started_at, life.due_at = pid, now, None

    def exited(self, name: str, *, now: float) -> None:
        """`name` ended by itself; decide when it starts again."""
        life = self.lives.get(name)
        if life is None:
            return
        if now - life.started_at >= STEADY_AFTER_S:
            life.failures = 0
        delay = 0.0
        if life.failures:
            delay = min(FIRST_DELAY_S * 2 ** (life.failures - 1), LONGEST_DELAY_S)
        life.pid, life.due_at = 0, now + delay
        life.failures += 1
        life.restarts += 1

    def due(self, *, now: float) -> tuple[str, ...]:
        """Which parts have to be started now."""
        return tuple(
            name
            for name, life in self.lives.items()
            if life.due_at is not None and life.due_at <= now
        )

    def next_deadline(self) -> float | None:
        """When to ask again, if nothing happens before."""
        return min((x.due_at for x in self.lives.values() if x.due_at is not None), default=None)

    def check(self) -> None:
        """Assert that no part both runs and waits."""
        for name, life in self.lives.items():
            assert not (life.pid and life.due_at is not None), name
