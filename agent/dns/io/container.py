"""Hear what one container asks, by UDP and TCP, and tell it the answers.

What it asks is handed on with where the answer has to go; who answers is not known here.
"""

import contextlib
import socket
import time
from typing import Final, Protocol

from agent.dns.asking import Asker
from agent.dns.forwarding import Place
from agent.dns.io.callers import IDLE_S, MOST_CALLERS, Caller
from agent.dns.io.polling import Events

_LARGEST_QUESTION: Final = 4096
_MOST_AT_ONCE: Final = 32  # so that one container does not hold up the others


class Resolver(Protocol):
    """Who finds answers."""

    def asked(self, container: "Container", packet: bytes, place: Place) -> None: ...


class Container:
    """The sockets of one container."""

    def __init__(
        self,
        asker: Asker,
        *,
        udp: socket.socket,
        tcp: socket.socket,
        events: Events,
        resolver: Resolver,
    ) -> None:
        self.asker = asker
        self.udp = udp
        self.tcp = tcp
        self._events = events
        self._resolver = resolver
        self._callers: dict[int, Caller] = {}
        self._serial = 0
        self._is_deaf = False
        events.watch(udp.fileno(), self._hear)
        events.watch(tcp.fileno(), self._accept)

    @property
    def has_callers(self) -> bool:
        """Whether `care` may have something to do."""
        return bool(self._callers) or self._is_deaf

    def tell(self, place: Place, packet: bytes) -> None:
        """Answer; who is gone, or has no room for it, asks again."""
        if isinstance(place, int):
            if (caller := self._callers.get(place)) is not None:
                caller.tell(packet, time.monotonic())
            return
        with contextlib.suppress(OSError):
            self.udp.sendto(packet, place)

    def care(self, now: float) -> None:
        """Close connections on which nothing has happened for a while, and take new ones again."""
        if self._is_deaf:
            self._is_deaf = False
            self._events.watch(self.tcp.fileno(), self._accept)
        for each in self._callers.values():
            if now - each.idle_since >= IDLE_S:
                each.close()
        self._forget_closed()

    def close(self) -> None:
        """Let go of the container."""
        for each in self._callers.values():
            each.close()
        for made in (self.udp, self.tcp):
            self._events.forget(made.fileno())
            made.close()

    def _hear(self, _: int) -> None:
        for _ in range(_MOST_AT_ONCE):
            try:
                packet, place = self.udp.recvfrom(_LARGEST_QUESTION)
            except OSError:
                return
            self._resolver.asked(self, packet, place)

    def _accept(self, _: int) -> None:
        try:
            connection, _address = self.tcp.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError:  # no descriptors are left: whoever waits would be ready for ever
            self._is_deaf = True
            self._events.forget(self.tcp.fileno())
            return
        self._forget_closed()
        if len(self._callers) >= MOST_CALLERS:
            connection.close()
            return
        connection.setblocking(False)
        self._serial += 1
        number = self._serial
        self._callers[number] = Caller(
            connection,
            self._events,
            lambda packet: self._resolver.asked(self, packet, number),
            time.monotonic(),
        )

    def _forget_closed(self) -> None:
        self._callers = {number: each for number, each in self._callers.items() if each.is_open}
