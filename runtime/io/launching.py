"""Reach the launcher, again and again if need be.

A launcher may be replaced at any moment, so nothing is believed of the connection until a
request is sent; and a request that was sent is only believed once a shim has answered.
"""

import asyncio
import contextlib
import errno
import socket
import time
from pathlib import Path

from runtime.io import sockets
from runtime.wire import RUN, RUN_APART, STOPPING
from swarm.errors import Unavailable

_RETRY_S = 0.01


class Launching:
    """The client's connection to the launcher."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._link: socket.socket | None = None

    def try_connect(self) -> None:
        """Connect if somebody listens."""
        with contextlib.suppress(OSError):
            self._reach()

    def close(self) -> None:
        """Let go of the connection."""
        if self._link is not None:
            self._link.close()
            self._link = None

    async def fork_shim(self, link: int, deadline: float, *, apart: bool = False) -> None:
        """Have a new shim hold `link`, one end of a socket pair.

        `apart` says that its pid namespace is not for the shim to make: another's, or one that
        has to belong to a user namespace.
        Raises `Unavailable` if there is no launcher until `deadline` (monotonic).
        """
        while True:
            try:
                socket.send_fds(self._reach(), [RUN_APART if apart else RUN], [link])
            except OSError as err:
                if err.errno != errno.EAGAIN:  # its queue is full: it lives
                    self.close()
            else:
                return
            self.check(deadline)
            await asyncio.sleep(_RETRY_S)

    def check(self, deadline: float) -> None:
        """Raise `Unavailable` if `deadline` (monotonic) is over."""
        if time.monotonic() >= deadline:
            raise Unavailable(
                f"no launcher answers at {self._path}",
                hint="swarmd starts it again by itself; see its log if this goes on",
            )

    def _reach(self) -> socket.socket:
        if self._link is None:
            self._link = sockets.connect(self._path, socket.SOCK_SEQPACKET)
        return self._link


def say_stopping(launcher_socket: Path) -> None:
    """Tell the launcher that the daemon it watches means to end, so that it stays dead."""
    with (
        contextlib.suppress(OSError),
        sockets.connect(str(launcher_socket), socket.SOCK_SEQPACKET) as link,
    ):
        link.send(STOPPING)
