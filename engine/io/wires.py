"""Move bytes over an accepted connection, each direction by itself.

Nothing is read before somebody asks for it, so a client that sends faster than its data is used
waits in its own write. The direction that a client has ended (`read` gives nothing more) says
nothing of the other one, with TLS neither: that is why asyncio's own transports are not used, which
close both.
"""

import asyncio
import contextlib
import socket
import ssl
from typing import Protocol

_RECORDS_BYTES = 1 << 18
_HANDSHAKE_WITHIN_S = 10.0


class Wire(Protocol):
    """A connection. Raises `OSError` once the other side is gone."""

    sock: socket.socket

    async def read(self, limit: int) -> bytes:
        """At most `limit` bytes, at least one; none once the other side has ended."""
        ...

    async def write(self, data: bytes) -> None:
        """Send all of `data`; returns when the kernel has taken it."""
        ...

    async def end(self) -> None:
        """Say that no more is sent."""
        ...

    def close(self) -> None:
        """Give the connection up."""
        ...


class PlainWire:
    """Bytes as they are."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._loop = asyncio.get_running_loop()

    async def read(self, limit: int) -> bytes:
        """See `Wire`."""
        return await self._loop.sock_recv(self.sock, limit)

    async def write(self, data: bytes) -> None:
        """See `Wire`."""
        await self._loop.sock_sendall(self.sock, data)

    async def end(self) -> None:
        """See `Wire`."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """See `Wire`."""
        self.sock.close()


class TlsWire:
    """Bytes inside TLS; begin with `shake_hands`."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        self.sock = sock
        self._loop = asyncio.get_running_loop()
        self._arriving, self._leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._arriving, self._leaving, server_side=True)
        self._turn = asyncio.Lock()

    @property
    def certificate(self) -> bytes:
        """What the client showed (DER); empty if nothing."""
        return self._tls.getpeercert(binary_form=True) or b""

    async def shake_hands(self) -> None:
        """Agree on keys; raises `ssl.SSLError`, `OSError` or `TimeoutError`."""
        async with asyncio.timeout(_HANDSHAKE_WITHIN_S):
            while True:
                try:
                    self._tls.do_handshake()
                except ssl.SSLWantReadError:
                    await self._flush()
                    if not await self._receive():
                        raise ConnectionResetError("the client left during the handshake") from None
                    continue
                except ssl.SSLError:
                    with contextlib.suppress(OSError):
                        await self._flush()  # the alert that says why
                    raise
                await self._flush()
                return

    async def read(self, limit: int) -> bytes:
        """See `Wire`."""
        while True:
            try:
                return self._tls.read(limit)
            except ssl.SSLWantReadError:
                if self._leaving.pending:  # what is being sent already is not waited for
                    await self._flush()
                if not await self._receive():
                    return b""
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""
            except ssl.SSLError as err:
                raise ConnectionResetError(f"broken TLS: {err.reason}") from err

    async def write(self, data: bytes) -> None:
        """See `Wire`."""
        for start in range(0, len(data), _RECORDS_BYTES):
            try:
                self._tls.write(data[start : start + _RECORDS_BYTES])
            except ssl.SSLError as err:
                raise BrokenPipeError(f"broken TLS: {err.reason}") from err
            await self._flush()

    async def end(self) -> None:
        """See `Wire`."""
        # The other side's own end is not waited for: it may have much to say yet.
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        with contextlib.suppress(OSError):
            await self._flush()

    def close(self) -> None:
        """See `Wire`."""
        self.sock.close()

    async def _flush(self) -> None:
        # Two tasks may write at once, and records must leave in the order they were made in.
        async with self._turn:
            if self._leaving.pending:
                await self._loop.sock_sendall(self.sock, self._leaving.read())

    async def _receive(self) -> bool:
        data = await self._loop.sock_recv(self.sock, _RECORDS_BYTES)
        if data:
            self._arriving.write(data)
        else:
            self._arriving.write_eof()
        return bool(data)
