"""Serve programs that clients run in containers."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator

from engine import detaching, replies
from engine.containers.io.joining import read_size
from engine.containers.io.looking import inspected
from engine.containers.joining import content_type
from engine.detaching import KeyWatch
from engine.execs import describing
from engine.execs.instance import Instance, write_instance
from engine.execs.io.programs import Program
from engine.execs.outcomes import explain
from engine.framing import STDERR, STDOUT, frame
from engine.io.connection import Pipe
from engine.io.exchange import Exchange, Handler
from engine.io.feeding import Feeding, feed
from engine.replies import Reply
from engine.routing import Route
from engine.wire.containers import ExecJson, ExecStartJson
from swarm.api.v1 import containers_pb2 as pb
from swarm.api.v1 import control_pb2
from swarm.errors import Invalid, KernelRefused, SwarmError


async def create_exec(ask: Exchange) -> Reply:
    """POST /containers/{name}/exec"""
    asked = await ask.decoded(ExecJson)
    detaching.parse_keys(asked.detach_keys)
    instance = describing.describe(secrets.token_hex(32), asked, (await inspected(ask)).container)
    ask.execs.add(instance, now=time.time())
    return replies.json({"Id": instance.id}, status=201)


async def inspect_exec(ask: Exchange) -> Reply:
    """GET /exec/{id}/json"""
    return replies.json(write_instance(ask.execs.get(ask.params["id"])))


async def resize_exec(ask: Exchange) -> Reply:
    """POST /exec/{id}/resize"""
    rows, columns = read_size(ask)
    ask.programs.resize(ask.execs.get(ask.params["id"]), rows, columns)
    return replies.nothing(200)


async def start_exec(ask: Exchange) -> Reply | None:
    """POST /exec/{id}/start"""
    asked = await ask.decoded(ExecStartJson)
    instance = ask.execs.get(ask.params["id"])
    request = pb.InspectContainerRequest(container=instance.container_id)
    found = await ask.backends.containers.InspectContainer(request)
    describing.check_running(found.container)
    ask.execs.start(instance.id)
    program = ask.programs.run(instance, describing.start_of(instance, asked))
    if not asked.detach:
        await _carry(ask, instance, program, framed=not asked.tty)
        return None
    program.leave()
    try:
        await asyncio.shield(program.started)
    except KernelRefused as err:
        raise Invalid(explain(err, instance.command[0])) from err
    return replies.nothing(200)


async def _carry(ask: Exchange, instance: Instance, program: Program, *, framed: bool) -> None:
    """Connect a client with its program until one of them is gone.

    Whether output is `framed` is for whoever starts the program to say, terminal or not.
    """
    try:
        pipe = await ask.take_over(content_type=content_type(framed=framed, version=ask.version))
        async with asyncio.TaskGroup() as group:
            feeding = group.create_task(_feed(pipe, instance, program))
            showing = group.create_task(_show(pipe, instance, program, framed=framed))
            await asyncio.wait((feeding, showing), return_when=asyncio.FIRST_COMPLETED)
            has_left = feeding.done() and feeding.result() is Feeding.DETACHED
            if not has_left:
                await showing
            feeding.cancel()
            showing.cancel()
    except* OSError as errors:
        raise ConnectionError("the client is gone") from errors
    finally:
        program.leave()


async def _show(pipe: Pipe, instance: Instance, program: Program, *, framed: bool) -> None:
    async for output, data in _outputs(program, instance):
        await pipe.write(frame(output, data) if framed else data)


async def _outputs(program: Program, instance: Instance) -> AsyncIterator[tuple[int, bytes]]:
    """What the program writes, or why it does not run: clients read that there, too."""
    while (piece := await program.output()) is not None:
        match piece.WhichOneof("message"):
            case "stdout" if instance.asked.attach_stdout or instance.asked.tty:
                yield STDOUT, piece.stdout
            case "stderr" if instance.asked.attach_stderr:
                yield STDERR, piece.stderr
            case _:
                pass
    try:
        await program.started
    except SwarmError as err:
        yield STDOUT, f"{explain(err, instance.command[0])}\r\n".encode()


async def _feed(pipe: Pipe, instance: Instance, program: Program) -> Feeding:
    if not instance.asked.attach_stdin:
        return Feeding.ENDED
    tty = instance.asked.tty
    keys = KeyWatch(detaching.parse_keys(instance.asked.detach_keys)) if tty else None
    how = await feed(pipe, program.line, keys)
    if how is Feeding.ENDED:
        await program.line.feed(control_pb2.StreamInput(stdin_end=control_pb2.StdinEnd()))
    return how


ROUTES: tuple[Route[Handler], ...] = (
    Route("POST", "/containers/{name}/exec", create_exec),
    Route("GET", "/exec/{id}/json", inspect_exec),
    Route("POST", "/exec/{id}/resize", resize_exec),
    Route("POST", "/exec/{id}/start", start_exec),
)
