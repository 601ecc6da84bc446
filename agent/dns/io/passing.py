"""Pass messages and descriptors over a socket, in their order.

What is given never waits: while the other side does not read, it is held here, with copies of
its descriptors. A descriptor arrives with, or before, the last byte of its message.
"""

import os
import socket
from collections import deque
from collections.abc import Iterable

from swarm.errors import Invalid


class Outbox:
    """What is to be sent over one socket that does not block."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._unsent: deque[tuple[bytes, tuple[int, ...]]] = deque()

    def put(self, message: bytes, descriptors: Iterable[int] = ()) -> None:
        """Add a message; `flush` sends it."""
        self._unsent.append((message, tuple(map(os.dup, descriptors))))

    def flush(self) -> bool:
        """Send what can be sent now, and say whether that was all.

        Raises `OSError` if nobody is there to read it.
        """
        try:
            while self._unsent:
                message, copies = self._unsent[0]
                sent = socket.send_fds(self._link, [message], copies)
                _close(copies)
                if sent < len(message):
                    self._unsent[0] = (message[sent:], ())
                else:
                    self._unsent.popleft()
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Drop what was not sent."""
        while self._unsent:
            _close(self._unsent.popleft()[1])


class Inbox:
    """The descriptors that arrived, oldest first."""

    def __init__(self) -> None:
        self._held: deque[int] = deque()

    def receive(self, link: socket.socket, most_bytes: int) -> bytes:
        """Read what is there, and keep the descriptors. Raises `OSError`."""
        data, passed, _, _ = socket.recv_fds(link, most_bytes, 64, socket.MSG_CMSG_CLOEXEC)
        self._held.extend(passed)
        return data

    def take_pair(self) -> tuple[socket.socket, socket.socket]:
        """The oldest two. Raises `Invalid` if there are fewer, or they are no sockets."""
        if len(self._held) < 2:
            raise Invalid("a message came without its descriptors")
        pair = self._held.popleft(), self._held.popleft()
        try:
            first = socket.socket(fileno=pair[0])
        except OSError as err:
            _close(pair)
            raise Invalid("what came with a message is no socket") from err
        try:
            return first, socket.socket(fileno=pair[1])
        except OSError as err:
            first.close()
            os.close(pair[1])
            raise Invalid("what came with a message is no socket") from err

    def close(self) -> None:
        """Drop what nobody took."""
        while self._held:
            os.close(self._held.popleft())


def _close(descriptors: Iterable[int]) -> None:
    for each in descriptors:
        os.close(each)
