"""Show what tasks use, again and again, for as long as somebody watches.

Nodes answer each in their own time; what is shown is the latest of all of them, once a
second. The list of tasks is asked for on a connection of its own while samples come in.
"""

import time
from collections.abc import Callable, Sequence

from swarm.api.v1 import control_pb2
from swarmctl.io.session import Session
from swarmctl.io.terminal import size
from swarmctl.usage import Usage, screen

PERIOD_S = 1.0


def sample_once(session: Session, tasks: Sequence[str]) -> Usage:
    """One sample of every node."""
    usage = Usage()
    request = control_pb2.WatchStatsRequest(tasks=tasks, once=True)
    for batch in session.control.stats(request):
        if batch is not None:
            usage.take(batch)
    return usage


def follow(
    session: Session, tasks: Sequence[str], written: Callable[[Usage], str], *, is_live: bool
) -> None:
    """Print what `written` makes of the samples, each time over the last when `is_live`."""
    watching = Session(session.host)
    usage, clock = Usage(), _Clock()
    request = control_pb2.WatchStatsRequest(tasks=tasks)
    if is_live:
        session.write("\x1b[2J")
    try:
        for batch in watching.control.stats(request, patience=clock.left):
            if batch is not None:
                usage.take(batch)
            if clock.is_due():
                text = written(usage)
                session.write(_fitted(session, text) if is_live else text, flush=True)
    finally:
        watching.close()


class _Clock:
    """When to print next."""

    def __init__(self) -> None:
        self._due = time.monotonic() + PERIOD_S

    def left(self) -> float:
        return max(self._due - time.monotonic(), 0.0)

    def is_due(self) -> bool:
        if self.left() > 0:
            return False
        self._due = time.monotonic() + PERIOD_S
        return True


def _fitted(session: Session, text: str) -> str:
    lines, columns = size(1) or (24, session.columns())
    return screen(text, columns=columns, lines=lines)
