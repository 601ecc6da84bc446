"""Fork the container's process 1 and see it through to its exec.

The child tells its fate over a pipe that closes on exec: nothing and end of file, it died on
the way; the mark alone, the program runs; a refusal, this step failed. So `spawn` returns only
once the program itself runs, and an exit of it a moment later is not mistaken for a failure.
"""

# Plain strings: pathlib would cost every shim memory.
# ruff: noqa: PTH110

import errno
import os
import signal
from collections.abc import Iterable
from typing import Final, NoReturn

import msgspec
from msgspec import Struct

from runtime import constants as k
from runtime.io import kernel
from runtime.io.host import refusal
from runtime.io.inside import Inside
from runtime.io.title import set_title
from runtime.steps import ContainerStep, Execute
from runtime.wire import Refused
from swarm.errors import KernelRefused

_REACHED_EXEC: Final = b"!"
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_REFUSALS: Final = msgspec.json.Decoder(Refused)
_MAX_DESCRIPTOR: Final = 65536
# What Python and the launcher have changed from what a program expects.
_IGNORED: Final = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD, signal.SIGINT)


class Child(Struct, frozen=True, kw_only=True):
    """Process 1 and the reading ends of its output."""

    pid: int
    pidfd: int
    stdout: int
    stderr: int


def spawn(steps: Iterable[ContainerStep], *, title: tuple[int, int]) -> Child:
    """Start process 1 in a new pid namespace. Raises `KernelRefused`, leaving no process."""
    stdout, out = os.pipe()
    stderr, err = os.pipe()
    fate, report = os.pipe()
    kernel.unshare(k.CLONE_NEWPID)
    pid = os.fork()
    if pid == 0:
        _become(steps, out, err, report, title)
    for descriptor in (out, err, report):
        os.close(descriptor)
    told = _read_all(fate)
    os.close(fate)
    if told == _REACHED_EXEC:
        return Child(pid=pid, pidfd=os.pidfd_open(pid), stdout=stdout, stderr=stderr)
    _, status = os.waitpid(pid, 0)
    os.close(stdout)
    os.close(stderr)
    raise _fate(told, status)


def _read_all(descriptor: int) -> bytes:
    told = b""
    while part := os.read(descriptor, 65536):
        told += part
    return told


def _fate(told: bytes, status: int) -> KernelRefused:
    text = told.removeprefix(_REACHED_EXEC)
    if text:
        refused = _REFUSALS.decode(text)
        return KernelRefused(refused.step, refused.errno, refused.message, hint=refused.hint)
    code = os.waitstatus_to_exitcode(status)
    return KernelRefused(
        "start", errno.EIO, f"process 1 ended with {code} before its program could run",
        hint="a memory limit that is too low for a start does this",
    )  # fmt: skip


def _become(
    steps: Iterable[ContainerStep], out: int, err: int, report: int, title: tuple[int, int]
) -> NoReturn:
    """Everything from fork to exec. Whatever goes wrong must reach the shim."""
    step: ContainerStep | None = None
    try:
        _prepare(out, err)
        inside = Inside()
        for step in steps:
            if isinstance(step, Execute):
                _execute(step, inside, report, title)
            inside.apply(step)
        raise AssertionError("a plan ends with Execute")
    except OSError as failure:
        assert step is not None
        told = refusal(step, failure)
    except KernelRefused as failure:
        told = failure
    except BaseException as bug:  # nobody above us: unsaid, it would look like a clean end
        told = KernelRefused(type(step).__name__, errno.EIO, f"bug: {bug!r}")
    answer = Refused(told.step, told.errno, told.message, told.hint)
    os.write(report, msgspec.json.encode(answer))
    os._exit(127)


def _prepare(out: int, err: int) -> None:
    os.setsid()
    null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    for source, target in ((null, 0), (out, 1), (err, 2)):
        os.dup2(source, target, inheritable=True)
    for number in _IGNORED:
        signal.signal(number, signal.SIG_DFL)
    os.umask(0)


def _execute(step: Execute, inside: Inside, report: int, title: tuple[int, int]) -> None:
    """Returns only by raising."""
    env = {"HOME": inside.identity.home}
    for variable in step.env:
        name, _, env[name] = variable.partition("=")
    kernel.close_range_on_exec(3)
    if step.init:
        _stay_behind(title)
    os.write(report, _REACHED_EXEC)
    raise _exec(step.args, env)


def _exec(args: tuple[str, ...], env: dict[str, str]) -> KernelRefused:
    """Become the program; the reason if that is impossible."""
    name, path = args[0], env.get("PATH", _PATH)
    candidates = [name] if "/" in name else [f"{each or '.'}/{name}" for each in path.split(":")]
    worst = errno.ENOENT
    for candidate in candidates:
        try:
            os.execve(candidate, args, env)
        except OSError as err:
            number = err.errno or errno.EIO
            if number not in (errno.ENOENT, errno.ENOTDIR) or os.path.exists(candidate):
                worst, name = number, candidate
            if worst not in (errno.ENOENT, errno.EACCES):
                break
    return _exec_refused(name, worst, path)


def _exec_refused(name: str, number: int, path: str) -> KernelRefused:
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
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        return
    os.closerange(3, _MAX_DESCRIPTOR)  # the shim's sockets, or its death would go unnoticed
    kernel.prctl(k.PR_SET_DUMPABLE, 0)
    set_title("swarmd-init", place=title)
    while True:
        number = signal.sigwait(everything)
        if number == signal.SIGCHLD:
            _reap(child)
        else:
            os.kill(child, number)


def _reap(child: int) -> None:
    """Collect every process that has ended; with the program itself, end too."""
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)
        if pid == 0:
            return
