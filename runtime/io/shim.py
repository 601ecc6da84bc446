"""Own one container: start it, keep its output, record how it ends, and then end too.

Forked by the launcher, never executed. It needs nobody: agent, launcher and swarmd may come
and go. What it knows is on disk before anyone is told, so an exit that nobody heard is found
by whoever comes next. It has no timers and sleeps until a descriptor is ready.
"""

# Plain strings: pathlib would cost every shim memory.
# ruff: noqa: PTH102, PTH104

import contextlib
import errno
import os
import select
import signal
import socket
import time
import traceback
from collections.abc import Callable
from typing import NoReturn

import msgspec
from msgspec import Struct

from runtime import wire
from runtime.cgroups import groups, memory
from runtime.cgroups.layout import Layout
from runtime.io import host, process, sockets
from runtime.io.logfile import LogFile
from runtime.io.title import set_title
from runtime.layout import SOCKET_NAME, SPEC_NAME, ContainerDir
from runtime.outcome import ContainerState, Exited
from runtime.plan import make_plan
from runtime.spec import ContainerSpec
from runtime.steps import own, undo
from swarm.errors import KernelRefused

_READ_BYTES = 65536
_SPEC_TIMEOUT_S = 10.0
_BACKLOG = 16
_SPECS = msgspec.json.Decoder(ContainerSpec)


class Surroundings(Struct, frozen=True, kw_only=True):
    """What the launcher found out once, for all its shims."""

    run_root: str
    layout: Layout
    last_capability: int
    title: tuple[int, int]


def main(link: socket.socket, around: Surroundings) -> NoReturn:
    """Be the shim of the container whose spec comes as the first line on `link`."""
    try:
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _silence()
        shim = _start(link, around)
        if shim is not None:
            shim.serve()
    except BaseException:  # top of the process: whoever finds the leftovers will want to know
        with contextlib.suppress(OSError), open(crash_file(around.run_root), "a") as file:
            traceback.print_exc(file=file)
        os._exit(70)
    os._exit(0)


def crash_file(run_root: str) -> str:
    """Where shims that fail unexpectedly say why."""
    return f"{run_root}/shim-crashes.log"


def _silence() -> None:
    """Hold on to nothing of whoever started us: a pipe kept open would hang its reader."""
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor, inheritable=True)
    os.close(null)
    os.chdir("/")


def _start(link: socket.socket, around: Surroundings) -> "Shim | None":
    raw, commands = _receive_spec(link)
    try:
        spec = _SPECS.decode(raw)
        directory = ContainerDir(around.run_root, spec.id)
        listener = _claim(directory, raw)
    except msgspec.DecodeError as err:
        _tell(link, wire.Refused("read spec", errno.EINVAL, str(err)))
        return None
    except OSError as err:
        text = f"container directory: {os.strerror(err.errno or 0).lower()}"
        _tell(link, wire.Refused("claim", err.errno or errno.EIO, text))
        return None
    _tell(link, wire.Claimed())
    set_title("swarmd-shim", spec.id, around.run_root, place=around.title)
    try:
        child = _run(spec, directory, around)
    except KernelRefused as no:
        host.remove_tree(directory.path)
        _tell(link, wire.Refused(no.step, no.errno, no.message, no.hint))
        return None
    shim = Shim(spec, directory, around.layout, child, listener)
    shim.adopt(link, commands)
    return shim


def _receive_spec(link: socket.socket) -> tuple[bytes, bytes]:
    """The first line, and what came behind it. A client that dies takes its shim along."""
    link.settimeout(_SPEC_TIMEOUT_S)
    parts: list[bytes] = []
    while True:
        part = link.recv(1 << 18)
        if not part:
            os._exit(0)
        parts.append(part)
        if b"\n" in part:
            line, _, rest = b"".join(parts).partition(b"\n")
            return line, rest


def _claim(directory: ContainerDir, raw: bytes) -> socket.socket:
    """Make the container's directory appear whole, or raise `OSError` if it exists."""
    unclaimed = directory.unclaimed(os.getpid())
    os.mkdir(unclaimed, 0o700)
    try:
        listener = sockets.listen(f"{unclaimed}/{SOCKET_NAME}", socket.SOCK_STREAM, _BACKLOG)
        _write(f"{unclaimed}/{SPEC_NAME}", raw)
        os.rename(unclaimed, directory.path)
    except OSError:
        host.remove_tree(unclaimed)
        raise
    return listener


def _run(spec: ContainerSpec, directory: ContainerDir, around: Surroundings) -> process.Child:
    """Carry out the plan, or raise `KernelRefused` with everything undone."""
    plan = make_plan(
        spec,
        layout=around.layout,
        directory=directory.path,
        last_capability=around.last_capability,
    )
    try:
        host.apply(plan.host)
        return process.spawn(plan.container, title=around.title)
    except KernelRefused:
        host.revert(undo(own(plan.host)))
        raise


def _write(path: str, content: bytes) -> None:
    """Replace a file in one step; nobody ever reads half of it."""
    descriptor = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        while content:
            content = content[os.write(descriptor, content) :]
    finally:
        os.close(descriptor)
    os.rename(f"{path}.new", path)


def _tell(link: socket.socket, report: wire.Report) -> bool:
    """Whether the client is still there."""
    try:
        link.sendall(wire.encode(report))
    except OSError:
        return False
    return True


