"""Listen, and give every client a task of its own.

Sockets come from outside: swarmd opens them and passes them on, so that nobody is refused while we
start. A client that is slow, silent or mad costs nobody else anything.
"""

import asyncio
import contextlib
import socket
import ssl
from typing import Protocol

import structlog

from engine.io.connection import Answer, Connection
from engine.io.departures import Departures
from engine.io.wires import PlainWire, TlsWire
from swarm.errors import SwarmError, Unavailable

LOOK_AGAIN_S = 5.0

_CROWDED_PAUSE_S = 0.05


class Gate(Protocol):
    """Who is let in over the network, and to what."""

    def context(self) -> ssl.SSLContext:
        """The TLS of a connection that begins now. Raises `Refused` when nobody is let in."""
        ...

    async def objection(self, certificate: bytes, method: str, path: str) -> str | None:
        """Why whoever has shown `certificate` (DER) may not ask for `path`, or None.

        Raises `Unavailable` while nobody knows.
        """
        ...


class _Visitor:
    """Who has come in by a gate, and what was asked for last."""

    def __init__(self, gate: Gate, certificate: bytes) -> None:
        self._gate = gate
        self._certificate = certificate
        self._asked = ("GET", "/_ping")

    async def objection(self, method: str, path: str) -> str | None:
        """Judge a request."""
        self._asked = (method, path)
        return await self._gate.objection(self._certificate, method, path)

    async def dismissed(self) -> str:
        """Return, with the reason, as soon as what was asked for last is his no more."""
        while True:
            await asyncio.sleep(LOOK_AGAIN_S)
            with contextlib.suppress(Unavailable):
                if reason := await self._gate.objection(self._certificate, *self._asked):
                    return reason


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
                await Connection(PlainWire(sock), self._departures, self._answer).run()
            else:
                await self._serve_visitor(sock, gate)
        except (OSError, TimeoutError, SwarmError) as err:
            self._log.info("client.not_trusted", reason=str(err) or "it was silent")
        except Exception:
            self._log.exception("connection.failed")
        finally:
            sock.close()

    async def _serve_visitor(self, sock: socket.socket, gate: Gate) -> None:
        """Serve a client of another host, for as long as it may have what it asks for."""
        wire = TlsWire(sock, gate.context())
        await wire.shake_hands()
        visitor = _Visitor(gate, wire.certificate)
        connection = Connection(wire, self._departures, self._answer, objection=visitor.objection)
        serving = asyncio.ensure_future(connection.run())
        watching = asyncio.ensure_future(visitor.dismissed())
        try:
            await asyncio.wait((serving, watching), return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                serving.result()
            else:
                self._log.info("client.dismissed", reason=watching.result())
        finally:
            for each in (serving, watching):
                each.cancel()
            await asyncio.gather(serving, watching, return_exceptions=True)
