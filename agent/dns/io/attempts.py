"""Carry questions to other servers, each on a socket of its own.

A socket for each makes the kernel choose a port that nobody can guess, and let in only what
comes from the server's address. What arrives, and what goes wrong, is said to whoever asked;
nothing is judged here.
"""

import errno
import os
import socket
from collections.abc import Callable
from typing import Final, Protocol

from agent.dns.forwarding import Send
from agent.dns.io.connecting import connect
from agent.dns.io.polling import READ, WRITE, Events

_LARGEST: Final = 65535


class Listener(Protocol):
    """Who wants to know."""

    def heard(self, attempt: int, packet: bytes) -> None: ...
    def failed(self, attempt: int) -> None: ...


Beside = Callable[[str], socket.socket | None]


class Attempts:
    """All sockets to other servers. `beside` gives a socket in the namespace of a scope."""

    def __init__(self, events: Events, listener: Listener, beside: Beside) -> None:
        self._events = events
        self._listener = listener
        self._beside = beside
        self._sockets: dict[int, socket.socket] = {}
        self._streams: dict[int, _Stream] = {}

    def send(self, order: Send) -> bool:
        """Ask; False if that cannot even be begun."""
        try:
            made = connect(order.server, self._beside(order.scope), by_tcp=order.by_tcp)
        except OSError:
            return False
        self._sockets[order.attempt] = made
        if order.by_tcp:
            self._streams[order.attempt] = _Stream(order.packet)
            self._events.watch(made.fileno(), lambda _: self._advance(order.attempt), WRITE)
            return True
        try:
            made.send(order.packet)
        except OSError:
            self.drop(order.attempt)
            return False
        self._events.watch(made.fileno(), lambda _: self._hear(order.attempt))
        return True

    def drop(self, attempt: int) -> None:
        """Close a socket; one that is closed is fine."""
        self._streams.pop(attempt, None)
        if (made := self._sockets.pop(attempt, None)) is not None:
            self._events.forget(made.fileno())
            made.close()

    def _hear(self, attempt: int) -> None:
        """Read one datagram; forged ones may come before the right one."""
        made = self._sockets.get(attempt)
        if made is None:
            return
        try:
            packet = made.recv(_LARGEST)
        except BlockingIOError:
            return
        except OSError:
            self._listener.failed(attempt)
            return
        self._listener.heard(attempt, packet)

    def _advance(self, attempt: int) -> None:
        made, stream = self._sockets.get(attempt), self._streams.get(attempt)
        if made is None or stream is None:
            return
        try:
            packet = stream.advance(made)
        except BlockingIOError:
            return
        except OSError:
            self._listener.failed(attempt)
            return
        if packet is not None:
            self._listener.heard(attempt, packet)
        elif not stream.unsent:
            self._events.watch(made.fileno(), lambda _: self._advance(attempt), READ)


class _Stream:
    """One question and its answer, each with its length in front (RFC 1035 4.2.2)."""

    def __init__(self, packet: bytes) -> None:
        self.unsent = len(packet).to_bytes(2, "big") + packet
        self._received = b""

    def advance(self, made: socket.socket) -> bytes | None:
        """Send what is left, or else read; the answer once it is whole. Raises `OSError`."""
        if self.unsent:
            number = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number:
                raise OSError(number, os.strerror(number))
            self.unsent = self.unsent[made.send(self.unsent) :]
            return None
        read = made.recv(_LARGEST)
        if not read:
            raise OSError(errno.ECONNRESET, "closed before it answered")
        self._received += read
        length = int.from_bytes(self._received[:2], "big")
        if len(self._received) < 2 or len(self._received) - 2 < length:
            return None
        return self._received[2 : 2 + length]
