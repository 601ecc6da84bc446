"""Read and write a connection that has become a WebSocket as if it were a raw stream."""

import contextlib

from engine import websocket
from engine.io.connection import Pipe
from engine.websocket import Malformed, Opcode


class WebSocket:
    """A stream of bytes in messages. The other side's farewell is the end of input."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._decoder = websocket.Decoder()
        self._early = b""
        self._is_over = False

    async def read(self) -> bytes:
        """At least one byte; none once the client has ended. Raises `OSError`."""
        while not self._early and not self._is_over:
            data = await self._pipe.read()
            if not data:
                self._is_over = True
            try:
                frames = self._decoder.feed(data)
            except Malformed as err:
                raise ConnectionError(str(err)) from err
            for frame in frames:
                await self._take(frame)
        data, self._early = self._early, b""
        return data

    async def write(self, data: bytes) -> None:
        """Send `data` as one message."""
        await self._pipe.write(websocket.encode(Opcode.BINARY, data))

    async def close(self) -> None:
        """Say that nothing more comes."""
        with contextlib.suppress(OSError):
            await self._pipe.write(websocket.encode(Opcode.CLOSE, b"\x03\xe8"))

    async def _take(self, frame: websocket.Frame) -> None:
        match frame.opcode:
            case Opcode.MORE | Opcode.TEXT | Opcode.BINARY:
                self._early += frame.payload
            case Opcode.PING:
                await self._pipe.write(websocket.encode(Opcode.PONG, frame.payload))
            case Opcode.CLOSE:
                self._is_over = True
            case Opcode.PONG:
                pass
