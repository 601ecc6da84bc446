"""Watch a node being drained until it is empty."""

import time

from swarm.api.v1 import control_pb2
from swarm.errors import Unavailable
from swarmctl.emptying import left, progress, reasons, shown_services
from swarmctl.io.painting import Canvas
from swarmctl.io.session import Session

PERIOD_S = 0.5
GIVE_UP_S = 15.0
STUCK_S = 2.0
"""When nothing has moved for so long, the reasons are asked for."""


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
    canvas, total, told, since = Canvas(session), 0, "", 0.0
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
            told, since = line, time.monotonic()
            _show(session, canvas, [line])
        elif since and time.monotonic() - since > STUCK_S:
            since = 0.0
            if why := _reasons(session, remaining):
                _show(session, canvas, [line, *why], told=1)
        time.sleep(PERIOD_S)


def _reasons(session: Session, remaining: list[control_pb2.TaskView]) -> list[str]:
    request = control_pb2.ListTasksRequest(services=shown_services(remaining))
    try:
        return reasons(remaining, session.control.tasks(request))
    except Unavailable:
        return []


def _show(session: Session, canvas: Canvas, lines: list[str], *, told: int = 0) -> None:
    """Paint all lines; where nothing can be painted over, say those not `told` before."""
    canvas.paint([line[: session.columns() - 1] for line in lines])
    if not canvas.is_live:
        for line in lines[told:]:
            session.say(line)
