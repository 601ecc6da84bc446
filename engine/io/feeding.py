"""Hand on what a client types or sends to a program's input."""

from enum import Enum
from typing import Protocol

from engine.detaching import KeyWatch
from engine.io.lines import Line
from swarm.api.v1 import control_pb2


class Source(Protocol):
    """Where a client's bytes come from."""

    async def read(self) -> bytes:
        """At least one byte; none once the client has ended."""
        ...


class Feeding(Enum):
    """Why no more is handed on."""

    ENDED = 0
    DETACHED = 1


async def feed(source: Source, line: Line, keys: KeyWatch | None) -> Feeding:
    """Hand on until the client ends, or types the keys that mean he leaves."""
    while data := await source.read():
        is_leaving = False
        if keys is not None:
            data, is_leaving = keys.feed(data)
        if data:
            await line.feed(control_pb2.StreamInput(stdin=data))
        if is_leaving:
            return Feeding.DETACHED
    return Feeding.ENDED
