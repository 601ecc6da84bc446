"""Fork a shim for each container, and bring swarmd back when it dies.

A message on the socket is one datagram: `run` with one end of a socket pair, which the new
shim answers on; `stopping`, the watched daemon means to end; `yield`, a new launcher takes
over. Nothing is read that could block, nothing is kept: killed at any moment, it loses nothing
but requests that nobody has acted on, and their clients see their socket close.

usage: python -m runtime.io.launcher --socket PATH --run-root DIR [--respawn PID FILE]
"""

# Plain strings: pathlib would cost every shim memory. What is loaded first is the point of it.
# ruff: noqa: E402, PTH100, PTH103, PTH105, PTH108

import contextlib
import gc
import os
import select
import signal
import socket
import struct
import sys
import time
from typing import Final, NoReturn

from runtime.light import load_msgspec

load_msgspec()  # each fork copies the page tables of all that we have

import msgspec
from msgspec import Struct

from runtime.io import host, kernel, preparing, sealing, sockets
from runtime.io.filling import fill
from runtime.io.hierarchies import host_layout
from runtime.io.planning import default_filter
from runtime.io.process import Surroundings, rehearse
from runtime.io.spares import Spares
from runtime.io.title import arguments
from runtime.layout import containers_dir
from runtime.respawn import Respawns, after_death
from runtime.wire import RUN, RUN_APART, STOPPING, YIELD

_BACKLOG: Final = 64
_TAKE_OVER_S: Final = 2.0
_REHEARSALS: Final = 20
_QUIET_MS: Final = 12  # without a request: making a spare slows a start down
_ONE_DESCRIPTOR: Final = socket.CMSG_SPACE(4)
_PEER_CREDENTIALS: Final = struct.Struct("3i")


class Daemon(Struct, frozen=True, kw_only=True):
    """How to start swarmd again, as it writes it into the file given to --respawn."""

    argv: tuple[str, ...]
    env: dict[str, str]
    cwd: str


class Launcher:
    """The loop: requests in, forks out."""

    def __init__(self, listener: socket.socket, around: Surroundings) -> None:
        self._listener = listener
        self._spares = Spares(around)
        self._clients: dict[int, socket.socket] = {}
        self._poll = select.poll()
        self._poll.register(listener.fileno(), select.POLLIN)
        self._watched: _Watched | None = None
        self._yielded = False

    def watch(self, pid: int, file: str) -> None:
        """Start the daemon described in `file` again when process `pid` dies."""
        self._watched = _Watched(file)
        self._watched.follow(pid)
        self._register_watched()

    def serve(self) -> None:
        """Go on until a new launcher takes over."""
        while not self._yielded:
            ready = self._poll.poll(_QUIET_MS if self._spares.are_wanted else self._timeout_ms())
            for descriptor, _ in ready:
                self._ready(descriptor)
            if not ready and self._spares.are_wanted:
                self._spares.add()
            if self._watched is not None and self._watched.is_due(time.time()):
                self._watched.start_again()
                self._register_watched()

    def _register_watched(self) -> None:
        if self._watched is not None and self._watched.pidfd >= 0:
            self._poll.register(self._watched.pidfd, select.POLLIN)

    def _timeout_ms(self) -> float | None:
        due_at = self._watched.due_at if self._watched is not None else None
        return None if due_at is None else max(0.0, due_at - time.time()) * 1000

    def _ready(self, descriptor: int) -> None:
        if descriptor == self._listener.fileno():
            self._accept()
        elif self._watched is not None and descriptor == self._watched.pidfd:
            self._poll.unregister(descriptor)
            os.close(descriptor)
            self._watched.died(time.time())
        else:
            self._hear(descriptor)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionAbortedError):
            client, _ = self._listener.accept()
            client.setblocking(False)
            self._clients[client.fileno()] = client
            self._poll.register(client.fileno(), select.POLLIN)

    def _hear(self, descriptor: int) -> None:
        try:
            message, passed, _, _ = self._clients[descriptor].recvmsg(64, _ONE_DESCRIPTOR)
        except BlockingIOError:
            return
        except OSError:
            message, passed = b"", []
        if not message:
            self._poll.unregister(descriptor)
            self._clients.pop(descriptor).close()
        elif message in (RUN, RUN_APART) and passed:
            link = int.from_bytes(passed[0][2][:4], sys.byteorder)
            self._run(link, apart=message == RUN_APART)
        elif message == STOPPING and self._watched is not None:
            self._watched.leave_alone()
        elif message == YIELD:
            self._yield()

    def _run(self, link: int, *, apart: bool) -> None:
        try:
            self._spares.hand_over(link, apart=apart)
        except OSError as err:  # out of processes or memory: the client sees its end close
            sys.stderr.write(f"launcher: cannot fork a shim: {err}\n")
        os.close(link)

    def _yield(self) -> None:
        """Act on what was asked of us before, then make room."""
        self._yielded = True
        for descriptor in list(self._clients):
            while descriptor in self._clients and sockets.is_readable(descriptor):
                self._hear(descriptor)


