"""Keep containers' records below one root, one command at a time for each container.

A container's directory appears by one rename, locked and with its record in it, so there is
none that nobody answers for. The lock is on the directory itself and goes with the process
that holds it. Reading needs no lock: every file is replaced as a whole.
"""

# Plain strings: pathlib would cost every command time.
# ruff: noqa: PTH100, PTH102, PTH103, PTH104, PTH110, PTH116, PTH120, PTH208

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Final

import msgspec

from runtime.command.record import CONFIG_FILE, STATE_FILE, ProcessId, Record, check_id
from runtime.io import host
from runtime.io.command.observing import lives, own_id
from swarm.errors import Missing, Refused, Unavailable

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PATIENCE_S: Final = 30.0
_LOOK_AGAIN_S: Final = 0.01


class Held:
    """A container that no other command changes while this is open; a context manager."""

    def __init__(self, directory: str, descriptor: int, record: Record) -> None:
        self.directory = directory
        self.record = record
        self._descriptor = descriptor

    def __enter__(self) -> "Held":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, at: TracebackType | None
    ) -> None:
        self.release()

    def save(self, record: Record) -> None:
        """Replace the record."""
        host.replace_file(f"{self.directory}/{STATE_FILE}", msgspec.json.encode(record))
        self.record = record

    def remove(self) -> None:
        """Remove the directory: its name first, so that nobody finds half of it."""
        away = f"{os.path.dirname(self.directory)}/{_hidden(own_id(), 'old')}"
        with contextlib.suppress(FileNotFoundError):
            os.rename(self.directory, away)
            host.remove_tree(away)

    def release(self) -> None:
        """Let others have it. A fork may hold the descriptor too, so it is not just closed."""
        if self._descriptor >= 0:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            os.close(self._descriptor)
            self._descriptor = -1


class Store:
    """All containers below `root`."""

    def __init__(self, root: str) -> None:
        self.root = os.path.abspath(root)

    def directory(self, container_id: str) -> str:
        """Where the container's files are. Raises `Invalid`."""
        check_id(container_id)
        return f"{self.root}/{container_id}"

    def claim(self, record: Record, config: bytes) -> Held:
        """Have the directory of a new container. Raises `Refused` if there is one."""
        directory = self.directory(record.id)
        os.makedirs(self.root, 0o700, exist_ok=True)
        hidden = f"{self.root}/{_hidden(record.creator, 'new')}"
        os.mkdir(hidden, 0o711)
        descriptor = os.open(hidden, _DIRECTORY)
        held = Held(hidden, descriptor, record)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            host.replace_file(f"{hidden}/{CONFIG_FILE}", config)
            held.save(record)
            os.rename(hidden, directory)
        except OSError as err:
            held.release()
            host.remove_tree(hidden)
            if isinstance(err, FileExistsError) or os.path.lexists(directory):
                raise Refused(
                    f"container with given ID already exists: {record.id}",
                    hint="choose another id, or delete that one",
                ) from err
            raise
        held.directory = directory
        return held

    def read(self, container_id: str) -> Record:
        """The record as it is now. Raises `Missing`."""
        record = self._read(self.directory(container_id))
        if record is None:
            raise _missing(container_id)
        return record

    def hold(self, container_id: str, *, patience_s: float = _PATIENCE_S) -> Held:
        """Wait for other commands and have the container alone. Raises `Missing`."""
        directory = self.directory(container_id)
        deadline = time.monotonic() + patience_s
        while True:
            try:
                descriptor = os.open(directory, _DIRECTORY)
            except OSError as err:
                raise _missing(container_id) from err
            if _lock(descriptor, deadline) and _is_at(descriptor, directory):
                record = self._read(directory)
                if record is not None:
                    return Held(directory, descriptor, record)
                os.close(descriptor)
                raise _missing(container_id)
            os.close(descriptor)
            if time.monotonic() >= deadline:
                raise Unavailable(
                    f"container {container_id} is busy: another command is at work on it",
                    hint="wait for it, or end it",
                )

    def config(self, container_id: str) -> bytes:
        """The config.json that the container was made from. Raises `Missing`."""
        path = f"{self.directory(container_id)}/{CONFIG_FILE}"
        try:
            with open(path, "rb") as file:
                return file.read()
        except OSError as err:
            raise _missing(container_id) from err

    def ids(self) -> list[str]:
        """Every container's id, sorted. What dead commands left hidden is removed."""
        try:
            names = sorted(os.listdir(self.root))
        except FileNotFoundError:
            return []
        return [name for name in names if not self._is_hidden(name)]

    def _is_hidden(self, name: str) -> bool:
        owner = _owner(name)
        if owner is None:
            return not os.path.exists(f"{self.root}/{name}/{STATE_FILE}")
        if not lives(owner):
            host.remove_tree(f"{self.root}/{name}")
        return True

    def _read(self, directory: str) -> Record | None:
        try:
            with open(f"{directory}/{STATE_FILE}", "rb") as file:
                return msgspec.json.decode(file.read(), type=Record)
        except (FileNotFoundError, NotADirectoryError):
            return None


def _lock(descriptor: int, deadline: float) -> bool:
    for _ in _attempts(deadline):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    return False


def _attempts(deadline: float) -> Iterator[None]:
    yield
    while time.monotonic() < deadline:
        time.sleep(_LOOK_AGAIN_S)
        yield


def _is_at(descriptor: int, directory: str) -> bool:
    """Whether what was locked still has its name: it may have been removed while we waited."""
    try:
        return os.path.samestat(os.stat(directory), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _hidden(owner: ProcessId, purpose: str) -> str:
    """An id contains no comma, so no container's name looks like this."""
    return f",{owner.pid},{owner.ticks},{purpose}"


def _owner(name: str) -> ProcessId | None:
    match name.split(",", 3):
        case ["", pid, ticks, _] if pid.isdecimal() and ticks.isdecimal():
            return ProcessId(int(pid), int(ticks))
        case _:
            return None


def _missing(container_id: str) -> Missing:
    return Missing(f"container does not exist: {container_id}", hint="list shows those that do")
