"""Become the program, or say in words that help why that is impossible."""

# Plain strings: pathlib would cost every start time.
# ruff: noqa: PTH110, PTH112, PTH113

import errno
import os
import signal
from typing import Final

from runtime import constants as k
from runtime import steps as s
from runtime.io import kernel
from runtime.io.inside.held import Held
from runtime.io.title import set_title
from swarm.errors import KernelRefused

_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MAX_DESCRIPTOR: Final = 65536


def execute(held: Held, step: s.Execute) -> None:
    """Returns only by raising `KernelRefused`."""
    env = {"HOME": held.identity.home}
    for variable in step.env:
        name, _, env[name] = variable.partition("=")
    if not held.is_filtered:
        close_on_exec(held)
    if step.init:
        _stay_behind(held.overseer.title)
    held.overseer.executing()
    raise _exec(step.args, env)


def close_on_exec(held: Held) -> None:
    """What is open and not the program's. To be done before a filter of the program's is in
    force: lists of allowed calls are often older than close_range(2).
    """
    kernel.close_range_on_exec(3 + held.overseer.preserved)


def wait_at_gate(held: Held, step: s.WaitAtGate) -> None:
    """Where nobody waits for a gate, the exec that follows will tell what is wrong."""
    if held.overseer.has_gate:
        if step.args:  # or it may wait, but not go on
            _check_program(step.args[0], _path(step.env))
        held.overseer.ready()


def _path(env: tuple[str, ...]) -> str:
    found = [value for name, _, value in (each.partition("=") for each in env) if name == "PATH"]
    return found[-1] if found else _PATH


def _candidates(name: str, path: str) -> list[str]:
    if "/" in name:
        return [name]
    return [f"{each or '.'}/{name}" for each in path.split(":")]


def _check_program(name: str, path: str) -> None:
    worst = errno.ENOENT
    for candidate in _candidates(name, path):
        if os.path.isfile(candidate):
            if os.access(candidate, os.X_OK):
                return
            worst, name = errno.EACCES, candidate
        elif os.path.isdir(candidate) and "/" in name:
            worst = errno.EACCES
    raise _refused(name, worst, path)


def _exec(args: tuple[str, ...], env: dict[str, str]) -> KernelRefused:
    """Become the program; the reason if that is impossible."""
    name, path = args[0], env.get("PATH", _PATH)
    worst = errno.ENOENT
    for candidate in _candidates(name, path):
        try:
            os.execve(candidate, args, env)
        except OSError as err:
            number = err.errno or errno.EIO
            if number not in (errno.ENOENT, errno.ENOTDIR) or os.path.exists(candidate):
                worst, name = number, candidate
            if worst not in (errno.ENOENT, errno.EACCES):
                break
        except ValueError as err:  # what Python says to a name that no environment can have
            return KernelRefused("exec", errno.EINVAL, f"exec {name}: {err}")
    return _refused(name, worst, path)


def _refused(name: str, number: int, path: str) -> KernelRefused:
    reason = os.strerror(number).lower()
    if "/" not in name:
        return KernelRefused(
            "exec", number, f"exec {name}: {reason} in any directory of PATH ({path})",
            hint="check the command, or use an image that has it",
        )  # fmt: skip
    hint = "check the command, or use an image that has it"
    if number == errno.ENOENT and os.path.exists(name):
        hint = "the file is there, but the interpreter or loader that it names is not"
    elif number == errno.EACCES:
        hint = "the file is not executable for this user"
    return KernelRefused("exec", number, f"exec {name}: {reason}", hint=hint)


def _stay_behind(title: tuple[int, int]) -> None:
    """Fork the program's process and be its init: reap, pass signals on, end as it ends.

    Returns in the child only.
    """
    everything = signal.valid_signals()
    signal.pthread_sigmask(signal.SIG_SETMASK, everything)
    child = kernel.clone(0)
    if child == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        _lead_terminal()
        return
    os.closerange(3, _MAX_DESCRIPTOR)  # the shim's sockets, or its death would go unnoticed
    kernel.prctl(k.PR_SET_DUMPABLE, 0)
    if os.getuid():
        kernel.capset(0, 0, 0)
    set_title("swarmd-init", place=title)
    while True:
        number = signal.sigwait(everything)
        if number == signal.SIGCHLD:
            _reap(child)
        else:
            os.kill(child, number)


def _lead_terminal() -> None:
    """Be in the foreground of the terminal, if there is one: Ctrl-C is for the program."""
    if not os.isatty(0):
        return
    os.setpgid(0, 0)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    os.tcsetpgrp(0, os.getpgrp())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)


def _reap(child: int) -> None:
    """Collect every process that has ended; with the program itself, end too."""
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)
        if pid == 0:
            return
