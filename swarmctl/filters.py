"""Select rows with `--filter KEY=VALUE`.

Filters of one key are alternatives; different keys must all hold. A key that the listing does
not know is refused with those it knows: a filter that silently selects everything would be
dangerous in front of `rm`. So is a word that no value of a closed set is.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from swarm.api.v1 import control_pb2, images_pb2, objects_pb2
from swarm.errors import Invalid
from swarm.states import TaskState
from swarmctl import rows

_STATES = tuple(state.word for state in TaskState)
_TRUTHS = ("true", "false", "1", "0")
_WORDS: Mapping[str, tuple[str, ...]] = {
    "all": _TRUTHS,
    "availability": ("active", "pause", "drain"),
    "current-state": _STATES,
    "dangling": _TRUTHS,
    "desired-state": _STATES,
    "membership": ("accepted", "pending"),
    "scope": ("local", "swarm"),
    "mode": ("replicated", "global", "replicated-job", "global-job"),
    "role": ("worker", "manager"),
}

T = TypeVar("T")
Test = Callable[[T, str], bool]


def selected(things: Iterable[T], filters: Iterable[str], tests: Mapping[str, Test[T]]) -> list[T]:
    """The `things` that pass all `filters`."""
    wanted = parse_filters(filters, known=tests)
    return [
        thing
        for thing in things
        if all(any(tests[key](thing, each) for each in values) for key, values in wanted.items())
    ]


def parse_filters(filters: Iterable[str], *, known: Iterable[str]) -> dict[str, list[str]]:
    """The values asked for, by key."""
    names = sorted(known)
    wanted: dict[str, list[str]] = {}
    for text in filters:
        key, equals, value = text.partition("=")
        key = key.strip().lower()
        if not equals:
            raise Invalid(f"--filter {text!r} is not KEY=VALUE", hint="write --filter name=web")
        if key not in names:
            raise Invalid(f"--filter: unknown key {key!r}", hint=f"there are {', '.join(names)}")
        _check_value(key, value.strip())
        wanted.setdefault(key, []).append(value.strip())
    return wanted


def _check_value(key: str, value: str) -> None:
    """A misspelt word would select nothing, as if there were nothing."""
    known = _WORDS.get(key, ())
    if known and value.lower().replace(" ", "-") not in known:
        raise Invalid(f"--filter: {key} is never {value!r}", hint=f"there are {', '.join(known)}")


def is_true(text: str) -> bool:
    """What the value of a filter says that is either true or false."""
    return text.lower() in ("true", "1")


def has_label(labels: Mapping[str, str], wanted: str) -> bool:
    """Whether `labels` hold `KEY`, or `KEY=VALUE`."""
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)


NODE_TESTS: Mapping[str, Test[control_pb2.NodeView]] = {
    "id": lambda view, text: view.node.id.startswith(text),
    "name": lambda view, text: view.node.description.hostname.startswith(text),
    "role": lambda view, text: rows.role(view.node.spec) == text,
    "availability": lambda view, text: rows.availability(view.node.spec) == text,
    # Whoever is on the list has been let in: nobody waits to be accepted.
    "membership": lambda _, text: text == "accepted",
    "label": lambda view, text: has_label(view.node.description.engine_labels, text),
    "node.label": lambda view, text: has_label(view.node.spec.labels, text),
}
SERVICE_TESTS: Mapping[str, Test[control_pb2.ServiceView]] = {
    "id": lambda view, text: view.service.id.startswith(text),
    "name": lambda view, text: view.service.spec.name.startswith(text),
    "label": lambda view, text: has_label(view.service.spec.labels, text),
    "mode": lambda view, text: rows.mode(view.service.spec) == text.replace(" ", "-"),
}
TASK_TESTS: Mapping[str, Test[control_pb2.TaskView]] = {
    "id": lambda view, text: view.task.id.startswith(text),
    "name": lambda view, text: rows.task_name(view.task).startswith(text),
    "node": lambda view, text: text in (view.node_hostname, view.task.node_id),
    "desired-state": lambda view, text: rows.task_desired(view) == text.lower(),
    "current-state": lambda view, text: rows.task_state(view) == text.lower(),
    "run": lambda view, text: str(view.task.run) == text,
}
IMAGE_TESTS: Mapping[str, Test[images_pb2.Image]] = {
    "reference": lambda image, text: any(
        _is_named(rows.image_name(each, rows.Detail()), text) for each in image.references
    ),
    "dangling": lambda image, text: (not image.references) == is_true(text),
}
EVENT_TESTS: Mapping[str, Test[objects_pb2.Event]] = {
    "type": lambda event, text: event.kind == text,
    "event": lambda event, text: event.action == text,
    "service": lambda event, text: _is_about(event, "service", text),
    "node": lambda event, text: _is_about(event, "node", text),
    "task": lambda event, text: _is_about(event, "task", text),
    "network": lambda event, text: _is_about(event, "network", text),
    "id": lambda event, text: event.id.startswith(text),
    "name": lambda event, text: event.name == text,
}


def _is_about(event: objects_pb2.Event, kind: str, text: str) -> bool:
    if event.kind == kind:
        return text in (event.id, event.name)
    # A task is named after its service.
    of_service = event.name.rpartition(".")[0] if kind == "service" else ""
    return text in (event.attributes.get(f"{kind}_id"), of_service)


def _is_named(name: str, pattern: str) -> bool:
    from fnmatch import fnmatchcase

    return fnmatchcase(name, pattern) or fnmatchcase(name.rpartition(":")[0], pattern)
