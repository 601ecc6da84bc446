"""Make and remove directories of volumes.

A named volume's directory is made with its description in one rename, so that a crash leaves
either a whole volume or none. Nothing here removes a named volume.
"""

import os
import shutil
import time
from pathlib import Path

import msgspec
from msgspec import Struct

from agent.volumes import Placed, Source, Volume, absent
from swarm.errors import Refused


class Description(Struct, frozen=True, kw_only=True):
    """What is remembered of a named volume beside its content."""

    name: str
    created_at: float
    labels: dict[str, str] = {}


def provide(placed: tuple[Placed, ...]) -> None:
    """Make what the mounts need; `Refused` names what is missing or cannot be made."""
    for each in placed:
        match each.needs:
            case Source() if not Path(each.needs.path).exists():
                raise Refused(absent(each.needs), hint="create it on this node")
            case Volume():
                _make(each.needs)
            case _:
                pass


def clean(volumes: Path) -> None:
    """Remove what a crash left of volumes that were about to be made."""
    for half in volumes.glob(".*"):
        shutil.rmtree(half, ignore_errors=True)


def _make(volume: Volume) -> None:
    path = Path(volume.path)
    if path.is_dir():
        return
    try:
        if volume.name:
            _make_named(volume, path)
        else:
            path.mkdir(parents=True)
    except OSError as err:
        what = f"volume {volume.name}" if volume.name else "an anonymous volume"
        raise Refused(
            f"{what} cannot be made: {err.strerror}", hint=f"look at {path.parent} on this node"
        ) from err


def _make_named(volume: Volume, path: Path) -> None:
    home = path.parent
    home.parent.mkdir(parents=True, exist_ok=True, mode=0o711)
    fresh = home.with_name(f".{home.name}.{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    (fresh / path.name).mkdir(parents=True)
    described = Description(name=volume.name, created_at=time.time(), labels=volume.labels)
    (fresh / "volume.json").write_bytes(msgspec.json.encode(described))
    fresh.rename(home)
