"""Run containers: create, start, or do both and stay until the program ends."""

# Plain strings: pathlib would cost every command time.
# ruff: noqa: PTH108

import contextlib
import os
from collections.abc import Generator

import msgspec

from runtime.command.parsing import Options
from runtime.command.record import GATE, state_json
from runtime.io.command import creating, ending, foreground, terminal
from runtime.io.command.caller import Caller
from runtime.io.command.creating import Wanted
from runtime.io.command.store import Held
from runtime.io.command.terminal import Console
from runtime.io.spawning import open_gate
from runtime.oci.checks import check_startable
from runtime.oci.state import Status
from swarm.errors import Missing, Refused


def create(caller: Caller, options: Options, container_id: str) -> None:
    """Make a container whose program waits."""
    with _prepared(options, container_id, detached=True, starts=False) as (wanted, _):
        held, _ = creating.create(caller, wanted)
        held.release()


@contextlib.contextmanager
def _prepared(
    options: Options, container_id: str, *, detached: bool, starts: bool
) -> Generator[tuple[Wanted, Console]]:
    creating.check_preserved(options.number("preserve-fds"))
    bundle, config = creating.read_bundle(options)
    if starts or config.process is not None:
        check_startable(config)
    if config.process is not None and not detached:
        config = msgspec.structs.replace(config, process=terminal.with_size(config.process))
    has_terminal = config.process is not None and config.process.terminal
    path = options.text("console-socket") if options.has("console-socket") else ""
    console = terminal.console(path, terminal=has_terminal, detached=detached)
    with contextlib.closing(console):
        descriptor = console.descriptor
        yield creating.want(container_id, bundle, config, options, console=descriptor), console


def start(caller: Caller, container_id: str) -> None:
    """Run the program of a created container. Raises `Refused`."""
    with caller.store.hold(container_id) as held:
        now = caller.status(held.record)
        if now is Status.STOPPED:
            raise Refused(
                f"cannot start a container that has stopped: {container_id}",
                hint="delete it and create another",
            )
        if now is not Status.CREATED:
            raise Refused(f"cannot start an already running container: {container_id}")
        if not held.record.has_program:
            ending.kill_everyone(held.record, caller.layout)
            raise Refused(
                "process: is missing from config.json, so there is nothing to start",
                hint="delete the container and create another",
            )
        _start(caller, held)


def _start(caller: Caller, held: Held) -> None:
    gate = f"{held.directory}/{GATE}"
    open_gate(gate)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(gate)
    record = held.record
    state = state_json(record, Status.RUNNING)
    ending.run_late_hooks(caller, record.hooks.poststart, state, "poststart", record.bundle)


def run(caller: Caller, options: Options, container_id: str) -> int:
    """Create and start a container; the exit status, 0 if it is left to itself."""
    detached = options.is_on("detach")
    if not detached and not options.is_on("no-subreaper"):
        foreground.become_subreaper()
    with _prepared(options, container_id, detached=detached, starts=True) as (wanted, console):
        held, pid = creating.create(caller, wanted)
        with held:
            signals = None if detached else foreground.Signals()
            try:
                master = console.master()
                _start(caller, held)
            except BaseException:
                ending.erase(caller, held)
                raise
    if signals is None:
        return 0
    status = foreground.wait(pid, signals, master)
    if not options.is_on("keep"):
        with contextlib.suppress(Missing):  # somebody else was quicker
            ending.delete(caller, container_id, force=True)
    return status
