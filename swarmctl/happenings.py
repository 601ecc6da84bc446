"""Print events: one line each for people, or as JSON, or through a template."""

from swarm.api.v1 import objects_pb2
from swarmctl.pipes import Value, as_json
from swarmctl.templates import render
from swarmctl.times import stamp


def event_line(event: objects_pb2.Event, *, form: str = "") -> str:
    """One line for `event`, without its end."""
    detail = event_detail(event)
    if form == "json":
        return as_json(detail)
    if form:
        return render(form, detail)
    attributes = {"name": event.name, **event.attributes} if event.name else dict(event.attributes)
    text = ", ".join(f"{key}={attributes[key]}" for key in attributes if attributes[key])
    suffix = f" ({text})" if text else ""
    return f"{stamp(event.at)} {event.kind} {event.action} {event.id}{suffix}"


def event_detail(event: objects_pb2.Event) -> dict[str, Value]:
    """What templates and JSON see of `event`."""
    attributes: dict[str, Value] = {"name": event.name} if event.name else {}
    return {
        "Type": event.kind,
        "Action": event.action,
        "Actor": {"ID": event.id, "Attributes": attributes | dict(event.attributes)},
        "scope": "swarm",
        "time": int(event.at),
        "timeNano": round(event.at * 1_000_000) * 1000,
    }
