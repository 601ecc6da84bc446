"""Speak HTTP/1.1 over one connection, one request after the other.

h11 knows the protocol, this module moves its bytes. What a handler does not read of a request's
body stays with the client, who waits; what a client sends behind its request stays in the kernel
until that is answered. A client that goes while its answer is being written cancels the handler;
one that goes before lets it end, since stopping half way would help nobody.
"""

import asyncio
import contextlib
import fcntl
import socket
import sys
import termios
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from email.utils import formatdate
from http import HTTPStatus

import h11

from engine.heads import Head, parse_target
from engine.io.departures import Departures
from engine.io.wires import Wire
from engine.refusals import TOO_LARGE, Denied
from engine.replies import Reply, refusal
from engine.versions import LATEST
from swarm import __version__
from swarm.errors import Invalid

HEAD_LIMIT_BYTES = 1 << 20
DOCUMENT_LIMIT_BYTES = 32 << 20
CHUNK_BYTES = 1 << 18
HEAD_WITHIN_S = 60.0
DOCUMENT_WITHIN_S = 120.0
# What a client had on its way when we closed must be taken, or it loses our last words with it.
LINGER_S = 30.0
# How long the head of a raw stream may take to be read, and how often that is looked at; and over
# TCP, where it cannot be seen, how long it gets.
TAKEN_WITHIN_S, TAKEN_EVERY_S, TAKEN_AFTER_S = 0.5, 0.0003, 0.01

_HEAD_CHUNK_BYTES = 1 << 14
_COMMON = (
    ("Api-Version", str(LATEST)),
    ("Docker-Experimental", "false"),
    ("Ostype", "linux"),
    ("Server", f"swarmd/{__version__} (linux)"),
)

Answer = Callable[["Connection", Head], Awaitable[None]]
Objection = Callable[[str, str], Awaitable[str | None]]
"""Why a client may not use a method on a path (without a version), or None."""
Headers = Iterable[tuple[str, str]]


class Vanished(ConnectionError):
    """The client went away in the middle of what it had to say."""


class Pipe:
    """A connection that has ceased to be HTTP: bytes both ways, each direction by itself."""

    def __init__(self, wire: Wire, early: bytes) -> None:
        self._wire = wire
        self._early = early

    async def read(self, limit: int = CHUNK_BYTES) -> bytes:
        """At least one byte; none once the client has ended. Raises `OSError`."""
        if self._early:
            data, self._early = self._early[:limit], self._early[limit:]
            return data
        return await self._wire.read(limit)

    async def write(self, data: bytes) -> None:
        """Send `data`; returns when the kernel took it."""
        await self._wire.write(data)

    async def end(self) -> None:
        """Say that no more is sent."""
        await self._wire.end()


