"""Pause and resume a container, and change its limits."""

import sys

from runtime.command import limits
from runtime.command.parsing import Options
from runtime.command.record import Record
from runtime.io.command import freezing
from runtime.io.command.caller import Caller
from runtime.io.limits import update as change_limits
from runtime.oci.config import Resources
from runtime.oci.state import Status
from swarm.errors import Missing, Refused


def pause(caller: Caller, container_id: str) -> None:
    """Stop every process. Raises `Refused` unless it runs."""
    with caller.store.hold(container_id) as held:
        now = caller.status(held.record)
        if now not in (Status.CREATED, Status.RUNNING):
            raise _not_running(held.record, now)
        freezing.freeze(caller.layout, held.record.group)


def resume(caller: Caller, container_id: str) -> None:
    """Have every process go on. Raises `Refused` unless it is paused."""
    with caller.store.hold(container_id) as held:
        now = caller.status(held.record)
        if now is not Status.PAUSED:
            raise Refused(f"container not paused: {container_id} is {now.value}")
        freezing.thaw(caller.layout, held.record.group)


def update(caller: Caller, options: Options, container_id: str) -> None:
    """Change limits, or none of them if the kernel refuses one: say which."""
    resources = _wanted(options)
    with caller.store.hold(container_id) as held:
        now = caller.status(held.record)
        if now in (Status.STOPPED, Status.CREATING):
            raise _not_running(held.record, now)
        change_limits(caller.layout, held.record.group, resources)


def _not_running(record: Record, now: Status) -> Refused:
    return Refused(f"container not running: {record.id} is {now.value}")


def _wanted(options: Options) -> Resources:
    if not options.has("resources"):
        return limits.from_flags(options)
    from runtime.oci.reading import read_resources  # slow to load, and seldom needed

    path = options.text("resources")
    if path == "-":
        return read_resources(sys.stdin.buffer.read())
    try:
        with open(path, "rb") as file:
            return read_resources(file.read())
    except OSError as err:
        raise Missing(f"--resources: cannot read {path}: {(err.strerror or '').lower()}") from err
