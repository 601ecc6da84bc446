"""Become the container's process 1: from the spec on a socket to the exec of its program.

All work is done here, planning and the steps of the host too: what this process touches is
gone with its exec, while every page that the shim touched would stay for as long as the
container runs. The shim is told how far it came over a pipe that closes on exec, one JSON
message a line; if `Executing` is the last of them, the program runs.
"""

# Plain strings: pathlib would cost every shim memory.
# ruff: noqa: PTH102, PTH104, PTH110, PTH115

import contextlib
import errno
import os
import signal
import socket
import time
from typing import Final, NoReturn

import msgspec
from msgspec import Struct

from runtime import constants as k
from runtime.cgroups import groups
from runtime.cgroups.layout import Layout
from runtime.io import host, kernel, sockets
from runtime.io.inside import Inside
from runtime.io.title import set_title
from runtime.layout import SOCKET_NAME, SPEC_NAME, ContainerDir, unclaimed_dir
from runtime.outcome import ContainerState
from runtime.plan import make_plan
from runtime.spec import ContainerSpec, Health, Log
from runtime.steps import ContainerStep, Execute, HostStep, RemoveCgroup, own, undo
from runtime.translation import group_path, to_resources
from runtime.wire import Claimed, Refused, encode
from swarm.errors import KernelRefused

_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MAX_DESCRIPTOR: Final = 65536
_SPEC_TIMEOUT_S: Final = 10.0
_SPEC_BYTES: Final = 1 << 18
_BACKLOG: Final = 16
# What Python and the launcher have changed from what a program expects.
_IGNORED: Final = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD, signal.SIGINT)


class Surroundings(Struct, frozen=True, kw_only=True):
    """What the launcher found out once, for all containers."""

    run_root: str
    layout: Layout
    last_capability: int
    title: tuple[int, int]


class Upkeep(Struct, frozen=True, kw_only=True, tag="upkeep"):
    """The container's directory is ours; what the shim needs from now to the end."""

    container_id: str
    log: Log
    health: Health | None
    group: str
    oom_file: str
    groups: tuple[RemoveCgroup, ...]


class Executing(Struct, frozen=True, tag="executing"):
    """Every step was carried out; what follows is the program, or `Refused` by its exec.

    `state` is an encoded `ContainerState`, ready for the shim to keep and to pass on.
    """

    state: msgspec.Raw


Fate = Upkeep | Executing | Refused


class Pipes(Struct, frozen=True):
    """The writing ends: the container's output, and the report to the shim."""

    stdout: int
    stderr: int
    report: int


_SPECS: Final = msgspec.json.Decoder(ContainerSpec)


def become(
    link_descriptor: int, listener: socket.socket, pipes: Pipes, around: Surroundings
) -> NoReturn:
    """Be a container, or say why not and leave it to the shim to undo what was done."""
    link = socket.socket(fileno=link_descriptor)
    doing: HostStep | ContainerStep | None = None
    try:
        _prepare(pipes)
        raw = _receive_spec(link)
        spec = _decode(raw)
        state = _identify(spec.id)
        directory = ContainerDir(around.run_root, spec.id)
        _claim(unclaimed_dir(around.run_root, state.pid), directory.path, raw, listener)
        plan = make_plan(
            spec,
            layout=around.layout,
            directory=directory.path,
            last_capability=around.last_capability,
        )
        _say(pipes.report, _upkeep(spec, around.layout))
        with contextlib.suppress(OSError):  # a client that has left learns it from the directory
            link.sendall(encode(Claimed()))
        for doing in plan.host:
            host.apply(doing)
        inside = Inside()
        for doing in plan.container:
            if isinstance(doing, Execute):
                _execute(doing, inside, pipes.report, around.title, state)
            inside.apply(doing)
        raise AssertionError("a plan ends with Execute")
    except OSError as failure:
        assert doing is not None
        no = host.refusal(doing, failure)
    except KernelRefused as failure:
        no = failure
    except BaseException as bug:  # nobody above us: unsaid, it would look like a kill
        no = KernelRefused("start", errno.EIO, f"bug: {bug!r}")
    _say(pipes.report, Refused(no.step, no.errno, no.message, no.hint))
    os._exit(127)


def _receive_spec(link: socket.socket) -> bytes:
    """The first line. A client that goes away before its end takes this process along."""
    link.settimeout(_SPEC_TIMEOUT_S)
    parts: list[bytes] = []
    while not parts or not parts[-1].endswith(b"\n"):
        try:
            parts.append(link.recv(_SPEC_BYTES))
        except TimeoutError:
            os._exit(0)
        if not parts[-1]:
            os._exit(0)
    return b"".join(parts)


def _decode(raw: bytes) -> ContainerSpec:
    try:
        return _SPECS.decode(raw)
    except msgspec.DecodeError as err:
        raise KernelRefused("read spec", errno.EINVAL, f"spec: {err}") from err


def _claim(unclaimed: str, claimed: str, raw: bytes, listener: socket.socket) -> None:
    """Make the container's directory appear whole, or raise `KernelRefused` if it exists."""
    try:
        os.mkdir(unclaimed, 0o700)
        sockets.bind(listener, f"{unclaimed}/{SOCKET_NAME}", _BACKLOG)
        host.replace_file(f"{unclaimed}/{SPEC_NAME}", raw)
        os.rename(unclaimed, claimed)
    except OSError as err:
        with contextlib.suppress(OSError):
            host.remove_tree(unclaimed)
        number = err.errno or errno.EIO
        text = f"{claimed}: {os.strerror(number).lower()}"
        raise KernelRefused("claim", number, text) from err


def _upkeep(spec: ContainerSpec, layout: Layout) -> Upkeep:
    made = groups.make(layout, group_path(spec), to_resources(spec.resources))
    return Upkeep(
        container_id=spec.id,
        log=spec.log,
        health=spec.health,
        group=group_path(spec),
        oom_file=groups.oom_file(layout, group_path(spec)),
        groups=tuple(each for each in undo(own(made)) if isinstance(each, RemoveCgroup)),
    )


def _identify(container_id: str) -> ContainerState:
    """Who we are to the host. /proc is still the host's; our own number for us is 1 already."""
    pid = int(os.readlink("/proc/self"))
    fields = host.read("/proc/self/stat").rpartition(")")[2].split()
    return ContainerState(
        container_id=container_id, pid=pid, pid_started_ticks=int(fields[19]), started_at=0.0
    )


def _say(report: int, message: Fate) -> None:
    os.write(report, encode(message))


def _prepare(pipes: Pipes) -> None:
    os.setsid()
    os.dup2(pipes.stdout, 1, inheritable=True)
    os.dup2(pipes.stderr, 2, inheritable=True)
    for number in _IGNORED:
        signal.signal(number, signal.SIG_DFL)
    kernel.reset_internal_signals()
    os.umask(0)


def _execute(
    step: Execute,
    inside: Inside,
    report: int,
    title: tuple[int, int],
    state: ContainerState,
) -> None:
    """Returns only by raising."""
    state = msgspec.structs.replace(state, started_at=time.time())
    executing = Executing(msgspec.Raw(msgspec.json.encode(state)))
    env = {"HOME": inside.identity.home}
    for variable in step.env:
        name, _, env[name] = variable.partition("=")
    kernel.close_range_on_exec(3)
    if step.init:
        _stay_behind(title)
    _say(report, executing)
    raise execute(step.args, env)


def execute(args: tuple[str, ...], env: dict[str, str]) -> KernelRefused:
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
