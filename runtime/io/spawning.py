"""Make a process that becomes the program of a plan, and hear from it until it does.

The process is our child, whoever had to be forked in between. It talks to us over a socket
that closes on exec: the last word decides. With a gate it stops when all is done but the exec,
and then depends on nobody; `open_gate` lets it go on, and hears how that ends. Until then it
dies with us. If anything fails, the processes are killed and what the plan did to the host is
undone before the error is raised.
"""

# Plain strings: pathlib would cost every command time.

import contextlib
import errno
import fcntl
import os
import signal
import struct
from _socket import (
    AF_UNIX,
    CMSG_SPACE,
    SO_PASSCRED,
    SOCK_SEQPACKET,
    SOCK_STREAM,
    SOL_SOCKET,
    SocketType,
    socketpair,
)
from collections.abc import Callable
from typing import Final, NoReturn

import msgspec
from msgspec import Struct

from runtime import constants as k
from runtime.io import host, kernel, sockets
from runtime.io.inside.applying import Inside, carry_out
from runtime.io.title import arguments
from runtime.plan import Plan
from runtime.steps import own, undo
from swarm.errors import KernelRefused

_MESSAGE_BYTES: Final = 1 << 16
_GO: Final = b"go"
_CONSOLE_NAME: Final = b"/dev/ptmx"
_FREE: Final = 10  # descriptors below are moved about
_CREDENTIALS: Final = struct.Struct("3i")  # pid, uid, gid
_CHANGED: Final = (signal.SIGCHLD, signal.SIGINT)  # by Python and by us


class Stdio(Struct, frozen=True):
    """The program's standard streams; -1 is the null device.

    A process with a terminal gets that instead, and `console`, a connected unix socket, is
    sent its master.
    """

    stdin: int = -1
    stdout: int = -1
    stderr: int = -1
    console: int = -1


class Spawned(Struct, frozen=True):
    """The process, by the number that we know it by. It is for us to wait for."""

    pid: int


class _Continued(Struct, frozen=True, tag="continued"):
    """From here on it is the sender that goes on."""


class _Created(Struct, frozen=True, tag="created"):
    """It waits for the hooks of its creation."""


class _Ready(Struct, frozen=True, tag="ready"):
    """It waits at the gate."""


class _Executing(Struct, frozen=True, tag="executing"):
    """What follows is the program, or why there is none."""


class _Refused(Struct, frozen=True, tag="refused"):
    step: str
    errno: int
    message: str
    hint: str


_Message = _Continued | _Created | _Ready | _Executing | _Refused
_MESSAGES: Final[msgspec.json.Decoder[_Message]] = msgspec.json.Decoder(_Message)


def spawn(
    plan: Plan,
    stdio: Stdio,
    *,
    gate: SocketType | None = None,
    on_created: Callable[[int], None] | None = None,
    preserve_fds: int = 0,
) -> Spawned:
    """Carry `plan` out in a child, and return when its program runs, or waits at `gate`.

    `on_created` is called with the child's number when its namespaces and mounts are there and
    the host is still in sight. `preserve_fds` descriptors from 3 on are the program's. Raises
    `KernelRefused`, or what `on_created` raises.
    """
    ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET)
    ours.setsockopt(SOL_SOCKET, SO_PASSCRED, 1)
    following = _Following(ours, on_created)
    try:
        following.pids.append(kernel.clone(plan.clone))
        if following.pids[0] == 0:
            ours.close()
            _become(plan, stdio, _Oversight(theirs, gate, stdio.console, preserve_fds))
        theirs.close()
        return Spawned(following.until(_Ready if gate is not None else None))
    except BaseException:  # also if we are interrupted
        theirs.close()
        following.kill()
        host.revert(undo(own(plan.host)))
        raise
    finally:
        ours.close()
        theirs.close()


def open_gate(path: str) -> None:
    """Let the process behind the gate at `path` go on; returns when its program runs.

    Raises `KernelRefused` with what the process says, `OSError` if nobody waits there.
    """
    with contextlib.closing(sockets.connect_bare(path, SOCK_STREAM)) as link:
        link.setblocking(True)
        told = b""
        with contextlib.suppress(ConnectionResetError):
            while part := link.recv(_MESSAGE_BYTES):
                told += part
    messages = [_MESSAGES.decode(line) for line in told.splitlines()]
    match messages:
        case [*_, _Refused() as no]:
            raise _refusal(no)
        case [*_, _Executing()]:
            return
        case _:
            raise _silent("start")


def _refusal(no: _Refused) -> KernelRefused:
    return KernelRefused(no.step, no.errno, no.message, hint=no.hint)


def _silent(step: str) -> KernelRefused:
    return KernelRefused(
        step, errno.EIO, "the process ended before its program could run",
        hint="a memory limit that is too low for a start does this",
    )  # fmt: skip


