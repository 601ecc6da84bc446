"""Serve who joins a container's own program, over a raw stream or a WebSocket."""

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

from engine import replies, websocket
from engine.containers.io.looking import inspected
from engine.containers.joining import Joining, check_joinable, read_joining
from engine.detaching import KeyWatch
from engine.framing import STDERR, STDOUT, frame
from engine.io.backends import ending
from engine.io.exchange import Exchange, Handler
from engine.io.feeding import Feeding, feed
from engine.io.lines import Line
from engine.io.websockets import WebSocket
from engine.replies import Reply
from engine.routing import Route
from swarm.api.v1 import containers_pb2 as pb
from swarm.api.v1 import control_pb2
from swarm.errors import Invalid

_FAREWELL_S = 1.0


class Peer(Protocol):
    """A client whose connection is no HTTP any more."""

    async def read(self) -> bytes:
        """At least one byte; none once the client has ended."""
        ...

    async def write(self, data: bytes) -> None:
        """Send `data`."""
        ...


async def attach(ask: Exchange) -> None:
    """POST /containers/{name}/attach"""
    joining = read_joining(ask.query, (await _joinable(ask)).container)
    line = _line(joining)
    async with ending(ask.backends.containers.AttachContainer(line.requests())) as answers:
        await _hear_start(answers)
        content_type = joining.content_type(ask.version)
        await _carry(await ask.take_over(content_type=content_type), answers, line, joining)


async def attach_websocket(ask: Exchange) -> None:
    """GET /containers/{name}/attach/ws

    Both outputs come as they are, in binary messages.
    """
    headers = websocket.accept(ask.head.headers)
    joining = read_joining(ask.query, (await _joinable(ask)).container, framed=False)
    line = _line(joining)
    async with ending(ask.backends.containers.AttachContainer(line.requests())) as answers:
        await _hear_start(answers)
        pipe = await ask.take_over(content_type="", headers=headers)
        socket = WebSocket(pipe)
        await _carry(socket, answers, line, joining)
        await socket.close()


async def resize(ask: Exchange) -> Reply:
    """POST /containers/{name}/resize"""
    rows, columns = read_size(ask)
    size = control_pb2.TerminalSize(rows=rows, columns=columns)
    request = pb.ResizeContainerRequest(container=ask.params["name"], size=size)
    await ask.backends.containers.ResizeContainer(request)
    return replies.nothing(200)


def read_size(ask: Exchange) -> tuple[int, int]:
    """The rows and columns that a client's terminal has."""
    rows, columns = ask.query.integer("h", -1), ask.query.integer("w", -1)
    for name, value in (("h", rows), ("w", columns)):
        if not 0 <= value < 1 << 16:
            raise Invalid(f"{name}: the size of a terminal is a number from 0 to 65535")
    return rows, columns


async def _joinable(ask: Exchange) -> pb.InspectContainerResponse:
    found = await inspected(ask)
    check_joinable(found.container)
    return found


def _line(joining: Joining) -> Line:
    start = control_pb2.AttachStart(
        task=joining.container_id,
        open_stdin=joining.stdin,
        logs=joining.logs,
        only_logs=not joining.stream,
    )
    return Line(control_pb2.StreamInput(attach=start))


async def _hear_start(answers: AsyncIterator[control_pb2.StreamOutput]) -> None:
    """Wait until we have joined: what was wrong is told before HTTP is left."""
    await anext(answers, None)


async def _carry(
    peer: Peer,
    answers: AsyncIterator[control_pb2.StreamOutput],
    line: Line,
    joining: Joining,
) -> None:
    """Connect a client with a program until one of them is gone."""
    showing = asyncio.ensure_future(_show(peer, answers, joining))
    feeding = asyncio.ensure_future(_feed(peer, line, joining)) if joining.stdin else None
    try:
        await asyncio.wait(
            [showing] if feeding is None else [showing, feeding],
            return_when=asyncio.FIRST_COMPLETED,
        )
        if feeding is not None and feeding.done() and feeding.result():
            line.tell(control_pb2.StreamInput(detach=control_pb2.Detach()))
            # The answers end with what was told; a call that we end takes it along unheard.
            await asyncio.wait((showing,), timeout=_FAREWELL_S)
        else:
            await showing
    finally:
        for each in (showing, feeding):
            if each is not None:
                each.cancel()
        await asyncio.wait([each for each in (showing, feeding) if each is not None])


async def _show(
    peer: Peer, answers: AsyncIterator[control_pb2.StreamOutput], joining: Joining
) -> None:
    async for answer in answers:
        match answer.WhichOneof("message"):
            case "stdout" if joining.stdout:
                data = answer.stdout
                await peer.write(frame(STDOUT, data) if joining.framed else data)
            case "stderr" if joining.stderr:
                data = answer.stderr
                await peer.write(frame(STDERR, data) if joining.framed else data)
            case "ended":
                return
            case _:
                pass


async def _feed(peer: Peer, line: Line, joining: Joining) -> bool:
    """Hand on input to its end; whether the client is done with the container altogether."""
    keys = KeyWatch(joining.keys) if joining.tty else None
    how = await feed(peer, line, keys)
    if how is Feeding.DETACHED or joining.tty or not joining.stdin_once:
        return True
    await line.feed(control_pb2.StreamInput(stdin_end=control_pb2.StdinEnd()))
    await asyncio.get_running_loop().create_future()  # the output's end decides
    return False


ROUTES: tuple[Route[Handler], ...] = (
    Route("POST", "/containers/{name}/attach", attach),
    Route("GET", "/containers/{name}/attach/ws", attach_websocket),
    Route("POST", "/containers/{name}/resize", resize),
)
