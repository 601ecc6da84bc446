"""Keep small JSON files whole: a crash leaves the old content or the new, never a part."""

import os
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from swarm.errors import Refused

S = TypeVar("S", bound=Struct)


def write(path: Path, value: Struct | dict[str, object]) -> None:
    """Replace `path`, readable by root only, and make sure that it is on disk."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(value)))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory(path.parent)


def read(path: Path, kind: type[S]) -> S | None:
    """The value at `path`, or None when there is no such file; `Refused` when it is damaged."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as err:
        raise Refused(f"{path} is damaged: {err}", hint="restore it, or remove the node") from err


def remove(path: Path) -> None:
    """Remove `path`, if it is there, for good."""
    path.unlink(missing_ok=True)
    if path.parent.is_dir():
        sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make renames and removals in `path` survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
