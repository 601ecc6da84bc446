"""Read and write what runs in a container, as a client would."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from runtime.io.attachment import Attachment
from runtime.io.client import Runtime
from runtime.io.execution import Exec
from runtime.joining import ExecSpec
from tests.kernel.machine import Machine

Story = Callable[[Runtime, str], Awaitable[None]]


async def ready(descriptor: int, *, writing: bool = False) -> None:
    """Wait until a descriptor can be read (or written)."""
    loop = asyncio.get_running_loop()
    event = asyncio.Event()
    if writing:
        loop.add_writer(descriptor, event.set)
    else:
        loop.add_reader(descriptor, event.set)
    try:
        await event.wait()
    finally:
        (loop.remove_writer if writing else loop.remove_reader)(descriptor)


async def read_some(descriptor: int) -> bytes:
    """What there is to read; nothing at the end. A terminal ends with EIO."""
    while True:
        try:
            return os.read(descriptor, 65536)
        except BlockingIOError:
            await ready(descriptor)
        except OSError:
            return b""


async def read_all(descriptor: int) -> bytes:
    """Everything up to the end."""
    read = b""
    while part := await read_some(descriptor):
        read += part
    return read


async def read_until(descriptor: int, wanted: bytes) -> bytes:
    """Everything up to `wanted`, and what came with it."""
    read = b""
    while wanted not in read:
        part = await asyncio.wait_for(read_some(descriptor), 10)
        assert part, f"it ended without {wanted!r}: {read!r}"
        read += part
    return read


async def write_all(descriptor: int, content: bytes) -> None:
    """Write everything, as fast as it is read."""
    while content:
        try:
            content = content[os.write(descriptor, content) :]
        except BlockingIOError:
            await ready(descriptor, writing=True)


@asynccontextmanager
async def running(runtime: Runtime, name: str, *args: str, **fields: Any) -> AsyncIterator[Exec]:
    """A program in a container, closed in the end."""
    program = await runtime.exec(name, ExecSpec(args=args, **fields))
    try:
        yield program
    finally:
        program.close()


async def run(
    runtime: Runtime, name: str, *args: str, stdin: bytes = b"", **fields: Any
) -> tuple[int, bytes, bytes]:
    """Run a program to its end: exit code, output, errors."""
    async with running(runtime, name, *args, stdin=bool(stdin), **fields) as program:
        errors = asyncio.create_task(read_all(program.stderr_fd))
        output = asyncio.create_task(read_all(program.stdout_fd))
        if stdin:
            await write_all(program.stdin_fd, stdin)
            program.close_stdin()
        code = await asyncio.wait_for(program.wait(), 20)
        return code, await output, await errors


@asynccontextmanager
async def attached(runtime: Runtime, name: str) -> AsyncIterator[Attachment]:
    """A view of a container, closed in the end."""
    made = await runtime.attach(name)
    try:
        yield made
    finally:
        made.close()


@asynccontextmanager
async def container(
    machine: Machine, *args: str, **fields: Any
) -> AsyncIterator[tuple[Runtime, str]]:
    """A running container, deleted in the end."""
    async with machine.runtime() as runtime:
        spec = machine.spec(*(args or ("sleep", "999")), **fields)
        await runtime.run(spec)
        try:
            yield runtime, spec.id
        finally:
            await runtime.delete(spec.id)


def tell(machine: Machine, story: Story, *args: str, **fields: Any) -> None:
    """Run a story in a container of its own."""

    async def told() -> None:
        async with container(machine, *args, **fields) as (runtime, name):
            await story(runtime, name)

    asyncio.run(told())
