"""Say what an agent that has just started tells the life of a container, by what it finds of it.

A run that the record does not know was begun by an agent that died before it could write so: it
counts all the same. The end of a run that the record knows is told if the record has not got it.
"""

from msgspec import Struct

from agent.events import Exited
from agent.standalone.events import Adopted, Event, Vanished
from agent.standalone.life import Life


class Trace(Struct, frozen=True, kw_only=True):
    """The container that the runtime has; it runs while `exited` is None."""

    pid: int
    started_at: float
    exited: Exited | None = None
    is_paused: bool = False


def events(life: Life, trace: Trace | None, *, is_checked: bool) -> tuple[Event, ...]:
    """What is to be told to `life`, which rests."""
    if trace is None:
        return (Vanished(),)
    adopted = Adopted(
        pid=trace.pid,
        started_at=trace.started_at,
        is_paused=trace.is_paused,
        is_checked=is_checked,
    )
    if trace.exited is None:
        return (adopted,)
    if life.started_at != trace.started_at:
        return (adopted, trace.exited)
    return (trace.exited,) if life.pid else (Vanished(),)
