"""Tie a container's terminal to the caller's.

The caller's own terminal is made raw, so that every key reaches the program, and is put back
whatever happens; the container's follows its size. The bytes are copied without being looked at.
Most commands have no terminal to do with, so what that takes is imported when there is one.
"""

import contextlib
import errno
import fcntl
import os
import select
import struct
from _socket import SOCK_STREAM
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Final

import msgspec

from runtime.io import sockets
from runtime.oci.config import ConsoleSize, Process
from swarm.errors import Invalid, Refused

if TYPE_CHECKING:
    import socket

_READ_BYTES: Final = 65536


def with_size(process: Process) -> Process:
    """`process` with a terminal of the size of the caller's, if that is one.

    It has to be so from the beginning: many programs look only once.
    """
    if not process.terminal:
        return process
    import termios

    try:
        rows, columns, _, _ = struct.unpack("4H", fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8)))
    except OSError:
        return process
    if not rows or not columns:
        return process
    size = ConsoleSize(height=rows, width=columns)
    return msgspec.structs.replace(process, console_size=size)


class Console:
    """Where a new terminal's master end goes: to --console-socket, to us, or nowhere."""

    def __init__(
        self, link: "socket.socket | None" = None, ours: "socket.socket | None" = None
    ) -> None:
        self._link = link
        self._ours = ours

    @property
    def descriptor(self) -> int:
        """A connected socket that is to be sent the master end; -1 if there is no terminal."""
        return self._link.fileno() if self._link is not None else -1

    def master(self) -> int:
        """The master end, if it came to us; otherwise -1. Raises `Refused`."""
        if self._ours is None:
            return -1
        if self._link is not None:
            self._link.close()
            self._link = None
        import socket

        _, passed, _, _ = socket.recv_fds(self._ours, 4096, 1)
        if not passed:
            raise Refused("the container's terminal was not handed over")
        os.set_inheritable(passed[0], False)
        return passed[0]

    def close(self) -> None:
        """Let go of the sockets."""
        for each in (self._link, self._ours):
            if each is not None:
                each.close()


def console(path: str, *, terminal: bool, detached: bool) -> Console:
    """What a command's --console-socket (`path`) and its process ask for. Raises `Invalid`."""
    if path and not (terminal and detached):
        raise Invalid(
            "--console-socket: only a terminal of a detached program is sent there",
            hint="leave it out, or set process.terminal and detach",
        )
    if not terminal:
        return Console()
    if path:
        return Console(_connect(path))
    if detached:
        raise Invalid(
            "process.terminal: a detached program's terminal needs --console-socket",
            hint="give one, or set process.terminal to false",
        )
    import socket

    theirs, ours = socket.socketpair()
    return Console(theirs, ours)


def _connect(path: str) -> "socket.socket":
    try:
        link = sockets.connect(os.path.abspath(path), SOCK_STREAM)  # noqa: PTH100
    except OSError as err:
        reason = (err.strerror or "").lower()
        raise Invalid(
            f"--console-socket: cannot connect to {path}: {reason}",
            hint="somebody must listen there for the terminal",
        ) from err
    link.setblocking(True)
    return link


class Copying:
    """Between the caller's standard streams and `master`."""

    def __init__(self, master: int) -> None:
        self._master = master
        self._typed = b""
        self._reads_input = True

    def resize(self) -> None:
        """Give the container's terminal the size of the caller's, if that is one."""
        import termios

        with contextlib.suppress(OSError):
            size = fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8))
            fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)

    def wishes(self) -> Iterator[tuple[int, int]]:
        """What to poll for: descriptors and events."""
        yield self._master, select.POLLIN | (select.POLLOUT if self._typed else 0)
        if self._reads_input and not self._typed:
            yield 0, select.POLLIN

    def ready(self, descriptor: int, events: int) -> bool:
        """Move what can be moved; whether the container's side is still open."""
        if descriptor == 0:
            self._read_input()
        elif events & (select.POLLIN | select.POLLHUP | select.POLLERR):
            return self._show()
        elif events & select.POLLOUT:
            self._typed = self._typed[os.write(self._master, self._typed) :]
        return True

    def drain(self) -> None:
        """Show what is left, now that nobody writes any more."""
        while select.select((self._master,), (), (), 0)[0] and self._show():
            pass

    def _read_input(self) -> None:
        try:
            self._typed = os.read(0, _READ_BYTES)
        except OSError:  # a background process may not read its terminal
            self._typed = b""
        self._reads_input = bool(self._typed)

    def _show(self) -> bool:
        try:
            output = os.read(self._master, _READ_BYTES)
        except OSError as err:
            if err.errno != errno.EIO:  # which is how a terminal without programs ends
                raise
            return False
        while output:
            output = output[os.write(1, output) :]
        return True


@contextlib.contextmanager
def raw() -> Generator[None]:
    """Have the caller's terminal, if standard input is one, pass every key on."""
    import termios
    import tty

    try:
        before = termios.tcgetattr(0)
    except termios.error:
        yield
        return
    tty.setraw(0, termios.TCSANOW)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
