"""Speak HTTP to an engine that runs in the same loop."""

import asyncio
import json
from typing import Any

import h11
from msgspec import Struct


class Answer(Struct, frozen=True):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, which has to be JSON."""
        return json.loads(self.body)

    @property
    def message(self) -> str:
        """What an error says."""
        found: str = self.json["message"]
        assert found
        return found


class Client:
    """One connection, on which requests follow each other."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._http = h11.Connection(h11.CLIENT)

    async def __aenter__(self) -> "Client":
        self.reader, self.writer = await asyncio.open_unix_connection(self._path)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    async def ask(self, method: str, target: str, body: object = None, **headers: str) -> Answer:
        """Send a request and hear its whole answer."""
        await self.send(method, target, body, **headers)
        head = await self.head()
        found = bytearray()
        while isinstance(event := await self._next(), h11.Data):
            found += event.data
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        return Answer(head.status, head.headers, bytes(found))

    async def send(self, method: str, target: str, body: object = None, **headers: str) -> None:
        """Send a request."""
        pairs = [("Host", "docker")]
        data = b""
        if isinstance(body, bytes):
            data = body
        elif body is not None:
            data = json.dumps(body).encode()
            headers.setdefault("content_type", "application/json")
        if data or method in ("POST", "PUT"):
            pairs.append(("Content-Length", str(len(data))))
        pairs += [(name.replace("_", "-"), value) for name, value in headers.items()]
        raw = self._http.send(h11.Request(method=method, target=target, headers=pairs)) or b""
        raw += self._http.send(h11.Data(data=data)) or b""
        self.writer.write(raw + (self._http.send(h11.EndOfMessage()) or b""))
        await self.writer.drain()

    async def head(self) -> Answer:
        """Hear the beginning of an answer."""
        event = await self._next()
        while isinstance(event, h11.InformationalResponse) and event.status_code == 100:
            event = await self._next()
        assert isinstance(event, h11.Response | h11.InformationalResponse), event
        headers = {name.decode(): value.decode() for name, value in event.headers}
        return Answer(event.status_code, headers, b"")

    async def chunk(self) -> bytes:
        """Hear a piece of an answer; none at its end."""
        event = await self._next()
        return bytes(event.data) if isinstance(event, h11.Data) else b""

    async def upgrade(self, target: str, body: object = None) -> Answer:
        """Send a request after which the connection is a raw stream, and hear its head."""
        await self.send("POST", target, body, Connection="Upgrade", Upgrade="tcp")
        return await self.head()

    def early(self) -> bytes:
        """What came behind the head of a raw stream."""
        return bytes(self._http.trailing_data[0])

    async def _next(self) -> Any:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self.reader.read(1 << 16))
        return event


async def once(path: str, method: str, target: str, body: object = None, **headers: str) -> Answer:
    """One request on a connection of its own."""
    async with Client(path) as client:
        return await client.ask(method, target, body, **headers)
