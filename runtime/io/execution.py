"""Run a program in a container, holding its streams ourselves.

The shim forks the program and tells how it ends; not a byte of its streams passes through it.
The program lives as long as our connection: when `close` is called or this process dies, its
process group is killed, unless it was started with `detach`.
"""

import array
import asyncio
import contextlib
import errno
import fcntl
import os
import signal
import struct
import termios

from runtime import wire
from runtime.io.calling import Hand, call, not_running
from runtime.io.link import Link
from runtime.joining import ExecSpec, check
from runtime.layout import ContainerDir
from swarm.errors import Invalid, KernelRefused, Missing, SwarmError, Unavailable

_MOST_CHARACTERS = 0xFFFF


class Exec:
    """A program that runs in a container, until `close`.

    `stdin_fd`, `stdout_fd` and `stderr_fd` never block and are closed by `close`; -1 is a
    stream that there is not. With a terminal the first two are both its master, which raises
    EIO instead of reading end of file. `pid` is the host's number.
    """

    def __init__(self, container_id: str, *, tty: bool) -> None:
        self.container_id = container_id
        self.tty = tty
        self.stdin_fd = self.stdout_fd = self.stderr_fd = -1
        self.pid = 0
        self._link: Link | None = None
        loop = asyncio.get_running_loop()
        self._entered: asyncio.Future[int] = loop.create_future()
        self._left: asyncio.Future[int] = loop.create_future()
        for future in (self._entered, self._left):
            future.add_done_callback(_look_at)
        self._answers: dict[int, asyncio.Future[int]] = {}
        self._numbers = 0

    async def wait(self) -> int:
        """Its exit code; 128 more than the number of the signal that ended it.

        What it printed may still be in the pipes. Raises `Unavailable` if the shim is lost.
        """
        return await asyncio.shield(self._left)

    async def kill(self, number: int) -> None:
        """Send a signal to the program. Raises `Missing` if it has ended, `Invalid`."""
        self._numbers += 1
        command = wire.Kill(self._numbers, number)
        answer = self._answers[command.number] = asyncio.get_running_loop().create_future()
        try:
            if self._link is None or not self._link.is_open:
                answer.set_result(errno.ESRCH)
            else:
                await self._link.send(wire.encode(command))
            reason = await answer
        finally:
            del self._answers[command.number]
        if reason == errno.EINVAL:
            raise Invalid(f"signal {number} does not exist", hint=f"1 to {signal.NSIG - 1} do")
        if reason:
            raise Missing(f"the program that ran in {self.container_id} has ended")

    def resize(self, rows: int, columns: int) -> None:
        """Tell the terminal its size; the program gets SIGWINCH. Without one nothing happens."""
        if self.tty and self.stdout_fd >= 0:
            set_size(self.stdout_fd, rows, columns)

    def close_stdin(self) -> None:
        """Have the program read end of file, once it has read all; a terminal has no such end."""
        if not self.tty and self.stdin_fd >= 0:
            os.close(self.stdin_fd)
            self.stdin_fd = -1

    def close(self) -> None:
        """End the program if it still runs (not with `detach`), and let go of its streams."""
        self._let_go()
        for descriptor in {self.stdin_fd, self.stdout_fd, self.stderr_fd} - {-1}:
            os.close(descriptor)
        self.stdin_fd = self.stdout_fd = self.stderr_fd = -1

    async def begin(self, directory: ContainerDir, spec: ExecSpec) -> None:
        """Ask for the program, and return once it runs; see `start`."""
        hand = Hand() if self.tty else None
        theirs: list[int] = []
        try:
            if hand is None and not spec.detach:
                self._open_streams(theirs, stdin=spec.stdin)
            passed = theirs if hand is None else [hand.theirs.fileno()]
            end = await call(directory, wire.EXEC, tuple(passed))
            self._link = Link(end, self._heard)
            await self._link.send(wire.encode(spec))
            _close_all(theirs)
            if hand is not None:
                hand.give_away()
            self.pid = await self._entered
            if hand is not None:
                self.stdin_fd = self.stdout_fd = hand.take()
                if self.stdout_fd < 0:
                    raise Unavailable(f"exec: no terminal came from {self.container_id}")
                os.set_blocking(self.stdout_fd, False)
        finally:
            _close_all(theirs)
            if hand is not None:
                hand.close()

    def _open_streams(self, theirs: list[int], *, stdin: bool) -> None:
        """Make our ends, and put the program's into `theirs`, in their order."""
        if stdin:
            reading, self.stdin_fd = os.pipe()
            theirs.append(reading)
        else:
            theirs.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        self.stdout_fd, writing = os.pipe()
        theirs.append(writing)
        self.stderr_fd, writing = os.pipe()
        theirs.append(writing)
        for ours in (self.stdin_fd, self.stdout_fd, self.stderr_fd):
            if ours >= 0:
                os.set_blocking(ours, False)

    def _heard(self, report: wire.Report | None) -> None:
        match report:
            case wire.Entered(pid=pid) if not self._entered.done():
                self._entered.set_result(pid)
            case wire.Refused() as no if not self._entered.done():
                self._entered.set_exception(
                    KernelRefused(no.step, no.errno, no.message, hint=no.hint)
                )
            case wire.Left(exit_code=code) if not self._left.done():
                self._left.set_result(code)
                self._let_go()
            case wire.Answered(number=number, errno=reason):
                if (answer := self._answers.get(number)) is not None and not answer.done():
                    answer.set_result(reason)
            case None:
                self._let_go()
            case _:
                pass

    def _let_go(self) -> None:
        """Hear no more; whoever waits learns that nobody is there."""
        if self._link is not None:
            self._link.close()
        if not self._entered.done():
            self._entered.set_exception(not_running(self.container_id))
        if not self._left.done():
            self._left.set_exception(
                Unavailable(
                    f"nobody can tell how the program in {self.container_id} ended",
                    hint="its shim was killed, or the exec was closed before its end",
                )
            )
        for answer in self._answers.values():
            if not answer.done():
                answer.set_result(errno.ESRCH)


async def start(directory: ContainerDir, spec: ExecSpec) -> Exec:
    """Run a program in the container of `directory`, and return once its exec succeeded.

    Raises `Invalid`, `Missing` if the container does not run, or `KernelRefused`, of which
    `runtime.joining.refusal_code` makes an exit code.
    """
    check(spec)
    started = Exec(directory.container_id, tty=spec.tty)
    try:
        await started.begin(directory, spec)
    except OSError as err:
        started.close()
        raise _out_of_descriptors(err) from err
    except BaseException:
        started.close()
        raise
    return started


def set_size(terminal: int, rows: int, columns: int) -> None:
    """Tell a terminal its size, at most the largest; one that is gone does not mind."""
    size = struct.pack("4H", min(rows, _MOST_CHARACTERS), min(columns, _MOST_CHARACTERS), 0, 0)
    with contextlib.suppress(OSError):
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, array.array("b", size))


def _close_all(descriptors: list[int]) -> None:
    while descriptors:
        os.close(descriptors.pop())


def _out_of_descriptors(err: OSError) -> SwarmError:
    return Unavailable(f"exec: {os.strerror(err.errno or errno.EIO).lower()}")


def _look_at(future: "asyncio.Future[int]") -> None:
    if not future.cancelled():
        future.exception()
