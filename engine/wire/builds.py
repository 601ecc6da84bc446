"""Lay out what clients send beside the context of a build, as JSON in parameters and headers."""

from typing import Any

import msgspec
from msgspec import Struct

from engine.wire.decoding import convert
from engine.wire.task_containers import UlimitJson
from swarm.errors import Invalid


class AuthJson(Struct, frozen=True, kw_only=True):
    """How a client is known to a registry."""

    username: str = ""
    password: str = ""
    auth: str = ""
    identitytoken: str = ""
    registrytoken: str = ""


class _Ulimits(Struct):
    items: tuple[UlimitJson, ...] = ()


class _Auths(Struct):
    items: dict[str, AuthJson] = {}


class _Texts(Struct):
    items: dict[str, str] = {}


class _Optional(Struct):
    items: dict[str, str | None] = {}


class _List(Struct):
    items: tuple[str, ...] = ()


def read_ulimits(text: str) -> tuple[UlimitJson, ...]:
    """`ulimits`: a list of them."""
    return convert(_Ulimits, {"items": _json("ulimits", text, [])}).items


def read_auths(document: bytes) -> dict[str, AuthJson]:
    """X-Registry-Config: by registry."""
    return convert(_Auths, {"items": _json("X-Registry-Config", document, {})}).items


def read_labels(text: str) -> dict[str, str]:
    """`labels`: by name."""
    return convert(_Texts, {"items": _json("labels", text, {})}).items


def read_arguments(text: str) -> dict[str, str | None]:
    """`buildargs`: by name; None for one that is named without a value."""
    found = _json("buildargs", text, {})
    try:
        return msgspec.convert({"items": found}, _Optional).items
    except msgspec.ValidationError as err:
        raise Invalid(f"buildargs: {err}") from err


def read_list(name: str, text: str) -> tuple[str, ...]:
    """A list of texts."""
    return convert(_List, {"items": _json(name, text, [])}).items


def _json(name: str, text: str | bytes, default: object) -> Any:
    if not text:
        return default
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as err:
        raise Invalid(f"{name}: not JSON: {err}") from err
    return default if found is None else found
