"""Take orders from the agent.

It may come and go; what it said stays. There may be two for a moment, while one replaces the
other, and the later word counts. A connection that says what cannot be read is closed.
"""

import contextlib
import os
import socket
from collections.abc import Iterable
from typing import Final, assert_never

from agent.dns.io.passing import Inbox, Outbox
from agent.dns.io.polling import READ, WRITE, Events
from agent.dns.io.service import Service
from agent.dns.link import (
    PROTOCOL,
    Count,
    Frames,
    Holding,
    Keep,
    Leave,
    Order,
    Release,
    Report,
    Serve,
    Take,
    Welcome,
    encode,
)
from swarm import __version__
from swarm.errors import Invalid

_READ_BYTES: Final = 1 << 18


class Control:
    """The socket that agents connect to."""

    def __init__(self, listener: socket.socket, events: Events, service: Service) -> None:
        self.is_over = False
        self._listener = listener
        self._events = events
        self._service = service
        self._agents: list[_Agent] = []
        events.watch(listener.fileno(), self._accept)

    @property
    def is_alone(self) -> bool:
        """Whether no agent is connected."""
        self._agents = [each for each in self._agents if each.is_open]
        return not self._agents

    def _accept(self, _: int) -> None:
        with contextlib.suppress(OSError):
            connection, _address = self._listener.accept()
            connection.setblocking(False)
            agent = _Agent(connection, self._events, self)
            self._agents = [each for each in self._agents if each.is_open] + [agent]
            containers = self._service.containers
            askers = tuple(each.asker for each in containers)
            agent.tell(
                Welcome(protocol=PROTOCOL, version=__version__, pid=os.getpid(), askers=askers)
            )
            for each in containers:
                descriptors = (each.udp.fileno(), each.tcp.fileno())
                agent.tell(Holding(each.asker.task_id), descriptors)

    def obey(self, order: Order, agent: "_Agent") -> None:
        """Carry out one order."""
        match order:
            case Take(topology=topology, is_local=is_local):
                self._service.take(topology, is_local=is_local)
            case Serve():
                self._service.serve(order.asker, *agent.take_pair())
            case Release(task_id=task_id):
                self._service.release(task_id)
            case Keep(task_ids=task_ids):
                self._service.keep(task_ids)
            case Count():
                agent.tell(self._service.counted())
            case Leave():
                self.is_over = True
            case _:
                assert_never(order)


class _Agent:
    """One connection of an agent."""

    def __init__(self, connection: socket.socket, events: Events, control: Control) -> None:
        self.is_open = True
        self._connection = connection
        self._events = events
        self._control = control
        self._frames = Frames()
        self._outbox = Outbox(connection)
        self._inbox = Inbox()
        events.watch(connection.fileno(), self._ready)

    def tell(self, report: Report, descriptors: Iterable[int] = ()) -> None:
        if self.is_open:
            self._outbox.put(encode(report), descriptors)
            self._flush()

    def take_pair(self) -> tuple[socket.socket, socket.socket]:
        """The sockets that came with an order. Raises `Invalid` without them."""
        return self._inbox.take_pair()

    def _ready(self, _: int) -> None:
        self._flush()
        if self.is_open:
            self._read()

    def _read(self) -> None:
        try:
            received = self._inbox.receive(self._connection, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        if not received:
            self._close()
            return
        try:
            for order in self._frames.orders(received):
                self._control.obey(order, self)
        except Invalid:
            self._close()

    def _flush(self) -> None:
        try:
            is_done = self._outbox.flush()
        except OSError:
            self._close()
            return
        events = READ if is_done else READ | WRITE
        self._events.watch(self._connection.fileno(), self._ready, events)

    def _close(self) -> None:
        if self.is_open:
            self.is_open = False
            self._events.forget(self._connection.fileno())
            self._connection.close()
            self._outbox.close()
            self._inbox.close()
