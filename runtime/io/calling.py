"""Call on a container's shim: one connection for one purpose, with descriptors if need be.

Asking is one message of one byte, so that whoever answers can look at it without reading what
follows. What comes back through `Hand` is a descriptor that the other side opened.
"""

import asyncio
import errno
import socket
import time

from runtime.io import sockets
from runtime.layout import SOCKET_NAME, ContainerDir
from swarm.errors import Missing, Unavailable

_RETRY_S = 0.005
_TIMEOUT_S = 10.0


async def call(
    directory: ContainerDir, purpose: bytes, descriptors: tuple[int, ...] = ()
) -> socket.socket:
    """A connection to the shim of `directory`, which was told its purpose.

    Raises `Missing` if the container does not run, `Unavailable` if its shim does not accept.
    """
    deadline = time.monotonic() + _TIMEOUT_S
    while True:
        try:
            end = connect(directory)
        except BlockingIOError:  # its queue is full, so it lives
            if time.monotonic() >= deadline:
                raise Unavailable(
                    f"the shim of {directory.container_id} does not answer",
                    hint="the host may be overloaded: try again",
                ) from None
            await asyncio.sleep(_RETRY_S)
            continue
        except OSError as err:
            raise not_running(directory.container_id) from err
        try:
            socket.send_fds(end, [purpose], descriptors)
        except OSError as err:
            end.close()
            raise not_running(directory.container_id) from err
        return end


def connect(directory: ContainerDir) -> socket.socket:
    """A connection whose purpose is not said yet. Raises `OSError` if nobody listens."""
    return sockets.connect(f"{directory.path}/{SOCKET_NAME}", socket.SOCK_STREAM)


def not_running(container_id: str) -> Missing:
    """What to say of a container that has no shim, or none any more."""
    return Missing(f"container {container_id} is not running")


class Hand:
    """A socket pair on which the other side may hand one descriptor over."""

    def __init__(self) -> None:
        self._ours, self.theirs = socket.socketpair()
        self._ours.setblocking(False)

    def give_away(self) -> None:
        """The other side has its end: let go of our copy."""
        self.theirs.close()

    def take(self) -> int:
        """The descriptor that was handed over; -1 if none was. It does not block."""
        with self._ours:
            try:
                _, descriptors, _, _ = socket.recv_fds(self._ours, 4096, 1)
            except OSError as err:
                if err.errno not in (errno.EAGAIN, errno.ECONNRESET):
                    raise
                return -1
        return descriptors[0] if descriptors else -1

    def close(self) -> None:
        """Take nothing."""
        self._ours.close()
        self.theirs.close()
