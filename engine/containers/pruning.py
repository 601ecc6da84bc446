"""Say which containers nobody would miss: those that do not run."""

from engine import times
from engine.containers import states
from engine.containers.listing import Views
from engine.filters import Filters, check, has_label, has_labels
from swarm.errors import Invalid
from swarm.standalone import ContainerState

KNOWN = ("label", "label!", "until")

_OVER = (ContainerState.CREATED, ContainerState.EXITED, ContainerState.DEAD)


def choose(views: Views, filters: Filters, *, now: float) -> list[str]:
    """The ids of those that may go."""
    check(filters, KNOWN)
    until = read_until(filters, now=now)
    return [
        view.id
        for view in views
        if states.state_of(view) in _OVER
        and not view.task_id
        and (until is None or view.created_at < until)
        and has_labels(view.labels, filters)
        and not any(has_label(view.labels, each) for each in filters.get("label!", ()))
    ]


def read_until(filters: Filters, *, now: float) -> float | None:
    """Only what is older than this is meant; None for all."""
    values = filters.get("until", ())
    if len(values) > 1:
        raise Invalid("more than one until filter specified")
    return times.moment(values[0], now=now, name="until") if values else None
