"""Translate secrets and configs between Docker's API and ours, and choose among them."""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from engine.filters import Filters, check, has_labels
from engine.replies import JsonObject
from engine.services.words import ordered
from engine.stored import described
from engine.wire.contents import ContentSpecJson
from engine.wire.services import DriverJson
from swarm.api.v1 import control_pb2, specs_pb2
from swarm.errors import Invalid

KNOWN = frozenset(("id", "label", "name", "names"))

View = control_pb2.SecretView | control_pb2.ConfigView
V = TypeVar("V", control_pb2.SecretView, control_pb2.ConfigView)


def read_secret(asked: ContentSpecJson) -> specs_pb2.SecretSpec:
    """The secret that a client asks for, apart from its data."""
    return specs_pb2.SecretSpec(
        name=asked.name, labels=asked.labels or {}, template_driver=_template_driver(asked)
    )


def read_config(asked: ContentSpecJson) -> specs_pb2.ConfigSpec:
    """The config that a client asks for, apart from its data."""
    return specs_pb2.ConfigSpec(
        name=asked.name, labels=asked.labels or {}, template_driver=_template_driver(asked)
    )


def content_json(view: View) -> JsonObject:
    """A secret without its data, or a config with it."""
    driver = view.spec.template_driver
    return {
        **described(
            view.id,
            version=view.revision,
            created_at=view.created_at,
            updated_at=view.updated_at,
        ),
        "Spec": ContentSpecJson(
            name=view.spec.name,
            labels=ordered(view.spec.labels),
            data=view.data if isinstance(view, control_pb2.ConfigView) else b"",
            templating=DriverJson(name=driver) if driver else None,
        ),
    }


def choose(views: Iterable[V], filters: Filters) -> list[V]:
    """Those that pass all `filters`."""
    check(filters, KNOWN)
    return [
        view
        for view in views
        if has_labels(view.spec.labels, filters)
        and all(
            any(_TESTS[key](view, value) for value in values)
            for key, values in filters.items()
            if values and key in _TESTS
        )
    ]


_TESTS: Mapping[str, Callable[[View, str], bool]] = {
    "id": lambda view, text: view.id.startswith(text),
    "name": lambda view, text: view.spec.name.startswith(text),
    "names": lambda view, text: view.spec.name == text,
}


def _template_driver(asked: ContentSpecJson) -> str:
    if asked.driver is not None and asked.driver.name:
        raise Invalid(
            f"Driver: there are no drivers of secrets, nor {asked.driver.name!r}",
            hint="send the data itself",
        )
    templating = asked.templating or DriverJson()
    if templating.options:
        raise Invalid("Templating.Options: templates have no options", hint="leave them out")
    return templating.name
