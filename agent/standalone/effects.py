"""Say what has to be done about a container that somebody runs on this node.

The shell performs effects in order. What takes time ends by telling an event; the rest is said
once and forgotten.
"""

from msgspec import Struct


class Start(Struct, frozen=True):
    """Run it, its layer as it is; answer `Started` or `StartFailed`, and later `Exited`."""


class Signal(Struct, frozen=True):
    """Send a signal; with `is_stop` one that it cannot hear is sent as SIGKILL."""

    signal: int
    is_stop: bool = False


class Kill(Struct, frozen=True):
    """End it now."""


class Resume(Struct, frozen=True):
    """Let it go on, so that it hears what it was told."""


class Wait(Struct, frozen=True):
    """Answer `GraceExpired` for `run` after `delay_s`."""

    run: int
    delay_s: float


class Delay(Struct, frozen=True):
    """Answer `DelayExpired` for `run` after `delay_s`."""

    run: int
    delay_s: float


class Release(Struct, frozen=True):
    """Take what a run had of the node; answer `Released`."""


class Remove(Struct, frozen=True):
    """Remove all of it; answer `Removed` or `RemoveFailed`."""

    volumes: bool


class Forget(Struct, frozen=True):
    """It is gone."""


class Announce(Struct, frozen=True):
    """Tell whoever listens what happened to it."""

    action: str
    attributes: tuple[tuple[str, str], ...] = ()


Effect = Start | Signal | Kill | Resume | Wait | Delay | Release | Remove | Forget | Announce
