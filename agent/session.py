"""Decide when to dial which manager, when to beat, and when the line is dead.

Each attempt dials one manager on a fresh channel and gets `DIAL_S` to stand: a channel that
was refused while the link was down would wait out a backoff of its own, and a link that
comes back has to be used within about a second. Attempts start at least a backoff apart,
counted from the start of the one before: an attempt that hung has waited enough. A session
that stood for `STEADY_S` and broke is dialled anew at once, elsewhere if there is an
elsewhere; one that broke sooner counts as failed, or two sides that cannot agree would greet
each other a hundred times a second. A manager that was silent for three heartbeats is lost.
Losing it says nothing about containers.

A manager to which thousands come back at once cannot let all of them in within a second, and
those who give up and dial again would only keep it from letting in anyone. So whenever
time ran out, the next attempts get twice as long, up to `LONGEST_PATIENCE_S`, until one is
welcomed. A link that comes back is used no later for it: TCP asks again every second or two.

A node that is in no swarm has no managers, and nothing is ever due.
"""

from enum import Enum
from random import Random

from msgspec import Struct

DIAL_S = 1.0
WELCOME_S = 3.0
FIRST_BACKOFF_S = 0.1
LONGEST_BACKOFF_S = 1.0
LONGEST_PATIENCE_S = 8.0
STEADY_S = 1.0
SILENT_PERIODS = 3


class Phase(Enum):
    """How far the session is."""

    APART = 0
    DIALING = 1
    GREETING = 2
    LIVE = 3


class Dial(Struct, frozen=True):
    """Open a fresh channel to `address`; answer `connected` or `broken` of this `attempt`."""

    address: str
    attempt: int


class Beat(Struct, frozen=True):
    """Send a heartbeat."""


class HangUp(Struct, frozen=True):
    """Close the channel. `reason` says why, for the log."""

    reason: str


Effect = Dial | Beat | HangUp


class Session:
    """The line to a manager. `now` is monotonic seconds."""

    def __init__(self, managers: tuple[str, ...], *, random: Random) -> None:
        self.phase = Phase.APART
        self.managers = managers
        self.attempt = 0
        self._random = random
        self._turn = 0
        self._failures = 0
        self._overdue = 0
        self._dial_at = 0.0
        self._deadline = 0.0
        self._beat_at = 0.0
        self._welcomed_at = 0.0
        self._heartbeat_s = 1.0

    @property
    def is_idle(self) -> bool:
        """Whether there is nobody to dial."""
        return not self.managers

    @property
    def is_live(self) -> bool:
        """Whether a manager welcomed us and is still heard."""
        return self.phase is Phase.LIVE

    @property
    def address(self) -> str:
        """The manager whose turn it is."""
        return self.managers[self._turn % len(self.managers)]

    def connected(self, attempt: int, *, now: float) -> bool:
        """The channel stands and `Hello` can be sent; False when it is an old attempt's."""
        if attempt != self.attempt or self.phase is not Phase.DIALING:
            return False
        self.phase, self._deadline = Phase.GREETING, now + self._patience_s(WELCOME_S)
        return True

    def welcomed(self, managers: tuple[str, ...], heartbeat_s: float, *, now: float) -> None:
        """The manager answered our `Hello`."""
        if self.phase is not Phase.GREETING:
            return
        self.phase = Phase.LIVE
        self._overdue = 0
        self._welcomed_at = now
        self._heartbeat_s = max(0.05, heartbeat_s)
        self._beat_at = now + self._heartbeat_s
        self._know(managers)
        self.heard(now=now)

    def heard(self, *, now: float) -> None:
        """Any message came."""
        if self.phase is Phase.LIVE:
            self._deadline = now + SILENT_PERIODS * self._heartbeat_s

    def reported(self, *, now: float) -> None:
        """A batch of statuses was sent: it is answered as a beat is, and as good as one."""
        if self.phase is Phase.LIVE:
            self._beat_at = now + self._heartbeat_s

    def broken(self, attempt: int, *, now: float) -> None:
        """The channel of `attempt` is gone, or never came to be."""
        if attempt != self.attempt or self.phase is Phase.APART:
            return
        if self.phase is Phase.LIVE and now - self._welcomed_at >= STEADY_S:
            self._failures, self._dial_at = 0, now
        else:
            self._failures += 1
        self._turn += 1
        self._dial_at = max(now, self._dial_at)
        self.phase = Phase.APART

    def due(self, *, now: float) -> tuple[Effect, ...]:
        """What to do now."""
        if self.is_idle:
            return ()
        if self.phase is Phase.APART:
            return (self._dial(now),) if now >= self._dial_at else ()
        if now >= self._deadline:
            reason = f"{self.address}: {self._silence()}"
            self._overdue += self.phase is not Phase.LIVE
            self.broken(self.attempt, now=now)
            return (HangUp(reason), *self.due(now=now))
        if self.phase is Phase.LIVE and now >= self._beat_at:
            self._beat_at = now + self._heartbeat_s
            return (Beat(),)
        return ()

    def next_deadline(self) -> float | None:
        """When to ask again, if nothing happens before."""
        if self.is_idle:
            return None
        if self.phase is Phase.APART:
            return self._dial_at
        if self.phase is Phase.LIVE:
            return min(self._beat_at, self._deadline)
        return self._deadline

    def check(self) -> None:
        """Assert what holds between any two calls."""
        assert self.managers or self.phase is Phase.APART
        assert self._turn >= 0

    def _dial(self, now: float) -> Dial:
        self.attempt += 1
        self.phase, self._deadline = Phase.DIALING, now + self._patience_s(DIAL_S)
        longest = min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2 ** min(self._failures, 10))
        self._dial_at = now + longest * self._random.uniform(0.5, 1.0)
        return Dial(self.address, self.attempt)

    def _patience_s(self, first_s: float) -> float:
        return min(LONGEST_PATIENCE_S, first_s * 2.0 ** min(self._overdue, 10))

    def _silence(self) -> str:
        return {
            Phase.DIALING: f"no connection within {self._patience_s(DIAL_S):g} s",
            Phase.GREETING: f"no welcome within {self._patience_s(WELCOME_S):g} s",
        }.get(self.phase, f"silent for {SILENT_PERIODS} heartbeats")

    def _know(self, managers: tuple[str, ...]) -> None:
        if not managers:
            return
        # The address that works may be none of those advertised (a translated one, say).
        current = self.address
        self.managers = managers if current in managers else (*managers, current)
        self._turn = self.managers.index(current)
