"""Listen, and give every client a task of its own.

Sockets come from outside: swarmd opens them and passes them on, so that nobody is refused while we
start. A client that is slow, silent or mad costs nobody else anything.
"""

import asyncio
import contextlib
import socket
import ssl
from functools import partial
from typing import Protocol

import structlog

from engine.io.connection import Answer, Connection
from engine.io.departures import Departures
from engine.io.wires import PlainWire, TlsWire

_CROWDED_PAUSE_S = 0.05


class Gate(Protocol):
    """Who is let in over the network, and to what."""

    def context(self) -> ssl.SSLContext:
        """The TLS of a connection that begins now."""
        ...

    def objection(self, certificate: bytes, method: str, path: str) -> str | None:
        """Why whoever has shown `certificate` (DER) may not ask for `path`, or None."""
        ...


class Server:
    """Serves the sockets it is given, until it is closed."""

    def __init__(self, answer: Answer, *, log: structlog.stdlib.BoundLogger) -> None:
        self._answer = answer
        self._log = log
        self._departures = Departures()
        self._accepting: list[asyncio.Task[None]] = []
        self._listeners: list[socket.socket] = []
        self._clients: set[asyncio.Task[None]] = set()

    @property
    def clients(self) -> int:
        """How many are connected."""
        return len(self._clients)

    def listen(self, listener: socket.socket, *, gate: Gate | None = None) -> None:
        """Serve a socket that listens; with a `gate`, over TLS."""
        listener.setblocking(False)
        self._listeners.append(listener)
        self._accepting.append(asyncio.ensure_future(self._accept(listener, gate)))

    def greet(self, sock: socket.socket, *, gate: Gate | None = None) -> None:
        """Serve one client that is connected already."""
        sock.setblocking(False)
        task = asyncio.ensure_future(self._serve(sock, gate))
        self._clients.add(task)
        task.add_done_callback(self._clients.discard)

    async def close(self) -> None:
        """Stop listening and break off whatever is under way."""
        for task in (*self._accepting, *self._clients):
            task.cancel()
        await asyncio.gather(*self._accepting, *self._clients, return_exceptions=True)
        for listener in self._listeners:
            listener.close()
        self._departures.close()

    async def _accept(self, listener: socket.socket, gate: Gate | None) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, _ = await loop.sock_accept(listener)
            except OSError as err:
                # Too many descriptors, or a client that left before it was let in.
                self._log.warning("client.not_accepted", reason=str(err))
                await asyncio.sleep(_CROWDED_PAUSE_S)
                continue
            if sock.family != socket.AF_UNIX:
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            self.greet(sock, gate=gate)

    async def _serve(self, sock: socket.socket, gate: Gate | None) -> None:
        try:
            if gate is None:
                connection = Connection(PlainWire(sock), self._departures, self._answer)
            else:
                wire = TlsWire(sock, gate.context())
                await wire.shake_hands()
                connection = Connection(
                    wire,
                    self._departures,
                    self._answer,
                    objection=partial(gate.objection, wire.certificate),
                )
            await connection.run()
        except (OSError, TimeoutError) as err:
            self._log.info("client.not_trusted", reason=str(err) or "it was silent")
        except Exception:
            self._log.exception("connection.failed")
        finally:
            sock.close()
