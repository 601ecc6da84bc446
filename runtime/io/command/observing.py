"""Ask the kernel what a container's processes are doing.

Nothing is remembered: a status that was written down could be wrong by the time it is read.
"""

# Plain strings: pathlib would cost every command time.
# ruff: noqa: PTH115, PTH208

import os
from typing import Final

from runtime.cgroups.layout import Layout
from runtime.command.record import ProcessId, Record, Seen, status_of
from runtime.io import host
from runtime.io.command import freezing
from runtime.oci.state import Status

_GONE: Final = ("Z", "X", "x")
_STATE, _START = 0, 19  # behind the name; fields 3 and 22 of proc_pid_stat(5)


def own_id() -> ProcessId:
    """This process."""
    return identify(os.getpid())


def identify(pid: int) -> ProcessId:
    """The process that is number `pid` now."""
    fields = _fields(pid)
    return ProcessId(pid, int(fields[_START]) if fields else 0)


def lives(process: ProcessId) -> bool:
    """Whether it is still there; a zombie is not, nor is another of the same number."""
    fields = _fields(process.pid)
    return bool(fields) and int(fields[_START]) == process.ticks and fields[_STATE] not in _GONE


def _fields(pid: int) -> list[str]:
    return host.read(f"/proc/{pid}/stat").rpartition(")")[2].split()


def status(record: Record, layout: Layout) -> Status:
    """What the container is doing at this moment."""
    init_lives = record.init is not None and lives(record.init)
    return status_of(
        record,
        Seen(
            creator_lives=lives(record.creator),
            init_lives=init_lives,
            waits_at_gate=init_lives and _waits_at_gate(record),
            is_frozen=init_lives and freezing.is_frozen(layout, record.group),
        ),
    )


def _waits_at_gate(record: Record) -> bool:
    """Process 1 holds the gate's socket until its program's exec closes it."""
    if record.init is None or not record.gate:
        return False
    directory, wanted = f"/proc/{record.init.pid}/fd", f"socket:[{record.gate}]"
    try:
        return any(_link(f"{directory}/{name}") == wanted for name in os.listdir(directory))
    except OSError:
        return False


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