class _Watched:
    """The daemon whose death is noticed, and when it is started again."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._left_alone = False
        self.due_at: float | None = None
        self.pidfd = -1

    def follow(self, pid: int) -> None:
        """Watch process `pid`, which may be dead already."""
        try:
            self.pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            self.died(time.time())

    def leave_alone(self) -> None:
        """Believe the next death to be meant."""
        self._left_alone = True

    def is_due(self, now: float) -> bool:
        """Whether the daemon is to be started now."""
        return self.due_at is not None and now >= self.due_at

    def died(self, now: float) -> None:
        """Decide when to act. The record is written first: a crash must not reset it."""
        self.pidfd, self.due_at = -1, None
        if self._left_alone:
            return
        record_file = f"{self._file}.respawns"
        try:
            record = msgspec.json.decode(host.read(record_file), type=Respawns)
        except msgspec.DecodeError:
            record = Respawns()
        record, delay_s = after_death(record, now=now)
        with contextlib.suppress(OSError):  # a full disk must not keep the daemon dead
            with open(f"{record_file}.new", "wb") as file:
                file.write(msgspec.json.encode(record))
            os.replace(f"{record_file}.new", record_file)
        self.due_at = now + delay_s

    def start_again(self) -> None:
        """Fork and become the daemon; watch it as its predecessor was watched."""
        self.due_at = None
        try:
            daemon = msgspec.json.decode(host.read(self._file), type=Daemon)
        except msgspec.DecodeError as err:
            sys.stderr.write(f"launcher: cannot read {self._file}: {err}\n")
            return
        pid = os.fork()
        if pid == 0:
            _become(daemon)
        self.follow(pid)


def _become(daemon: Daemon) -> NoReturn:
    try:
        os.dup2(sys.stdout.fileno(), 1, inheritable=True)
        os.dup2(sys.stderr.fileno(), 2, inheritable=True)
        os.setsid()
        for number in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        with contextlib.suppress(OSError):
            os.chdir(daemon.cwd)
        os.execve(daemon.argv[0], daemon.argv, daemon.env)
    except OSError as err:
        sys.stderr.write(f"launcher: cannot start {daemon.argv[0]} again: {err}\n")
    os._exit(127)


def take_over(path: str) -> None:
    """Have a launcher that already listens on `path` make room; kill it if it does not."""
    try:
        link = sockets.connect(path, socket.SOCK_SEQPACKET)
    except OSError:
        return
    with link:
        raw = link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER_CREDENTIALS.size)
        pid, _, _ = _PEER_CREDENTIALS.unpack(raw)
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            return
        with contextlib.suppress(OSError):
            link.send(YIELD)
        if not select.select((pidfd,), (), (), _TAKE_OVER_S)[0]:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            select.select((pidfd,), (), (), _TAKE_OVER_S)
        os.close(pidfd)


def listen(path: str) -> socket.socket:
    """Listen beside `path` and move there, so that clients always find someone or no one."""
    beside = f"{path}.{os.getpid()}"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(beside)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    sockets.bind(listener, beside, _BACKLOG)
    take_over(path)
    os.replace(beside, path)
    return listener


class _Options(Struct, frozen=True):
    socket: str
    run_root: str
    respawn: tuple[int, str] | None


def _parse(words: list[str]) -> _Options:
    """Read the command line. argparse would add a third to what every fork has to copy."""
    socket_path, run_root, respawn = "", "", None
    while words:
        match words:
            case ["--socket", socket_path, *words]:
                pass
            case ["--run-root", run_root, *words]:
                pass
            case ["--respawn", pid, file, *words] if pid.isdecimal():
                respawn = (int(pid), os.path.abspath(file))
            case _:
                sys.exit(f"launcher: cannot read {' '.join(words)}\n\n{__doc__}")
    if not socket_path or not run_root:
        sys.exit(f"launcher: --socket and --run-root are needed\n\n{__doc__}")
    return _Options(os.path.abspath(socket_path), os.path.abspath(run_root), respawn)


def _keep_output() -> None:
    """Leave /dev/null where output goes, so that no shim holds a pipe of ours open."""
    sys.stdout, sys.stderr = os.fdopen(os.dup(1), "w", 1), os.fdopen(os.dup(2), "w", 1)
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor, inheritable=True)
    os.close(null)
    os.chdir("/")


def main() -> None:
    """Parse the command line and serve."""
    options = _parse(sys.argv[1:])
    # Our forks run programs in containers, which could otherwise write what we are executed from.
    sealing.run_sealed([sys.executable, *sys.orig_argv[1:]])
    with contextlib.suppress(PermissionError):
        os.setsid()  # so that Ctrl-C in swarmd's terminal is swarmd's alone
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # shims reap themselves
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.makedirs(containers_dir(options.run_root), 0o700, exist_ok=True)
    around = Surroundings(
        run_root=options.run_root,
        layout=host_layout(),
        last_capability=int(host.read("/proc/sys/kernel/cap_last_cap")),
        title=arguments(),
        default_filter=default_filter(options.run_root),
    )
    launcher = Launcher(listen(options.socket), around)
    if options.respawn:
        launcher.watch(*options.respawn)
    _keep_output()
    kernel.set_name("swarmd-launcher")
    preparing.prepare(around.layout)
    for _ in range(_REHEARSALS):
        rehearse(around)
    # A collection would touch, and so copy, every page that the shims share with us.
    gc.collect()
    gc.disable()
    gc.freeze()
    _filled = fill()  # and kept
    launcher.serve()


if __name__ == "__main__":
    main()
