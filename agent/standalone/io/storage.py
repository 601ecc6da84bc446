"""Keep containers on disk, so that the next agent knows them.

A directory appears with its description in it, by one rename, and goes by another one before
anything in it is removed: so what is there is a container, however we were killed. What a
description says is on the disk before anybody hears that it was accepted. How far a life is
changes often, and is written without waiting: the kernel remembers it after our death, and after
the host's the container has ended anyway.
"""

import asyncio
import os
import shutil
from pathlib import Path

import structlog

from agent.standalone import record as records
from agent.standalone.record import Record
from runtime.io import host
from swarm.errors import Invalid, Refused

_SPEC, _LIFE = "container.json", "life.json"


class Storage:
    """The containers below `directory`."""

    def __init__(self, directory: Path, log: structlog.stdlib.BoundLogger) -> None:
        self._directory = directory
        self._log = log

    def own(self, container_id: str) -> str:
        """Where one container keeps all it has."""
        return f"{self._directory}/{container_id}"

    def load(self) -> list[Record]:
        """Every container that is here, the oldest first; what is half made or removed goes."""
        self._directory.mkdir(mode=0o711, parents=True, exist_ok=True)
        found: list[Record] = []
        for home in sorted(each for each in self._directory.iterdir() if each.is_dir()):
            if home.name.startswith("."):
                host.remove_tree(str(home))
                continue
            try:
                text = (home / _SPEC).read_bytes()
                found.append(records.decode(text, _read(home / _LIFE)))
            except (OSError, Invalid) as err:
                # Its layer may be all that somebody has of his work: it stays where it is.
                self._log.error("container.not_read", container_id=home.name, reason=str(err))
        return sorted(found, key=lambda each: (each.created_at, each.id))

    async def add(self, record: Record) -> None:
        """Keep a new container; `Refused` when the disk does not take it."""
        await asyncio.to_thread(self._add, record)

    async def change(self, record: Record) -> None:
        """Keep another description of a container."""
        await asyncio.to_thread(self._change, record)

    def progress(self, record: Record) -> None:
        """Keep how far it is."""
        try:
            _write(Path(self.own(record.id)) / _LIFE, records.encode_life(record.life))
        except OSError as err:
            # What it does is more important than what is remembered of it.
            self._log.error("container.not_written", container_id=record.id, reason=str(err))

    async def remove(self, container_id: str) -> None:
        """Remove all that is kept of a container; `Refused` when something stays."""
        await asyncio.to_thread(self._remove, container_id)

    def _add(self, record: Record) -> None:
        fresh = self._directory / f".{record.id}.new"
        try:
            fresh.mkdir(mode=0o711)
            _write(fresh / _SPEC, records.encode(record), lasts=True)
            fresh.rename(self.own(record.id))
        except OSError as err:
            shutil.rmtree(fresh, ignore_errors=True)
            raise _refused(err, record.id) from err

    def _change(self, record: Record) -> None:
        try:
            _write(Path(self.own(record.id)) / _SPEC, records.encode(record), lasts=True)
        except OSError as err:
            raise _refused(err, record.id) from err

    def _remove(self, container_id: str) -> None:
        gone = self._directory / f".{container_id}.removed"
        try:
            if (own := Path(self.own(container_id))).exists():
                own.rename(gone)
            if gone.exists():
                host.remove_tree(str(gone))
        except OSError as err:
            raise Refused(f"unable to remove filesystem: {err.filename}: {err.strerror}") from err


def _refused(err: OSError, container_id: str) -> Refused:
    return Refused(
        f"container {container_id} cannot be kept: {err.strerror}",
        hint="look at the data root of this node",
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _write(path: Path, text: bytes, *, lasts: bool = False) -> None:
    """A crash leaves what was there or what is new."""
    temporary = path.with_name(f".{path.name}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)
        if lasts:
            file.flush()
            os.fdatasync(descriptor)
    temporary.replace(path)
