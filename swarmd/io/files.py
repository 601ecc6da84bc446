"""Keep small JSON files of ours whole, in the way of `swarm.io.private`."""

from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from swarm.errors import Refused
from swarm.io.private import read_private, write_private

S = TypeVar("S", bound=Struct)


def write(path: Path, value: Struct) -> None:
    """Replace `path` by `value`, all of it or nothing."""
    write_private(path, msgspec.json.format(msgspec.json.encode(value)))


def read(path: Path, kind: type[S]) -> S | None:
    """The value at `path`, or None when there is no such file; `Refused` when it is damaged."""
    content = read_private(path)
    if content is None:
        return None
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.DecodeError as err:
        raise Refused(f"{path} is damaged: {err}", hint="restore it from a backup") from err
