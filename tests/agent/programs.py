"""Run programs of this host where a runtime would run them in containers.

It keeps the promises of `runtime.io.client.Runtime`: descriptors that never block, a program
that is killed when it is closed before its end, refusals as the kernel words them.
"""

import asyncio
import contextlib
import errno
import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios

from runtime.joining import ExecSpec
from runtime.outcome import Exited
from swarm.errors import KernelRefused, Missing, Refused


class FakeExec:
    """One program."""

    def __init__(self, process: subprocess.Popen[bytes], spec: ExecSpec, fds: tuple[int, ...]):
        self.container_id = "t1"
        self.tty = spec.tty
        self.process = process
        self.pid = process.pid
        self.stdin_fd, self.stdout_fd, self.stderr_fd = fds
        for each in {*fds} - {-1}:
            os.set_blocking(each, False)
        self.is_closed = False
        self._is_detached = spec.detach
        self._waiting = asyncio.ensure_future(self._reap())

    async def wait(self) -> int:
        return await asyncio.shield(self._waiting)

    async def kill(self, number: int) -> None:
        try:
            os.kill(self.pid, number)
        except ProcessLookupError as err:
            raise Missing("it has ended") from err

    def resize(self, rows: int, columns: int) -> None:
        if self.tty:
            fcntl.ioctl(self.stdout_fd, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def close_stdin(self) -> None:
        if not self.tty and self.stdin_fd >= 0:
            os.close(self.stdin_fd)
            self.stdin_fd = -1

    def close(self) -> None:
        self.is_closed = True
        if not self._is_detached:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        for each in {self.stdin_fd, self.stdout_fd, self.stderr_fd} - {-1}:
            os.close(each)
        self.stdin_fd = self.stdout_fd = self.stderr_fd = -1

    async def _reap(self) -> int:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        descriptor = os.pidfd_open(self.pid)
        loop.add_reader(descriptor, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
        code = self.process.wait()
        return code if code >= 0 else 128 - code


class FakeAttachment:
    """A joined program, of which the test holds the other ends."""

    def __init__(self) -> None:
        self.container_id = "t1"
        self.tty = False
        reading, self.stdin_fd = os.pipe()
        self.stdout_fd, self.program_out = os.pipe()
        self.stderr_fd, self.program_err = os.pipe()
        self.program_in = reading
        for each in (self.stdin_fd, self.stdout_fd, self.stderr_fd):
            os.set_blocking(each, False)
        self.over: asyncio.Future[Exited] = asyncio.get_running_loop().create_future()
        self.size: tuple[int, int] | None = None
        self.is_closed = False

    async def wait(self) -> Exited:
        return await asyncio.shield(self.over)

    def resize(self, rows: int, columns: int) -> None:
        self.size = (rows, columns)

    async def end_input(self) -> None:
        os.close(self.stdin_fd)
        self.stdin_fd = -1

    def close(self) -> None:
        self.is_closed = True
        for each in {self.stdin_fd, self.stdout_fd, self.stderr_fd} - {-1}:
            os.close(each)
        self.stdin_fd = self.stdout_fd = self.stderr_fd = -1

    def end(self, code: int) -> None:
        """The container ends, and its shim has said all it had to."""
        self.close_program()
        self.over.set_result(Exited(container_id="t1", exit_code=code))

    def close_program(self) -> None:
        for each in {self.program_in, self.program_out, self.program_err} - {-1}:
            os.close(each)
        self.program_in = self.program_out = self.program_err = -1


class FakeRuntime:
    """Runs what it is asked to on this host, and remembers it."""

    def __init__(self) -> None:
        self.specs: list[ExecSpec] = []
        self.programs: list[FakeExec] = []
        self.attachments: list[FakeAttachment] = []
        self.killed: list[tuple[str, int]] = []
        self.is_paused = False

    async def exec(self, container_id: str, spec: ExecSpec) -> FakeExec:
        if self.is_paused:
            raise Refused(f"container {container_id} is paused", hint="resume it first")
        self.specs.append(spec)
        program = FakeExec(*_start(spec))
        self.programs.append(program)
        return program

    async def attach(self, container_id: str) -> FakeAttachment:
        self.attachments.append(FakeAttachment())
        return self.attachments[-1]

    async def kill(self, container_id: str, signal: int) -> None:
        self.killed.append((container_id, signal))

    def close(self) -> None:
        """End all that still runs."""
        for each in self.programs:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(each.pid, signal.SIGKILL)
            each.process.wait()
        for each in self.attachments:
            each.close_program()


def _start(spec: ExecSpec) -> tuple[subprocess.Popen[bytes], ExecSpec, tuple[int, ...]]:
    environment = os.environ | dict(each.split("=", 1) for each in spec.env)
    master, slave = pty.openpty() if spec.tty else (-1, -1)
    piped = subprocess.DEVNULL if spec.detach else subprocess.PIPE
    stdin = piped if spec.stdin else subprocess.DEVNULL
    try:
        process = subprocess.Popen(
            # Whatever runs between fork and exec would run gRPC's handlers as well.
            ("setsid", "-c", *spec.args) if spec.tty else spec.args,
            env=environment,
            cwd=spec.workdir or "/",
            stdin=slave if spec.tty else stdin,
            stdout=slave if spec.tty else piped,
            stderr=slave if spec.tty else piped,
            start_new_session=not spec.tty,
        )
    except OSError as err:
        if master >= 0:
            os.close(master)
        number = err.errno or errno.EIO
        message = f'exec: "{spec.args[0]}": {os.strerror(number).lower()}'
        raise KernelRefused("exec", number, message) from err
    finally:
        if slave >= 0:
            os.close(slave)
    if spec.tty:
        return process, spec, (master, master, -1)
    streams = (process.stdin, process.stdout, process.stderr)
    return process, spec, tuple(os.dup(each.fileno()) if each else -1 for each in _kept(streams))


def _kept(streams):  # type: ignore[no-untyped-def]
    """The streams, whose own files are closed once their descriptors are copied."""
    for each in streams:
        yield each
        if each is not None:
            each.close()
