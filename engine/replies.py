"""Make the answers that are known whole before anything of them is sent."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from engine import refusals
from swarm.errors import SwarmError

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
RAW = "application/vnd.docker.raw-stream"
MULTIPLEXED = "application/vnd.docker.multiplexed-stream"

JsonObject = dict[str, Any]
"""What becomes an object in JSON, by the names that Docker's clients know."""


class Reply(Struct, frozen=True):
    """A whole answer. With an empty `content_type` it has no body."""

    status: int
    body: bytes = b""
    content_type: str = ""
    headers: tuple[tuple[str, str], ...] = ()


def json(value: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """An answer in JSON."""
    return Reply(status, encode(value), JSON, tuple((headers or {}).items()))


def nothing(status: int = 204) -> Reply:
    """An answer whose status says all."""
    return Reply(status)


def text(value: str, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """An answer for people."""
    return Reply(status, value.encode(), TEXT, tuple((headers or {}).items()))


def refusal(error: SwarmError) -> Reply:
    """What an error becomes."""
    return json({"message": refusals.words_of(error)}, status=refusals.status_of(error))


def encode(value: object) -> bytes:
    """`value` as one line of JSON, which ends it."""
    return msgspec.json.encode(value) + b"\n"