class Connection:
    """One client. `answer` must answer each request, and raises nothing but `OSError`."""

    def __init__(
        self,
        wire: Wire,
        departures: Departures,
        answer: Answer,
        *,
        objection: Objection | None = None,
    ) -> None:
        self.objection = objection
        self._wire = wire
        self._departures = departures
        self._answer = answer
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_LIMIT_BYTES)
        self._is_left_by_client = False
        self._is_raw = False
        self._is_head_only = self._has_body = False
        self.has_begun = False

    async def run(self) -> None:
        """Answer requests until either side has enough."""
        try:
            while await self._serve():
                pass
            if not self._is_left_by_client:
                await self._linger()
        except (OSError, TimeoutError):
            pass  # nobody is there to be told
        finally:
            self._departures.forget(self._wire.sock)
            self._wire.close()

    async def body(self) -> AsyncIterator[bytes]:
        """The request's body as it comes, in pieces of what is there.

        Raises `Vanished`, or `Invalid` for broken framing.
        """
        while True:
            event, piece = await self._event(), bytearray()
            while isinstance(event, h11.Data):
                piece += event.data  # clients frame every write, of half a kilobyte maybe
                event = self._parsed() if len(piece) < CHUNK_BYTES else h11.NEED_DATA
            if piece:
                yield bytes(piece)
            if isinstance(event, h11.EndOfMessage):
                return
            if event is not h11.NEED_DATA:
                raise Vanished("the client ended before its request did")

    async def document(self) -> bytes:
        """The whole body, which has to be of a size that fits in memory."""
        found = bytearray()
        async with asyncio.timeout(DOCUMENT_WITHIN_S):
            async for chunk in self.body():
                found += chunk
                if len(found) > DOCUMENT_LIMIT_BYTES:
                    raise Denied(TOO_LARGE, f"the body has more than {DOCUMENT_LIMIT_BYTES} bytes")
        return bytes(found)

    async def reply(self, reply: Reply) -> None:
        """Send a whole answer."""
        headers = [*self._headers(reply.content_type), *reply.headers]
        if reply.status not in (204, 304):
            headers.append(("Content-Length", str(len(reply.body))))
        if not self._is_heard_out():
            # What comes of the body would be taken for the next request.
            headers.append(("Connection", "close"))
        sent = self._send(_response(reply.status, headers))
        if reply.body and not self._is_head_only:
            sent += self._send(h11.Data(data=reply.body))
        self.has_begun = True
        await self._wire.write(sent + self._send(h11.EndOfMessage()))

    async def begin(self, *, status: int = 200, content_type: str, headers: Headers = ()) -> None:
        """Send the head of an answer that goes on with `write`; `finish` ends it.

        From here on the handler is cancelled when its client goes away.
        """
        self.has_begun = True
        lines = [*self._headers(content_type), *headers]
        if self._has_body:
            is_whole = self._http.their_state is not h11.SEND_BODY
        else:
            is_whole = self._is_heard_out()
        if not is_whole:
            lines.append(("Connection", "close"))  # the body may never be read to its end
        sent = self._send(_response(status, lines))
        self.cancel_on_departure()
        await self._wire.write(sent)

    async def write(self, data: bytes) -> None:
        """Send a piece of the body."""
        if data and not self._is_head_only:
            await self._wire.write(self._send(h11.Data(data=data)))

    async def finish(self) -> None:
        """The answer is complete."""
        if not self._is_raw and self._http.our_state is h11.SEND_BODY:
            await self._wire.write(self._send(h11.EndOfMessage()))
        self._departures.forget(self._wire.sock)

    async def take_over(self, head: Head, *, content_type: str, headers: Headers = ()) -> Pipe:
        """Leave HTTP behind: by 101 where the client asked for that, else by 200."""
        while self._http.their_state is h11.SEND_BODY:
            await self._event()
        lines = ["HTTP/1.1 200 OK", f"Content-Type: {content_type}"]
        if head.wants_upgrade:
            protocol = head.headers["upgrade"]
            lines = [
                "HTTP/1.1 101 UPGRADED",
                *([f"Content-Type: {content_type}"] if content_type else ()),
                "Connection: Upgrade",
                f"Upgrade: {protocol}",
            ]
        lines += [f"{name}: {value}" for name, value in (*_COMMON, *headers)]
        self._is_raw = self.has_begun = True
        early, _ = self._http.trailing_data
        pipe = Pipe(self._wire, bytes(early))
        if self._wire.sock.family == socket.AF_UNIX:
            # Over TCP nobody can tell a client that is gone from one that has no more input.
            self.cancel_on_departure()
        await self._wire.write("\r\n".join((*lines, "", "")).encode("latin-1"))
        await _taken(self._wire.sock)
        return pipe

    def cancel_on_departure(self) -> None:
        """End this handler when its client goes away."""
        task = asyncio.current_task()
        assert task is not None

        def gone() -> None:
            task.cancel()

        self._departures.watch(self._wire.sock, gone)

    async def _serve(self) -> bool:
        """Answer one request; whether there may be another."""
        self.has_begun = False
        try:
            head = await self._read_head()
        except h11.RemoteProtocolError as err:
            await self._complain(err.error_status_hint, f"malformed HTTP request: {err}")
            return False
        except TimeoutError:
            await self._complain(408, f"no whole request came within {HEAD_WITHIN_S:.0f} s")
            return False
        if head is None:
            self._is_left_by_client = True
            return False
        await self._answer(self, head)
        if self._is_raw or self._http.states != {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE}:
            return False
        self._http.start_next_cycle()
        return True

    async def _read_head(self) -> Head | None:
        event: object = self._http.next_event()
        if event is h11.NEED_DATA and not self._http.trailing_data[0]:
            # Between requests a client may be silent for as long as it likes.
            self._http.receive_data(await self._wire.read(_HEAD_CHUNK_BYTES))
            event = self._http.next_event()
        if event is h11.NEED_DATA:
            async with asyncio.timeout(HEAD_WITHIN_S):
                event = await self._event(_HEAD_CHUNK_BYTES)
        if not isinstance(event, h11.Request):
            return None
        path, query = parse_target(event.target.decode("ascii"))
        headers = {name.decode(): value.decode("latin-1") for name, value in event.headers}
        head = Head(method=event.method.decode(), path=path, query=query, headers=headers)
        self._is_head_only, self._has_body = head.method == "HEAD", head.has_body
        return head

    async def _event(self, limit: int = CHUNK_BYTES) -> object:
        while (event := self._parsed()) is h11.NEED_DATA:
            if self._http.they_are_waiting_for_100_continue:
                go_on = h11.InformationalResponse(status_code=100, headers=[], reason="Continue")
                await self._wire.write(self._send(go_on))
            data = await self._wire.read(limit)
            if not data and self._http.their_state is h11.SEND_BODY:
                raise Vanished("the client ended before its request did")
            self._http.receive_data(data)
        return event

    def _parsed(self) -> object:
        """The next event of what has come."""
        try:
            return self._http.next_event()
        except h11.RemoteProtocolError as err:
            if self._http.our_state is h11.IDLE:
                raise
            raise Invalid(f"malformed HTTP body: {err}") from err

    async def _complain(self, status: int, message: str) -> None:
        """Answer what is no request; h11 may be past speaking."""
        reply = refusal(Denied(status, message))
        lines = [
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
            f"Content-Length: {len(reply.body)}",
            *(f"{name}: {value}" for name, value in self._headers(reply.content_type)),
            "Connection: close",
        ]
        head = "\r\n".join((*lines, "", "")).encode("latin-1", "replace")
        await self._wire.write(head + reply.body)

    def _headers(self, content_type: str) -> list[tuple[str, str]]:
        headers = [*_COMMON, ("Date", formatdate(time.time(), usegmt=True))]
        if content_type:
            headers.append(("Content-Type", content_type))
        return headers

    def _send(
        self, event: h11.InformationalResponse | h11.Response | h11.Data | h11.EndOfMessage
    ) -> bytes:
        return self._http.send(event) or b""

    def _is_heard_out(self) -> bool:
        """Whether all of the request's body has come; what is here of it is thrown away."""
        try:
            while self._http.their_state is h11.SEND_BODY:
                if self._http.they_are_waiting_for_100_continue:
                    return False
                if self._http.next_event() is h11.NEED_DATA:
                    return False
        except h11.RemoteProtocolError:
            return False
        return True

    async def _linger(self) -> None:
        await self._wire.end()
        async with asyncio.timeout(LINGER_S):
            while await self._wire.read(CHUNK_BYTES):
                pass


def _response(status: int, headers: list[tuple[str, str]]) -> h11.Response:
    phrase = HTTPStatus(status).phrase.encode()
    return h11.Response(status_code=status, headers=headers, reason=phrase)


async def _taken(sock: socket.socket) -> None:
    """Wait until the client has read the head, as far as that can be known, and not for long.

    Some clients read it into a buffer of theirs and then turn to the bare socket: what has come
    with the head is lost to them. Docker's daemon is never quick enough for that to be noticed.
    """
    if sock.family != socket.AF_UNIX:
        await asyncio.sleep(TAKEN_AFTER_S)  # that it has arrived says nothing of who has read it
        return
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(TAKEN_WITHIN_S):
            while _waiting_bytes(sock):  # noqa: ASYNC110 - the kernel tells nobody
                await asyncio.sleep(TAKEN_EVERY_S)


def _waiting_bytes(sock: socket.socket) -> int:
    """What was sent and has not been read on the other side; see unix(7), SIOCOUTQ."""
    answer = fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4))
    return int.from_bytes(answer, sys.byteorder)
