"""Translate secrets and configs between Docker's API and ours, and choose among them."""

import base64
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from engine.filters import Filters, check, has_labels
from engine.refusals import CONFLICT, Denied
from engine.replies import JsonObject
from engine.services.words import ordered
from engine.stored import described
from engine.wire.contents import ContentSpecJson
from engine.wire.services import DriverJson
from swarm.api.v1 import control_pb2, specs_pb2
from swarm.errors import Invalid

# Clients compare what they are told with Docker's words, which begin with those of gRPC.
_INVALID = "rpc error: code = InvalidArgument desc ="
_EXISTS = "rpc error: code = AlreadyExists desc ="
_BREAKS = re.compile(r"[\r\n]")
_FOREIGN = re.compile(r"[^A-Za-z0-9+/=\r\n]")
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


def read_data(asked: ContentSpecJson) -> bytes:
    """What is kept; lines may be broken anywhere."""
    text = _BREAKS.sub("", asked.data)
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as err:
        found = _FOREIGN.search(asked.data)
        at = len(asked.data) if found is None else found.start()
        raise Invalid(f"Data: illegal base64 data at input byte {at}") from err


def check_change(asked: ContentSpecJson, view: View) -> None:
    """A name stays what it is; data is compared by whoever has it."""
    if asked.name not in ("", view.spec.name):
        raise Invalid(f"{_INVALID} only updates to Labels are allowed")


def taken(word: str, name: str) -> Denied:
    """What clients hear when there is one of that name."""
    return Denied(CONFLICT, f"{_EXISTS} {word} {name} already exists")


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
            data=base64.b64encode(_shown(view)).decode(),
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


def _shown(view: View) -> bytes:
    return view.data if isinstance(view, control_pb2.ConfigView) else b""


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
