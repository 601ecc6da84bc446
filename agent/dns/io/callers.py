"""Read questions that containers ask by TCP.

Many may come on one connection, and their answers go back as they are found. Who connects and
says nothing, or does not read what it asked for, is closed.
"""

import socket
from collections.abc import Callable
from typing import Final

from agent.dns.io.polling import READ, WRITE, Events

IDLE_S: Final = 10.0
MOST_CALLERS: Final = 64  # of one container
_MOST_UNSENT: Final = 1 << 18
_READ_BYTES: Final = 65536

Asked = Callable[[bytes], object]


class Caller:
    """One connection. `asked` is called with each question."""

    def __init__(self, connection: socket.socket, events: Events, asked: Asked, now: float) -> None:
        self.idle_since = now
        self._connection = connection
        self._events = events
        self._asked = asked
        self._received = b""
        self._unsent = b""
        self._is_open = True
        events.watch(connection.fileno(), self._ready)

    @property
    def is_open(self) -> bool:
        """Whether it can still be told anything."""
        return self._is_open

    def tell(self, packet: bytes, now: float) -> None:
        """Send an answer, or close the connection of who does not read."""
        if not self._is_open:
            return
        self.idle_since = now
        self._unsent += len(packet).to_bytes(2, "big") + packet
        self._flush()

    def close(self) -> None:
        """End it; done twice is fine."""
        if self._is_open:
            self._is_open = False
            self._events.forget(self._connection.fileno())
            self._connection.close()

    def _ready(self, _: int) -> None:
        if self._unsent:
            self._flush()
        if self._is_open:
            self._read()

    def _read(self) -> None:
        try:
            received = self._connection.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        if not received:
            self.close()
            return
        self._received += received
        while len(self._received) >= 2 and self._is_open:
            end = 2 + int.from_bytes(self._received[:2], "big")
            if len(self._received) < end:
                return
            packet, self._received = self._received[2:end], self._received[end:]
            self._asked(packet)

    def _flush(self) -> None:
        try:
            self._unsent = self._unsent[self._connection.send(self._unsent) :]
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        if len(self._unsent) > _MOST_UNSENT:
            self.close()
            return
        self._events.watch(
            self._connection.fileno(), self._ready, READ | (WRITE if self._unsent else 0)
        )
