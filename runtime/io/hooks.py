"""Run the programs that a container's creator wants run at certain moments of its life.

A hook gets the container's state on its standard input, its own arguments and exactly its own
environment. It has to end well: another exit code than 0, a signal, or being longer than its
timeout is a failure that names the hook. A descendant that keeps the hook's output open keeps
nobody waiting. Process 1 of a container runs hooks too, so little is imported for it here.
"""

import contextlib
import errno
import os
import select
import signal
import time
from typing import Final, NoReturn

from runtime.io import kernel
from runtime.oci.config import Hook
from swarm.errors import KernelRefused

_KEPT_BYTES: Final = 4096
_READ_BYTES: Final = 65536
_MAX_DESCRIPTOR: Final = 65536


def run_hook(hook: Hook, state: bytes, *, kind: str, directory: str = "") -> None:
    """Run `hook` with `state` (JSON) on its standard input, in `directory` if one is given.

    `kind` is such as `prestart`, for the error. Raises `KernelRefused`.
    """
    given = _file_with(state)
    output, told = os.pipe()
    try:
        pid = kernel.clone(0)
        if pid == 0:
            _become(hook, given, told, directory)
        os.close(told)
        told = -1
        said, problem = _follow(pid, output, hook.timeout)
    finally:
        for descriptor in (given, output, told):
            if descriptor >= 0:
                os.close(descriptor)
    if problem:
        heard = f": {said}" if said else ""
        raise KernelRefused(
            f"{kind} hook", errno.ECANCELED, f"{kind} hook {hook.path}: {problem}{heard}"
        )


def _file_with(state: bytes) -> int:
    """A file in memory, so that a hook which reads nothing holds up nobody who writes."""
    descriptor = os.memfd_create("state")
    while state:
        state = state[os.write(descriptor, state) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _become(hook: Hook, given: int, told: int, directory: str) -> NoReturn:
    try:
        os.dup2(given, 0)
        os.dup2(told, 1)
        os.dup2(told, 2)
        os.closerange(3, _MAX_DESCRIPTOR)
        os.setpgid(0, 0)  # so that a timeout ends all of it
        kernel.reset_signals()
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        if directory:
            os.chdir(directory)
        env: dict[str, str] = {}
        for variable in hook.env:
            name, _, env[name] = variable.partition("=")
        os.execve(hook.path, hook.args or (hook.path,), env)
    except OSError as err:
        os.write(2, os.strerror(err.errno or errno.EIO).lower().encode())
    finally:
        os._exit(127)


def _follow(pid: int, output: int, timeout_s: int | None) -> tuple[str, str]:
    """Wait for the end of process `pid`: the beginning of what it said, and what went wrong."""
    ended = os.pidfd_open(pid)
    try:
        said, late = _listen(ended, output, timeout_s)
    finally:  # also if we are interrupted
        _kill(pid, ended)
        os.close(ended)
        _, status = os.waitpid(pid, 0)
    text = " ".join(said.decode("utf-8", "replace").split())
    return text, f"still running after {timeout_s} s" if late else _verdict(status)


def _listen(ended: int, output: int, timeout_s: int | None) -> tuple[bytes, bool]:
    """What was said until the process ended, and whether the time was over before that."""
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    os.set_blocking(output, False)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    poll.register(output, select.POLLIN)
    said = b""
    while True:
        ready = dict(poll.poll(_left_ms(deadline)))
        if output in ready:
            part = _read(output)
            said = (said + part)[:_KEPT_BYTES]
            if not part:
                poll.unregister(output)
        if ended in ready:
            return said, False
        if deadline is not None and time.monotonic() >= deadline:
            return said, True


def _left_ms(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000


def _read(output: int) -> bytes:
    try:
        return os.read(output, _READ_BYTES)
    except BlockingIOError:
        return b""


def _kill(pid: int, ended: int) -> None:
    """End it and its group, unless it has ended: what a hook leaves running is meant to."""
    if not select.select((ended,), (), (), 0)[0]:
        for kill in (os.killpg, os.kill):
            with contextlib.suppress(ProcessLookupError):
                kill(pid, signal.SIGKILL)


def _verdict(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        return f"killed by signal {-code}"
    return f"exit code {code}" if code else ""
