"""Notice clients that go away while nobody reads what they send.

An answer may take days (events, logs that are followed), and nothing more is expected of its
client. epoll(7) tells of a peer that hung up whatever was asked for, so one epoll object watches
all such connections and reads none of them.
"""

import asyncio
import select
import socket
from collections.abc import Callable


class Departures:
    """Who is watched, and what to do when he goes."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._watched: dict[int, Callable[[], None]] = {}
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._epoll.fileno(), self._look)

    def watch(self, sock: socket.socket, gone: Callable[[], None]) -> None:
        """Call `gone` once, when the other side is gone.

        Over TCP a client that sends nothing more cannot be told from one that is gone, and
        counts as such; over a Unix socket it can, and does not.
        """
        number = sock.fileno()
        if number < 0 or number in self._watched:
            return
        self._watched[number] = gone
        self._epoll.register(number, 0 if sock.family == socket.AF_UNIX else select.EPOLLRDHUP)

    def forget(self, sock: socket.socket) -> None:
        """Watch it no longer; call this before it is closed."""
        if self._watched.pop(sock.fileno(), None) is not None:
            self._epoll.unregister(sock.fileno())

    def close(self) -> None:
        """Watch nobody any more."""
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()
        self._watched.clear()

    def _look(self) -> None:
        for number, _ in self._epoll.poll(0):
            gone = self._watched.pop(number, None)
            if gone is not None:
                self._epoll.unregister(number)
                gone()
