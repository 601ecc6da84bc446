"""Show what tasks use, again and again, for as long as somebody watches.

Nodes answer each in their own time; what is shown is the latest of all of them, once a
second. The list of tasks is asked for on a connection of its own while samples come in.
"""

import time
from collections.abc import Callable, Sequence

from swarm.api.v1 import containers_pb2 as pb
from swarm.api.v1 import control_pb2
from swarm.errors import Missing
from swarmctl.containers.rows import is_up
from swarmctl.containers.usage import STATS, stats_row
from swarmctl.io.session import Session
from swarmctl.io.terminal import size
from swarmctl.rows import Detail
from swarmctl.tables import listed
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


def follow_containers(
    session: Session,
    names: Sequence[str],
    *,
    form: str,
    detail: Detail,
    includes_idle: bool,
    is_endless: bool,
) -> None:
    """Print what containers of this host use; the first time once there are two samples."""
    before: dict[str, pb.ContainerStats] = _sampled(session, names, includes_idle=includes_idle)
    is_live = is_endless and session.is_interactive() and form in ("", "table")
    if is_live:
        session.write("\x1b[2J")
    while True:
        time.sleep(PERIOD_S)
        now = _sampled(session, names, includes_idle=includes_idle)
        rows = [stats_row(each, before.get(key), detail) for key, each in now.items()]
        text = listed(rows, STATS, form=form)
        session.write(_fitted(session, text) if is_live else text, flush=True)
        if not is_endless:
            return
        before = now


def _sampled(
    session: Session, names: Sequence[str], *, includes_idle: bool
) -> dict[str, pb.ContainerStats]:
    views = session.containers.list() if not names else ()
    wanted = names or [view.id for view in views if includes_idle or is_up(view)]
    found: dict[str, pb.ContainerStats] = {}
    for name in wanted:
        try:
            sample = session.containers.sample(name)
        except Missing:
            if names:
                raise
            continue  # it went away just now
        found[sample.id] = sample
    return found


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
