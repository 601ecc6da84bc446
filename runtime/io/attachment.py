"""Hear a container's output as it comes, and write to its input.

The shim copies output into pipes of ours, besides the log; input goes to the program directly.
A container never waits for whoever is attached: who reads too slowly is dropped and told.
"""

import asyncio
import errno
import fcntl
import os

from runtime import wire
from runtime.io.calling import Hand, call, not_running
from runtime.io.execution import set_size
from runtime.io.link import Link
from runtime.layout import ContainerDir
from runtime.outcome import Exited
from swarm.errors import Unavailable

_ROOM_BYTES = 1 << 20  # for what a program prints at once while we are busy elsewhere


class Attachment:
    """A view of a running container, until `close`.

    `stdout_fd` and `stderr_fd` read end of file when the program closes its ends and when we
    are dropped; with a terminal there is no `stderr_fd` (-1). `stdin_fd` is -1 where nothing
    can be written. None of them ever blocks, and `close` closes them.
    """

    def __init__(self, container_id: str) -> None:
        self.container_id = container_id
        self.tty = False
        self.stdin_fd = self.stdout_fd = self.stderr_fd = -1
        self._link: Link | None = None
        loop = asyncio.get_running_loop()
        self._attached: asyncio.Future[wire.Attached] = loop.create_future()
        self._over: asyncio.Future[Exited] = loop.create_future()
        self._attached.add_done_callback(_look_at)
        self._over.add_done_callback(_look_at)

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
        os.close(self.stdin_fd)
        self.stdin_fd = -1
        if self._link is not None:
            await self._link.send(wire.encode(wire.EndInput(0)))

    def close(self) -> None:
        """Detach; the container goes on."""
        self._let_go()
        for descriptor in {self.stdin_fd, self.stdout_fd, self.stderr_fd} - {-1}:
            os.close(descriptor)
        self.stdin_fd = self.stdout_fd = self.stderr_fd = -1

    async def begin(self, directory: ContainerDir) -> None:
        """Ask for output, and return once it is copied; see `attach`."""
        hand = Hand()
        self.stdout_fd, stdout = _pipe()
        self.stderr_fd, stderr = _pipe()
        try:
            end = await call(directory, wire.ATTACH, (stdout, stderr, hand.theirs.fileno()))
            self._link = Link(end, self._heard)
            attached = await self._attached
            self.tty = attached.tty
            if attached.input:
                self.stdin_fd = hand.take()
            if self.tty:
                os.close(self.stderr_fd)
                self.stderr_fd = -1
        finally:
            os.close(stdout)
            os.close(stderr)
            hand.close()

    def _heard(self, report: wire.Report | None) -> None:
        match report:
            case wire.Attached() if not self._attached.done():
                self._attached.set_result(report)
            case wire.Ended(exited=exited) if not self._over.done():
                self._over.set_result(exited)
            case wire.Dropped() if not self._over.done():
                self._over.set_exception(_dropped(self.container_id))
            case None:
                self._let_go()
            case _:
                pass

    def _let_go(self) -> None:
        if self._link is not None:
            self._link.close()
        for future in (self._attached, self._over):
            if not future.done():
                future.set_exception(not_running(self.container_id))


async def attach(directory: ContainerDir) -> Attachment:
    """Attach to the container of `directory`. Raises `Missing` if it does not run."""
    made = Attachment(directory.container_id)
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


def _pipe() -> tuple[int, int]:
    """A wide pipe whose reading end never blocks."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    try:
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _ROOM_BYTES)
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
