"""Send signals to what runs in a container, and to nothing else.

Numbers of processes are used again: whoever is signalled is first held by a descriptor, then
compared with what is known of it.
"""

# Plain strings: pathlib would cost every command time.
# ruff: noqa: PTH120

import contextlib
import os
import signal

from runtime.cgroups import groups
from runtime.cgroups.layout import Layout
from runtime.command import signals
from runtime.command.record import ProcessId, Record
from runtime.io import host
from runtime.io.command import freezing
from runtime.io.command.caller import Caller
from runtime.io.command.observing import identify, status
from runtime.oci.state import Status
from swarm.errors import KernelRefused, Refused


def kill(caller: Caller, container_id: str, name: str = "TERM", *, to_all: bool) -> None:
    """Send the signal called `name`. Raises `Invalid`, `Missing`, and what `send` does."""
    number = signals.parse(name)
    send(caller.store.read(container_id), caller.layout, number, to_all=to_all)


def send(record: Record, layout: Layout, number: int, *, to_all: bool) -> None:
    """Send signal `number` to process 1 or to all. Raises `Refused` if it is not running.

    That a container without processes is told to end is fine if all of them are meant: who
    asks for that wants none to be left.
    """
    if not to_all and not _is_alive(record, layout):
        raise _not_running(record)
    if to_all or (number == signal.SIGKILL and record.shares_pids):
        for pid in members(layout, record.group):
            signal_process(pid, identify(pid), number)
    elif not _signal_init(record, number):
        raise _not_running(record)
    if number == signal.SIGKILL:  # a frozen process of cgroup v1 dies when it goes on
        with contextlib.suppress(KernelRefused):
            freezing.thaw(layout, record.group)


def _signal_init(record: Record, number: int) -> bool:
    return record.init is not None and signal_process(record.init.pid, record.init, number)


def _is_alive(record: Record, layout: Layout) -> bool:
    return status(record, layout) in (Status.CREATED, Status.RUNNING, Status.PAUSED)


def _not_running(record: Record) -> Refused:
    return Refused(f"container not running: {record.id}", hint="state says what it is doing")


def signal_process(pid: int, process: ProcessId, number: int) -> bool:
    """Whether the process, and no later one of its number, was there to be signalled."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if identify(pid) != process:
            return False
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
    return True


def members(layout: Layout, group: str) -> list[int]:
    """Every process in the container's group and those below it, sorted."""
    top = os.path.dirname(groups.procs_file(layout, group))
    found: set[int] = set()
    for directory, _, _ in os.walk(top):
        found |= {int(pid) for pid in host.read(f"{directory}/cgroup.procs").split()}
    return sorted(found - {0})
