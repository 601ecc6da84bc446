"""Report what a container uses until it ends, and every time that it runs out of memory.

The kernel tells of the latter: in v1 through an eventfd, in v2 through a change of a file.
"""

# Plain strings: pathlib would cost every command time.
# ruff: noqa: PTH110, PTH120

import contextlib
import os
import select
import sys
import time
from typing import Final

import msgspec

from runtime.cgroups import groups, memory, rendering
from runtime.cgroups.layout import Layout
from runtime.command import durations
from runtime.command.parsing import Options
from runtime.command.record import Record
from runtime.io import host, kernel, usage
from runtime.io.command.caller import Caller
from runtime.oci.state import Status
from swarm.errors import Invalid, Refused

_MODIFIED: Final = 0x2  # IN_MODIFY of inotify(7)


def events(caller: Caller, options: Options, container_id: str) -> None:
    """Print events until the container ends; with --stats, one of them. Raises `Refused`."""
    record = caller.store.read(container_id)
    if caller.status(record) in (Status.STOPPED, Status.CREATING) or record.init is None:
        raise Refused(f"container not running: {container_id}", hint="state says what it is doing")
    if options.is_on("stats"):
        _print_stats(record, caller.layout)
        return
    interval_s = durations.parse(options.text("interval"), flag="interval")
    if interval_s <= 0:
        raise Invalid("--interval: must be more than 0", hint="write it as 5s or 1m30s")
    try:
        ended = os.pidfd_open(record.init.pid)
    except ProcessLookupError:
        return
    with contextlib.closing(_Shortages(caller.layout, record.group)) as shortages:
        _follow(record, caller.layout, ended, shortages, interval_s)
    os.close(ended)


def _follow(
    record: Record, layout: Layout, ended: int, shortages: "_Shortages", interval_s: float
) -> None:
    due = time.monotonic() + interval_s
    waited_for = [ended, *([shortages.descriptor] if shortages.descriptor >= 0 else [])]
    while True:
        ready = select.select(waited_for, (), (), max(0.0, due - time.monotonic()))[0]
        if shortages.descriptor in ready:
            for _ in range(shortages.come()):
                _print(rendering.oom_event(record.id))
        if ended in ready:
            return
        if time.monotonic() >= due:
            _print_stats(record, layout)
            due += interval_s


class _Shortages:
    """How often memory ran out; `descriptor` is readable when there is something to count."""

    def __init__(self, layout: Layout, group: str) -> None:
        self._file = groups.oom_file(layout, group)
        self._is_v1 = self._file.endswith(memory.V1_EVENTS)
        self._seen = self._kills()
        self._reading = -1
        self.descriptor = -1
        with contextlib.suppress(OSError):  # a host without the memory controller has no such news
            self._register()

    def _register(self) -> None:
        if not self._is_v1:
            self.descriptor = kernel.inotify_init()
            kernel.inotify_add_watch(self.descriptor, self._file, _MODIFIED)
            return
        self._reading = os.open(self._file, os.O_RDONLY | os.O_CLOEXEC)
        self.descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        control = f"{os.path.dirname(self._file)}/cgroup.event_control"
        with open(control, "w") as file:
            file.write(f"{self.descriptor} {self._reading}")

    def come(self) -> int:
        """How many since the last time. A group that is removed wakes us too, and has none."""
        with contextlib.suppress(BlockingIOError):
            news = os.read(self.descriptor, 8 if self._is_v1 else 4096)
            if self._is_v1:
                return int.from_bytes(news, sys.byteorder) if os.path.exists(self._file) else 0
        before, self._seen = self._seen, self._kills()
        return max(0, self._seen - before)

    def _kills(self) -> int:
        return memory.oom_kills(host.read(self._file))

    def close(self) -> None:
        """Hear no more."""
        for each in (self.descriptor, self._reading):
            if each >= 0:
                os.close(each)


def _print_stats(record: Record, layout: Layout) -> None:
    found = usage.read_stats(layout, record.group)
    if record.init is not None:
        networks = usage.read_networks(record.init.pid)
        found = msgspec.structs.replace(found, networks=networks)
    _print(rendering.stats_event(record.id, found))


def _print(event: dict[str, rendering.Json]) -> None:
    sys.stdout.write(msgspec.json.encode(event).decode() + "\n")
    sys.stdout.flush()
