"""Remove what a container leaves.

Removing bears repeating and follows the record alone, so it serves a container that has ended,
one that is killed for it, and one that a command which was itself killed left half made.
"""

# Plain strings: pathlib would cost every command time.
# ruff: noqa: PTH110

import contextlib
import errno
import os
import select
import signal
import time
from typing import Final

from runtime.cgroups import groups
from runtime.cgroups.layout import Layout
from runtime.command.record import Record, state_json
from runtime.io import cgroups, host
from runtime.io.command import freezing
from runtime.io.command.caller import Caller
from runtime.io.command.observing import identify, lives
from runtime.io.command.placing import undos_of
from runtime.io.command.signalling import members, signal_process
from runtime.io.command.store import Held
from runtime.io.hooks import run_hook
from runtime.oci.config import Hook
from runtime.oci.state import Status
from runtime.steps import RemoveCgroup, Undo
from swarm.errors import KernelRefused, Missing, Refused, Unavailable

_DYING_S: Final = 10.0
_LOOK_AGAIN_S: Final = 0.02


def kill_everyone(record: Record, layout: Layout) -> None:
    """Kill all that the container runs, and return once it is gone. Raises `Unavailable`.

    A group is only looked into once the record says that it was made, or it may be another's.
    """
    if record.init is None:
        return
    deadline = time.monotonic() + _DYING_S
    signal_process(record.init.pid, record.init, signal.SIGKILL)
    if not record.is_complete or record.shares_pids:
        cgroups.kill(groups.kill_file(layout, record.group))
    while True:
        with contextlib.suppress(KernelRefused):
            freezing.thaw(layout, record.group)
        left = [(pid, identify(pid)) for pid in members(layout, record.group)]
        for pid, process in left:
            signal_process(pid, process, signal.SIGKILL)
        if not left and not lives(record.init):
            return
        if time.monotonic() >= deadline:
            raise Unavailable(
                f"container {record.id} does not die: process {left[0][0] if left else '?'}",
                hint="it hangs in the kernel; try again later",
            )
        _wait_for_end(record.init.pid if not left else left[0][0])


def _wait_for_end(pid: int) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.pidfd_open(pid)
        try:
            select.select((descriptor,), (), (), _LOOK_AGAIN_S)
        finally:
            os.close(descriptor)


def erase(caller: Caller, held: Held) -> None:
    """Kill what runs, undo what was made, forget the container, and run its poststop hooks.

    Raises `Unavailable` or `KernelRefused` with the container still known, to be tried again.
    """
    record, undos = held.record, undos_of(caller, held.record)
    kill_everyone(record, caller.layout)
    if record.init is None:  # the groups may be another's: they go only if nobody is in them
        undos = tuple(_gently(each) for each in undos)
    host.revert(each for each in undos if isinstance(each, RemoveCgroup))
    for each in undos:
        if record.init is not None and isinstance(each, RemoveCgroup) and os.path.exists(each.path):
            raise KernelRefused(
                "remove cgroup", errno.EBUSY, f"cannot remove {each.path}: it is in use"
            )
    host.revert(undos)
    held.remove()
    if record.init is not None:
        state = state_json(record, Status.STOPPED)
        run_late_hooks(caller, record.hooks.poststop, state, "poststop", record.bundle)


def _gently(undo: Undo) -> Undo:
    return RemoveCgroup(undo.path, shared=True) if isinstance(undo, RemoveCgroup) else undo


def run_late_hooks(
    caller: Caller, hooks: tuple[Hook, ...], state: bytes, kind: str, bundle: str
) -> None:
    """Those whose failure is told but changes nothing."""
    for hook in hooks:
        try:
            run_hook(hook, state, kind=kind, directory=bundle)
        except KernelRefused as err:
            caller.messages.warning(err.message)


def settle(caller: Caller, record: Record) -> bool:
    """Undo what a `create` that was killed has left; whether this was such a container."""
    if record.is_complete or caller.status(record) is not Status.STOPPED:
        return False
    with caller.store.hold(record.id, patience_s=0) as held:
        if held.record.is_complete:
            return False
        caller.messages.debug(f"undoing {record.id}, which was left half made")
        erase(caller, held)
    return True


def delete(caller: Caller, container_id: str, *, force: bool) -> None:
    """Erase a container that has ended, or was never started; any, with `force`.

    Raises `Missing` (but not with `force`), `Refused`, and what `erase` does.
    """
    try:
        if force:
            _end(caller.store.read(container_id))
        with caller.store.hold(container_id) as held:
            now = caller.status(held.record)
            if now in (Status.RUNNING, Status.PAUSED) and not force:
                raise Refused(
                    f"cannot delete container {container_id} that is not stopped: {now.value}",
                    hint="kill it first, or use --force",
                )
            erase(caller, held)
    except Missing:
        if not force:
            raise


def _end(record: Record) -> None:
    """Have commands that wait for it give up, and let go of it."""
    if record.init is not None:
        signal_process(record.init.pid, record.init, signal.SIGKILL)
