"""Run one more program in a container that runs."""

import os

from runtime.command import program
from runtime.command.parsing import Options
from runtime.command.record import ProcessId, Record, timeless_state
from runtime.command.subgroups import redirected, subgroups
from runtime.io.command import foreground, terminal
from runtime.io.command.caller import Caller
from runtime.io.command.creating import check_preserved, write_pid_file
from runtime.io.command.observing import identify
from runtime.io.command.placing import config_of, place_of
from runtime.io.spawning import Stdio, spawn
from runtime.oci.config import Config, Process
from runtime.oci.reading import read_process
from runtime.oci.state import Status
from runtime.plan import Extras, plan_exec
from swarm.errors import Invalid, Missing, Refused


def execute(caller: Caller, options: Options, container_id: str, words: tuple[str, ...]) -> int:
    """The exit status of the program, 0 if it is left to itself."""
    preserve_fds = options.number("preserve-fds")
    check_preserved(preserve_fds)
    record = caller.store.read(container_id)
    init = _init(caller, record, options)
    config = config_of(caller, record)
    process = _process(config, options, words)
    detached = options.is_on("detach")
    if not detached:
        process = terminal.with_size(process)
        foreground.become_subreaper()
    path = options.text("console-socket") if options.has("console-socket") else ""
    console = terminal.console(path, terminal=process.terminal, detached=detached)
    pidfd = _open(record, init)
    extras = Extras(state=timeless_state(record).decode())
    plan = plan_exec(config, process, place_of(caller, record), extras, pid=init.pid, pidfd=pidfd)
    plan = redirected(plan, record.group, subgroups(options.many("cgroup"), caller.layout))
    spawned = spawn(plan, Stdio(0, 1, 2, console.descriptor), preserve_fds=preserve_fds)
    os.close(pidfd)
    signals = None if detached else foreground.Signals()
    master = console.master()
    console.close()
    if options.has("pid-file"):
        write_pid_file(options.text("pid-file"), spawned.pid)
    return 0 if signals is None else foreground.wait(spawned.pid, signals, master)


def _open(record: Record, init: ProcessId) -> int:
    """Process 1 as a descriptor, so that no other process of its number is joined."""
    try:
        descriptor = os.pidfd_open(init.pid)
    except ProcessLookupError:
        descriptor = -1
    if descriptor < 0 or identify(init.pid) != init:
        raise Refused(f"cannot exec in a stopped container: {record.id}", hint="start it")
    return descriptor


def _init(caller: Caller, record: Record, options: Options) -> ProcessId:
    match caller.status(record):
        case Status.STOPPED | Status.CREATING:
            raise Refused(f"cannot exec in a stopped container: {record.id}", hint="start it")
        case Status.PAUSED if not options.is_on("ignore-paused"):
            raise Refused(
                f"cannot exec in a paused container: {record.id}",
                hint="resume it, or use --ignore-paused to wait",
            )
        case _:
            assert record.init is not None
            return record.init


def _process(config: Config, options: Options, words: tuple[str, ...]) -> Process:
    if not options.has("process"):
        assert config.process is not None
        return program.from_flags(config.process, options, words)
    path = options.text("process")
    try:
        with open(path, "rb") as file:
            text = file.read()
    except OSError as err:
        raise Missing(f"--process: cannot read {path}: {(err.strerror or '').lower()}") from err
    process = read_process(text)
    if not process.args:
        raise Invalid(f"--process: {path}: args: must name a program")
    return process
