"""Watch a node being drained until it is empty."""

import time

from swarm.api.v1 import control_pb2
from swarm.errors import Unavailable
from swarmctl.emptying import left, progress
from swarmctl.io.painting import Canvas
from swarmctl.io.session import Session

PERIOD_S = 0.5
GIVE_UP_S = 15.0


def watch_drain(session: Session, node_id: str, name: str) -> None:
    """Return when no task is left on the node; interrupted, say that the drain goes on."""
    try:
        _watch(session, node_id)
    except KeyboardInterrupt:
        session.warn(
            f"\nThe drain of {name} goes on in the background.\n"
            f"Hint: `swarmctl node ps {name}` shows what is left"
        )
        raise
    session.say(f"Node {name} is empty.")


def _watch(session: Session, node_id: str) -> None:
    canvas, total, told = Canvas(session), 0, ""
    request = control_pb2.ListTasksRequest(nodes=[node_id])
    lost_at: float | None = None
    while True:
        try:
            remaining = left(session.control.tasks(request))
        except Unavailable:
            now = time.monotonic()
            lost_at = lost_at or now
            if now - lost_at > GIVE_UP_S:
                raise
            time.sleep(PERIOD_S)
            continue
        lost_at = None
        total = max(total, len(remaining))
        if not remaining:
            canvas.leave()
            return
        line = progress(remaining, total)
        if line != told:
            told = line
            canvas.paint([line[: session.columns() - 1]])
            if not canvas.is_live:
                session.say(line)
        time.sleep(PERIOD_S)
