"""Remember the managers over a restart: the one this node joined through may be long gone."""

import os
from pathlib import Path

import msgspec


def remember(path: Path, managers: tuple[str, ...]) -> None:
    """Replace what is remembered; a crash leaves the old list or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("wb") as file:
        file.write(msgspec.json.encode(managers))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def recall(path: Path) -> tuple[str, ...]:
    """The managers last heard of; none when nothing readable is there."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=tuple[str, ...])
    except (OSError, msgspec.DecodeError):
        return ()
