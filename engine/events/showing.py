"""Tell of what happens as Docker does, on this node and in the swarm, and choose what is told.

What happens to tasks and to the swarm itself has no name in Docker's events and is left out; a
node that comes back is one that was changed.
"""

from collections.abc import Callable, Mapping

from engine import times
from engine.filters import Filters, check, has_labels
from engine.replies import JsonObject
from swarm.api.v1 import objects_pb2

LOCAL, SWARM = "local", "swarm"
KINDS = (
    *("builder", "config", "container", "daemon", "image", "network", "node", "plugin"),
    *("secret", "service", "volume"),
)

_KNOWN = (*KINDS, "event", "label", "scope", "type")
_TOLD = frozenset(("node", "service", "network", "secret", "config"))
_NODE_ACTIONS = {"join": "create", "ready": "update", "down": "update", "unknown": "update"}
# Actions that say more behind a colon, by which nobody filters.
_LONG = ("health_status", "exec_create", "exec_start")

Event = objects_pb2.Event
Test = Callable[[Event, str], bool]


def of_swarm(event: Event) -> Event | None:
    """An event of a manager's, in Docker's words; None when it has none."""
    if event.kind not in _TOLD:
        return None
    shown = Event()
    shown.CopyFrom(event)
    shown.attributes["name"] = event.name
    if event.kind == "node" and event.action in ("ready", "down", "unknown"):
        shown.attributes["state.new"] = event.action
    if event.kind == "node":
        shown.action = _NODE_ACTIONS.get(event.action, event.action)
    return shown


def write_event(event: Event, *, scope: str) -> JsonObject:
    """One line."""
    attributes = dict(event.attributes)
    if event.name:
        attributes.setdefault("name", event.name)
    shown: JsonObject = {}
    if event.kind in ("container", "image"):
        shown |= {"status": event.action, "id": event.id}
    if event.kind == "container" and "image" in attributes:
        shown["from"] = attributes["image"]
    return shown | {
        "Type": event.kind,
        "Action": event.action,
        "Actor": {"ID": event.id, "Attributes": attributes},
        "scope": scope,
        "time": int(event.at),
        "timeNano": times.nanoseconds(event.at),
    }


class Choice:
    """Which events are told; raises `Invalid` for a filter that there is not."""

    def __init__(self, filters: Filters) -> None:
        check(filters, _KNOWN)
        self._filters = filters
        tests: dict[str, Test] = {kind: _about(kind) for kind in KINDS}
        tests["event"] = _is_action
        tests["type"] = lambda event, text: event.kind == text
        tests["image"] = _is_of_image
        self._tests: Mapping[str, Test] = tests

    def has(self, event: Event, *, scope: str) -> bool:
        """Whether it is told."""
        filters = self._filters
        if filters.get("scope") and scope not in filters["scope"]:
            return False
        return has_labels(event.attributes, filters) and all(
            not values or any(self._tests[key](event, value) for value in values)
            for key, values in filters.items()
            if key in self._tests
        )

    def wants(self, scope: str) -> bool:
        """Whether anything of that scope is asked for."""
        wanted = self._filters.get("scope", ())
        return not wanted or scope in wanted


def _about(kind: str) -> Test:
    def test(event: Event, text: str) -> bool:
        if event.kind != kind:
            return False
        name = event.attributes.get("name", event.name).removeprefix("/")
        return bool(text) and (event.id.startswith(text) or text.removeprefix("/") == name)

    return test


def _is_action(event: Event, text: str) -> bool:
    return event.action == text or (text in _LONG and event.action.startswith(f"{text}:"))


def _is_of_image(event: Event, text: str) -> bool:
    """Of an image, or of a container that was made from it, with its tag or without."""
    names = {event.attributes.get("image", "")}
    if event.kind == "image":
        names |= {event.id, event.attributes.get("name", ""), event.name}
    names |= {_untagged(each) for each in names}
    return text in names - {""} or (_untagged(text) == text and f"{text}:latest" in names)


def _untagged(name: str) -> str:
    head, colon, tag = name.rpartition(":")
    return head if colon and "/" not in tag and not head.endswith("sha256") else name
