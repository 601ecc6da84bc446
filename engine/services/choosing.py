"""Choose the services that a filter selects."""

from collections.abc import Callable, Iterable, Mapping

from engine.filters import Filters, check, has_labels
from swarm.api.v1 import control_pb2

KNOWN = frozenset(("id", "label", "mode", "name", "runtime"))

Test = Callable[[control_pb2.ServiceView, str], bool]


def choose(
    views: Iterable[control_pb2.ServiceView], filters: Filters
) -> list[control_pb2.ServiceView]:
    """Those that pass all `filters`."""
    check(filters, KNOWN)
    return [
        view
        for view in views
        if has_labels(view.service.spec.labels, filters)
        and all(
            any(_TESTS[key](view, value) for value in values)
            for key, values in filters.items()
            if values and key in _TESTS
        )
    ]


def _mode(view: control_pb2.ServiceView) -> str:
    found: str = view.service.spec.WhichOneof("mode") or "replicated"
    return f"{found.removesuffix('job')}-job" if found.endswith("job") else found


_TESTS: Mapping[str, Test] = {
    "id": lambda view, text: view.service.id.startswith(text),
    "name": lambda view, text: view.service.spec.name.startswith(text),
    "mode": lambda view, text: _mode(view) == text,
    "runtime": lambda _, text: text == "container",
}
