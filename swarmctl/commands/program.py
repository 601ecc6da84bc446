"""`swarmctl exec|attach`: in a container of this host, or else in a task's, wherever that is."""

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from swarm.errors import KernelRefused, Missing, Refused
from swarmctl import completing, options
from swarmctl.detaching import DEFAULT_KEYS
from swarmctl.io.session import Session
from swarmctl.lazy import Command

if TYPE_CHECKING:
    from swarm.api.v1 import control_pb2
    from swarmctl.io.streaming import Manner

_task = click.argument("task", metavar="CONTAINER|TASK", shell_complete=completing.programs)
_detach_keys = click.option(
    "--detach-keys",
    default=DEFAULT_KEYS,
    metavar="KEYS",
    help=f"Keys that leave the terminal without ending the program (default {DEFAULT_KEYS})",
)


def _exec_flags(command: options.F) -> options.F:
    command = options.flag_list(command, ("--env-file",), "FILE", "Read variables from a file")
    return options.flag_list(command, ("-e", "--env"), "NAME[=VALUE]", "Environment variable")


@click.command(
    "exec",
    cls=Command,
    context_settings={"allow_interspersed_args": False},
    options_metavar="[OPTIONS]",
)
@_task
@click.argument("command", nargs=-1, required=True, metavar="COMMAND [ARG...]",
                type=click.UNPROCESSED)  # fmt: skip
@click.option("-d", "--detach", is_flag=True, help="Let it run in the background")
@_detach_keys
@_exec_flags
@click.option("-i", "--interactive", is_flag=True, help="Pass on standard input")
@click.option("--privileged", is_flag=True, help="Give the program all capabilities")
@click.option("-t", "--tty", is_flag=True, help="Give the program a terminal")
@click.option("-u", "--user", default="", metavar="USER", help="<name|uid>[:<group|gid>]")
@click.option("-w", "--workdir", default="", metavar="DIR", help="Working directory")
@click.pass_obj
def exec_(
    session: Session,
    /,
    *,
    task: str,
    command: Sequence[str],
    detach: bool,
    detach_keys: str,
    env: Sequence[str],
    env_file: Sequence[str],
    interactive: bool,
    privileged: bool,
    tty: bool,
    user: str,
    workdir: str,
) -> int:
    """Run a program in a container of this host, or in a task's on whatever node that is.

    TASK is an id, the beginning of one, or a name such as web.1; the name of a service means
    its only task. A container of this host comes first. The exit status is the program's: 127 if
    there is no such program, 126 if it cannot be run. A program that is left without its
    caller is ended.
    """
    from swarm.api.v1 import control_pb2
    from swarmctl.detaching import parse_keys
    from swarmctl.io.streaming import Manner

    if detach:
        interactive = tty = False  # `-dit` is typed by habit, and nobody will be there
    if interactive and tty and not os.isatty(0):
        raise Refused("the input device is not a TTY", hint="leave out -t to pass on a pipe")
    start = control_pb2.ExecStart(
        task=task,
        args=command,
        env=_environment(env, env_file, tty=tty),
        workdir=workdir,
        user=user,
        tty=tty,
        privileged=privileged,
        open_stdin=interactive,
        detach=detach,
    )
    if tty:
        measure(start.size)
    keys = parse_keys(detach_keys) if tty else b""
    manner = Manner(open_stdin=interactive, keys=keys)
    try:
        begin = control_pb2.StreamInput(exec=start)
        method = "Containers/ExecInContainer" if is_here(session, task) else "Control/Exec"
        return converse_as(session, method, begin, manner)
    except KernelRefused as err:
        from runtime.joining import refusal_code
        from swarmctl.main import told

        session.warn(told(err))
        return refusal_code(err)


@click.command("attach", cls=Command)
@_task
@_detach_keys
@click.option("--no-stdin", is_flag=True, help="Do not pass on standard input")
@click.option(
    "--sig-proxy/--no-sig-proxy",
    default=True,
    help="Pass signals on to the program (default, but not to a terminal)",
)
@click.pass_obj
def attach(
    session: Session, /, *, task: str, detach_keys: str, no_stdin: bool, sig_proxy: bool
) -> int:
    """Join the input and output of the own program of a container of this host, or of a task.

    The exit status is the program's. Leaving does not end it, whatever way one leaves; what
    the program wrote before is in `swarmctl service logs`.
    """
    from swarm.api.v1 import control_pb2
    from swarmctl.detaching import parse_keys
    from swarmctl.io.streaming import Manner

    start = control_pb2.AttachStart(task=task, open_stdin=not no_stdin)
    measure(start.size)
    manner = Manner(
        open_stdin=not no_stdin,
        keys=parse_keys(detach_keys),
        passes_signals=sig_proxy,
        is_exec=False,
    )
    begin = control_pb2.StreamInput(attach=start)
    method = "Containers/AttachContainer" if is_here(session, task) else "Control/Attach"
    return converse_as(session, method, begin, manner)


def is_here(session: Session, name: str) -> bool:
    """Whether a container of this host is meant; `Missing` if there is no swarm to have a task."""
    if session.containers.has(name):
        return True
    if not session.daemon.status().node_id:
        raise Missing(
            f"no such container: {name}", hint="`swarmctl ps -a` lists those of this host"
        )
    return False


def converse_as(
    session: Session,
    method: str,
    begin: "control_pb2.StreamInput",
    manner: "Manner",
    begun: Callable[[], None] = lambda: None,
) -> int:
    """Be the streams of a program; the exit status that follows from how it ended."""
    from swarmctl.hosts import socket_path
    from swarmctl.io.streaming import Detached, Finished, Interrupted, converse

    outcome = converse(socket_path(session.host), method, begin, manner, begun)
    match outcome:
        case Finished(exit_code=code):
            return code
        case Interrupted(signal=number):
            return 128 + number
        case Detached():
            session.warn("read escape sequence")
            return 0


def measure(size: "control_pb2.TerminalSize") -> None:
    """Fill in how large our terminal is, if we have one."""
    from swarmctl.io.terminal import size as measured

    if (found := measured(0, 1)) is not None:
        size.rows, size.columns = found


def _environment(env: Sequence[str], files: Sequence[str], *, tty: bool) -> tuple[str, ...]:
    from pathlib import Path

    from swarmctl.environment import merge, read_env_file

    read = [each for path in files for each in read_env_file(Path(path).read_bytes(), path=path)]
    return merge("--env", (*(("TERM=xterm",) if tty else ()), *read, *env), environ=os.environ)
