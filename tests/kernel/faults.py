"""Make any step of a container's plan fail, or wait to be killed.

`Faults` is a page of memory that a test shares with a launcher or a swarm-runtime started by
`faulty_launcher.py` or `faulty_runtime.py`. Those wrap the two functions that carry out steps
before they hand over to the real program, which knows nothing of it. The page outlives forks
and the change of the root directory, so one launcher serves every step of every container.
"""

import errno
import mmap
import os
import signal
import struct
import time
from collections.abc import Callable, Iterator
from enum import IntEnum
from pathlib import Path
from typing import Any

VARIABLE = "SWARM_TEST_FAULTS"
_DELAY_S = 0.002
_PAGE = struct.Struct("<iiii64s")


class Kind(IntEnum):
    """What happens instead of the chosen step."""

    NONE = 0
    FAIL = 1
    HOLD = 2
    DELAY = 3


class Faults:
    """Counts steps, and interferes with the one at `at`, once."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(mmap.PAGESIZE))
        with path.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), mmap.PAGESIZE)

    def arm(self, kind: Kind, at: int) -> None:
        """Have the step with this number interfered with."""
        _PAGE.pack_into(self._page, 0, kind, at, 0, 0, b"")

    @property
    def count(self) -> int:
        """How many steps have begun since `arm`."""
        return int(_PAGE.unpack_from(self._page)[2])

    @property
    def reached(self) -> bool:
        """Whether the chosen step has begun."""
        return bool(_PAGE.unpack_from(self._page)[3])

    @property
    def step(self) -> str:
        """The chosen step's name, once it is reached."""
        raw: bytes = _PAGE.unpack_from(self._page)[4]
        return raw.rstrip(b"\0").decode()

    def release(self) -> None:
        """Let a step that is delayed go on."""
        _, at, count, reached, name = _PAGE.unpack_from(self._page)
        _PAGE.pack_into(self._page, 0, Kind.NONE, at, count, reached, name)

    def begin(self, name: str) -> None:
        """Count a step; fail, or wait for the end or the release, if it is the chosen one."""
        kind, at, count, reached, _ = _PAGE.unpack_from(self._page)
        chosen = kind != Kind.NONE and count == at and not reached
        told = name.encode() if chosen else _PAGE.unpack_from(self._page)[4]
        _PAGE.pack_into(self._page, 0, kind, at, count + 1, int(chosen or reached), told)
        if chosen and kind == Kind.FAIL:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        while chosen and kind == Kind.DELAY and _PAGE.unpack_from(self._page)[0] == kind:
            time.sleep(_DELAY_S)
        while chosen and kind == Kind.HOLD:
            signal.pause()


def install() -> None:
    """Wrap what carries out steps in this process and in all that it forks."""
    from runtime import steps
    from runtime.io import host
    from runtime.io.inside.applying import Inside

    faults = Faults(Path(os.environ[VARIABLE]))

    def on_host(step: steps.HostStep) -> None:
        faults.begin(steps.name(step))
        carried_out(step)

    def inside(self: Inside, step: steps.ContainerStep) -> None:
        faults.begin(steps.name(step))
        carried_out_inside(self, step)

    carried_out: Callable[[Any], None] = host.apply
    carried_out_inside: Callable[[Inside, Any], None] = Inside.apply
    host.apply = on_host
    Inside.apply = inside  # type: ignore[method-assign]


def descendants(pid: int) -> list[int]:
    """The last child, its last child, and so on."""
    found: list[int] = []
    parents = dict(parentage())
    while children := sorted(child for child, parent in parents.items() if parent == pid):
        pid = children[-1]
        found.append(pid)
    return found


def parentage() -> Iterator[tuple[int, int]]:
    """Every process that lives, with its parent."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] != "Z":
                yield int(entry.name), int(fields[1])
