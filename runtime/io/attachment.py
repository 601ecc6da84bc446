"""Hear a container's output as it comes, and write to its input.

The shim copies output into pipes of ours, besides the log; input goes to the program directly.
Who attaches to what runs sees what comes from then on. A viewer who is there before the
container goes to its shim with the spec and misses nothing. Whoever reads too slowly is dropped
and told, unless he asked to be waited for (`Manner.WAITED_FOR`).
"""

import asyncio
import errno
import fcntl
import os
import socket

from runtime import wire
from runtime.io.calling import Hand, call, not_running
from runtime.io.execution import set_size
from runtime.io.link import Link
from runtime.layout import ContainerDir
from runtime.outcome import Exited
from runtime.wire import Manner
from swarm.errors import Unavailable

_ROOM_BYTES = 1 << 20  # for what a program prints at once while we are busy elsewhere
# Where the program waits for us, much less will do. At its end the shim makes it more, to hold all
# that is left; every host allows a pipe of a megabyte.
_LITTLE_ROOM_BYTES = 1 << 18


class Attachment:
    """A view of a container, until `close`.

    `stdout_fd` and `stderr_fd` read end of file when the program closes its ends and when we
    are dropped; with a terminal there is no `stderr_fd` (-1). `stdin_fd` is -1 where nothing
    can be written. None of them ever blocks, and `close` closes them. With `BEHIND_LOG`
    `log_inode`, `log_bytes` and `log_at` say how far the log went when the view began.
    """

    def __init__(self, container_id: str, manner: Manner = Manner.PLAIN) -> None:
        self.container_id = container_id
        self.manner = manner
        self.tty = False
        self.stdin_fd = self.stdout_fd = self.stderr_fd = -1
        self.log_inode = self.log_bytes = 0
        self.log_at = 0.0
        self._theirs: list[int] = []
        self._hand: Hand | None = None
        self._is_awaited = False
        self._link: Link | None = None
        loop = asyncio.get_running_loop()
        self._attached: asyncio.Future[wire.Attached] = loop.create_future()
        self._over: asyncio.Future[Exited] = loop.create_future()
        self._attached.add_done_callback(_look_at)
        self._over.add_done_callback(_look_at)

    async def attached(self) -> None:
        """Wait until the container runs and we see what it prints. Raises why it never will."""
        await asyncio.shield(self._attached)

    async def wait(self) -> Exited:
        """How the container ended. Raises `Unavailable` if we read too slowly and were dropped.

        What it printed last may still be in the pipes.
        """
        return await asyncio.shield(self._over)

    def resize(self, rows: int, columns: int) -> None:
        """Tell the container's terminal its size; without one nothing happens."""
        if self.tty and self.stdin_fd >= 0:
            set_size(self.stdin_fd, rows, columns)

    async def end_input(self) -> None:
        """Have the program read end of file after what we wrote; a terminal has no such end.

        It holds for all who are attached: once ended, input stays ended.
        """
        if self.tty or self.stdin_fd < 0:
            return
        self._close_input()
        if self._link is not None:
            await self._link.send(wire.encode(wire.EndInput(0)))

    def close(self) -> None:
        """Detach; the container goes on."""
        self.fail(not_running(self.container_id))
        for descriptor in {self.stdin_fd, self.stdout_fd, self.stderr_fd} - {-1}:
            os.close(descriptor)
        self.stdin_fd = self.stdout_fd = self.stderr_fd = -1

    async def begin(self, directory: ContainerDir) -> None:
        """Ask for output, and return once it is copied; see `attach`."""
        self._open()
        try:
            end = await call(directory, wire.attaching(self.manner), self._passed())
            self._link = Link(end, self._heard)
            await self.attached()
        finally:
            self._let_go_of_theirs()

    def invite(self) -> socket.socket:
        """A connection for the shim of a container that is about to be made.

        It may be asked for once more when that comes to nothing: until `fail` or `expect` the
        end of a connection means nothing.
        """
        self._open()
        if self._link is not None:
            self._link.close()
        ours, theirs = socket.socketpair()
        try:
            socket.send_fds(ours, [wire.attaching(self.manner)], self._passed())
        except OSError:
            ours.close()
            theirs.close()
            raise
        self._link = Link(ours, self._heard)
        self._is_awaited = True
        return theirs

    @property
    def is_invited(self) -> bool:
        """Whether a container that is about to be made, or was just made, has our connection."""
        return self._is_awaited

    def expect(self) -> None:
        """The container runs, so its shim has said all that we need, or is gone."""
        self._is_awaited = False
        if self._link is not None and not self._link.is_open:
            self._let_go()

    def fail(self, err: Exception) -> None:
        """There is nothing to be attached to."""
        self._is_awaited = False
        self._let_go_of_theirs()
        self._let_go(err)

    def _open(self) -> None:
        """Make our ends and the shim's, once."""
        if self._theirs:
            return
        self._hand = Hand()
        room = _LITTLE_ROOM_BYTES if self.manner & Manner.WAITED_FOR else _ROOM_BYTES
        self.stdout_fd, stdout = _pipe(room)
        self._theirs.append(stdout)
        self.stderr_fd, stderr = _pipe(room)
        self._theirs.append(stderr)

    def _passed(self) -> tuple[int, ...]:
        assert self._hand is not None
        return (*self._theirs, self._hand.theirs.fileno())

    def _let_go_of_theirs(self) -> None:
        while self._theirs:
            os.close(self._theirs.pop())
        if self._hand is not None:
            self._hand.close()
            self._hand = None

    def _heard(self, report: wire.Report | None) -> None:
        match report:
            case wire.Attached() if not self._attached.done():
                self._see(report)
            case wire.Ended(exited=exited) if not self._over.done():
                self._over.set_result(exited)
            case wire.InputEnded():
                self._close_input()
            case wire.Dropped() if not self._over.done():
                self._over.set_exception(_dropped(self.container_id))
            case None if not (self._is_awaited and not self._attached.done()):
                self._let_go()
            case _:
                pass

    def _see(self, attached: wire.Attached) -> None:
        """From here on the shim alone writes to our pipes, so their end is the output's."""
        self.tty = attached.tty
        self.log_inode, self.log_bytes = attached.log_inode, attached.log_bytes
        self.log_at = attached.log_at
        if attached.input and self._hand is not None:
            self.stdin_fd = self._hand.take()
            if self.stdin_fd >= 0:
                os.set_blocking(self.stdin_fd, False)
        if self.tty:
            os.close(self.stderr_fd)
            self.stderr_fd = -1
        self._let_go_of_theirs()
        self._attached.set_result(attached)

    def _close_input(self) -> None:
        if not self.tty and self.stdin_fd >= 0:
            os.close(self.stdin_fd)
            self.stdin_fd = -1

    def _let_go(self, err: Exception | None = None) -> None:
        if self._link is not None:
            self._link.close()
        for future in (self._attached, self._over):
            if not future.done():
                future.set_exception(err or not_running(self.container_id))


async def attach(directory: ContainerDir, manner: Manner = Manner.PLAIN) -> Attachment:
    """Attach to the container of `directory`. Raises `Missing` if it does not run."""
    made = Attachment(directory.container_id, manner)
    try:
        await made.begin(directory)
    except OSError as err:
        made.close()
        reason = os.strerror(err.errno or errno.EIO).lower()
        raise Unavailable(f"attach to {directory.container_id}: {reason}") from err
    except BaseException:
        made.close()
        raise
    return made


def _pipe(room_bytes: int) -> tuple[int, int]:
    """A wide pipe whose reading end never blocks."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    try:
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, room_bytes)
    except OSError:
        return reading, writing  # a host that allows no such pipe: we are dropped sooner
    return reading, writing


def _dropped(container_id: str) -> Unavailable:
    return Unavailable(
        f"detached from {container_id}: its output was not read in time",
        hint="attach again; what was missed is in its log",
    )


def _look_at(future: "asyncio.Future[wire.Attached] | asyncio.Future[Exited]") -> None:
    if not future.cancelled():
        future.exception()