class Shim:
    """A running container and those who watch it."""

    def __init__(
        self,
        spec: ContainerSpec,
        directory: ContainerDir,
        layout: Layout,
        child: process.Child,
        listener: socket.socket,
    ) -> None:
        self._directory = directory
        self._child = child
        self._listener = listener
        self._oom_file = groups.oom_file(layout, spec.cgroup_parent, spec.id)
        self._groups = undo(own(groups.make(layout, spec.cgroup_parent, spec.id, spec.resources)))
        self._log = LogFile(spec.log)
        self._clients: dict[int, socket.socket] = {}
        self._buffered: dict[int, bytes] = {}
        self._poll = select.poll()
        self._ready: dict[int, Callable[[int], object]] = {}
        self._ended = False
        self.state = ContainerState(
            container_id=spec.id,
            pid=child.pid,
            pid_started_ticks=started_ticks(child.pid),
            started_at=time.time(),
        )
        self._record()

    def adopt(self, link: socket.socket, commands: bytes = b"") -> None:
        """Have one more client, which is told the state."""
        link.setblocking(False)
        self._clients[link.fileno()] = link
        self._buffered[link.fileno()] = b""
        self._watch(link.fileno(), self._hear)
        self._send(link.fileno(), wire.Running(self.state))
        if commands:
            self._obey(link.fileno(), commands)

    def serve(self) -> None:
        """Go on until the container has ended and everyone knows."""
        self._listener.setblocking(False)
        self._watch(self._child.pidfd, self._reap)
        self._watch(self._child.stdout, lambda fd: self._copy(fd, "stdout"))
        self._watch(self._child.stderr, lambda fd: self._copy(fd, "stderr"))
        self._watch(self._listener.fileno(), self._accept)
        while not self._ended:
            for descriptor, _ in self._poll.poll():
                ready = self._ready.get(descriptor)
                if ready is not None and not self._ended:
                    ready(descriptor)

    def _watch(self, descriptor: int, ready: Callable[[int], object]) -> None:
        self._ready[descriptor] = ready
        self._poll.register(descriptor, select.POLLIN)

    def _forget(self, descriptor: int) -> None:
        del self._ready[descriptor]
        self._poll.unregister(descriptor)

    def _copy(self, descriptor: int, stream: str) -> bool:
        """Log what there is to read; whether there may be more."""
        output = os.read(descriptor, _READ_BYTES)
        if output:
            self._log.feed(stream, output, now_ns=time.time_ns())
        else:
            self._forget(descriptor)
        return bool(output)

    def _accept(self, _: int) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionAbortedError):
            self.adopt(self._listener.accept()[0])

    def _hear(self, descriptor: int) -> None:
        try:
            received = self._clients[descriptor].recv(_READ_BYTES)
        except OSError:
            received = b""
        if received:
            self._obey(descriptor, received)
        else:
            self._drop(descriptor)

    def _obey(self, descriptor: int, received: bytes) -> None:
        lines, rest = wire.split(self._buffered[descriptor] + received)
        self._buffered[descriptor] = rest
        for line in lines:
            try:
                command = wire.decode_command(line)
            except msgspec.DecodeError:
                self._drop(descriptor)
                return
            self._send(descriptor, wire.Answered(command.number, self._kill(command.signal)))

    def _kill(self, number: int) -> int:
        """0 or the kernel's reason. Process 1 is our unreaped child, so the pid is still its."""
        try:
            os.kill(self._child.pid, number)
        except OSError as err:
            return err.errno or errno.EIO
        return 0

    def _send(self, descriptor: int, report: wire.Report) -> None:
        link = self._clients.get(descriptor)
        if link is not None and not _tell(link, report):
            self._drop(descriptor)

    def _drop(self, descriptor: int) -> None:
        if descriptor in self._clients:
            self._forget(descriptor)
            del self._buffered[descriptor]
            self._clients.pop(descriptor).close()

    def _reap(self, _: int) -> None:
        _, status = os.waitpid(self._child.pid, 0)
        now = time.time()
        self._drain()
        self.state = msgspec.structs.replace(self.state, exited=self._exit(status, now))
        self._record()
        host.revert(self._groups)
        assert self.state.exited is not None
        for descriptor in list(self._clients):
            self._send(descriptor, wire.Ended(self.state.exited))
        self._ended = True

    def _drain(self) -> None:
        """Whoever could write is dead, so what is in the pipes is all there will be."""
        for descriptor, stream in ((self._child.stdout, "stdout"), (self._child.stderr, "stderr")):
            os.set_blocking(descriptor, False)
            with contextlib.suppress(BlockingIOError):
                while descriptor in self._ready and self._copy(descriptor, stream):
                    pass
        self._log.close(now_ns=time.time_ns())

    def _exit(self, status: int, now: float) -> Exited:
        code = os.waitstatus_to_exitcode(status)
        return Exited(
            container_id=self.state.container_id,
            exit_code=code if code >= 0 else 128 - code,
            signal=max(0, -code),
            oom_killed=memory.oom_kills(host.read(self._oom_file)) > 0,
            finished_at=now,
        )

    def _record(self) -> None:
        _write(self._directory.state_file, msgspec.json.encode(self.state))


def started_ticks(pid: int) -> int:
    """When a process started, in clock ticks since boot; 0 if it is gone."""
    fields = host.read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return int(fields[19]) if fields else 0