class _Following:
    """Our side of it."""

    def __init__(self, link: SocketType, on_created: Callable[[int], None] | None) -> None:
        self.pids: list[int] = []
        self._gone: set[int] = set()
        self._link = link
        self._on_created = on_created

    def until(self, last: type[_Ready] | None) -> int:
        """Hear until the message `last`, or until the program runs; the process's number."""
        runs = False
        while message := self._receive():
            match message:
                case _Continued():
                    while len(self.pids) > 1:  # they are about to end
                        self._wait(self.pids[0])
                case _Created():
                    if self._on_created is not None:
                        self._on_created(self.pids[-1])
                    self._link.send(_GO)
                case _Ready():
                    return self.pids[-1]
                case _Executing():
                    runs = last is None
                case _Refused() as no:
                    raise _refusal(no)
        if not runs:
            raise _silent("start" if last is None else "create")
        return self.pids[-1]

    def _receive(self) -> _Message | None:
        """The next message, its sender among `pids`; None when nobody is left to send one.

        A process cannot tell its own number: it may be in a namespace that counts anew. The
        kernel tells us, by the number that it has where we are.
        """
        try:
            raw, told, _, _ = self._link.recvmsg(_MESSAGE_BYTES, CMSG_SPACE(_CREDENTIALS.size))
        except ConnectionResetError:  # it died with something from us unread
            return None
        if not raw:
            return None
        pid, _, _ = _CREDENTIALS.unpack(told[0][2])
        if pid not in self.pids and pid not in self._gone:
            self.pids.append(pid)
        return _MESSAGES.decode(raw)

    def kill(self) -> None:
        """Leave no process: one that was forked meanwhile speaks up before anything else."""
        while self.pids:
            for pid in reversed(self.pids):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            while self.pids:
                self._wait(self.pids[0])
            with contextlib.suppress(OSError, msgspec.DecodeError):
                while not self.pids and self._receive() is not None:
                    pass

    def _wait(self, pid: int) -> None:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
        self.pids.remove(pid)
        self._gone.add(pid)


class _Oversight:
    """The child's side of it (`runtime.io.inside.held.Overseer`)."""

    def __init__(
        self, link: SocketType, gate: SocketType | None, console: int, preserved: int
    ) -> None:
        self.title = arguments()
        self.preserved = preserved
        self.has_gate = gate is not None
        self._link = link
        self._gate = gate
        self._console = console

    def say(self, message: _Message) -> None:
        """The socket keeps messages apart; at the gate, lines do."""
        self._link.send(msgspec.json.encode(message) + b"\n")

    def continued(self) -> None:
        """Nothing that it says can come before this. A child does not inherit the signal."""
        kernel.prctl(k.PR_SET_PDEATHSIG, signal.SIGKILL)
        self.say(_Continued())

    def created(self) -> None:
        """Wait for the hooks. If our parent is gone, so are we."""
        self.say(_Created())
        if self._link.recv(len(_GO)) != _GO:
            os._exit(127)

    def terminal(self, master: int) -> None:
        """Pass it on."""
        if self._console < 0:
            raise OSError(errno.EBADF, "nobody takes the terminal's other side")
        import socket  # for few, and it takes a while

        with socket.socket(fileno=os.dup(self._console)) as console:
            socket.send_fds(console, [_CONSOLE_NAME], [master])

    def ready(self) -> None:
        """From here on we outlive our parent; whoever comes to the gate is told the rest."""
        assert self._gate is not None
        kernel.prctl(k.PR_SET_PDEATHSIG, 0)
        self.say(_Ready())
        self._link.close()
        descriptor = kernel.accept(self._gate.fileno())
        self._link = SocketType(AF_UNIX, SOCK_STREAM, 0, descriptor)
        self._gate.close()

    def executing(self) -> None:
        """The last word, unless the exec fails."""
        kernel.prctl(k.PR_SET_PDEATHSIG, 0)
        try:
            self.say(_Executing())
        except OSError:
            if not self.has_gate:  # whoever has opened one may be gone, but it is open
                raise


def _become(plan: Plan, stdio: Stdio, overseer: _Oversight) -> NoReturn:
    try:
        overseer.continued()
        with contextlib.suppress(PermissionError):
            os.setsid()
        _place_streams(stdio)
        kernel.reset_signals(*_CHANGED)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.umask(0)
        no = carry_out(plan, Inside(overseer))
    except BaseException as bug:  # nobody above us: unsaid, it would look like a kill
        no = KernelRefused("start", errno.EIO, f"bug: {bug!r}")
    with contextlib.suppress(OSError):
        overseer.say(_Refused(no.step, no.errno, no.message, no.hint))
    os._exit(127)


def _place_streams(stdio: Stdio) -> None:
    """Move each out of the way first: one may be where another belongs."""
    moved = [_moved(each) for each in (stdio.stdin, stdio.stdout, stdio.stderr)]
    for number, descriptor in enumerate(moved):
        os.dup2(descriptor, number, inheritable=True)
        os.close(descriptor)


def _moved(descriptor: int) -> int:
    if descriptor >= 0:
        with contextlib.suppress(OSError):  # closed
            return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _FREE)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    moved = fcntl.fcntl(null, fcntl.F_DUPFD_CLOEXEC, _FREE)
    os.close(null)
    return moved
