"""Treat a program that was started for its caller and one that is only joined alike.

Both have streams that never block, an end and perhaps a terminal; what differs is whose the
program is. Closing the first ends it, closing the second leaves it as it is.
"""

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import Protocol

from agent.io.streams import widen
from runtime.io.attachment import Attachment
from runtime.io.execution import Exec

_SETTLED_WITHIN_S = 10.0


class Signalling(Protocol):
    """What sends signals to the first process of a container."""

    async def kill(self, container_id: str, signal: int) -> None:
        """Send one; raises `Missing`."""
        ...


class Joined(Protocol):
    """A program and its streams, whoever started it.

    One that `has_last_word` ends its outputs itself; others may leave them to programs in the
    background, for ever. One that `is_owned` ends when it is closed. `pid` is the node's number,
    or 0 if nobody said.
    """

    tty: bool
    pid: int
    has_last_word: bool
    is_owned: bool

    @property
    def stdin(self) -> int: ...
    @property
    def outputs(self) -> tuple[tuple[str, int], ...]: ...
    async def ended(self) -> int: ...
    async def settled(self) -> None: ...
    async def end_input(self) -> None: ...
    async def signal(self, number: int) -> None: ...
    def resize(self, rows: int, columns: int) -> None: ...
    def close(self) -> None: ...


class Executed:
    """A program that was started for its caller."""

    def __init__(self, program: Exec) -> None:
        self._program = program
        self.tty = program.tty
        self.pid = program.pid
        self.has_last_word = False
        self.is_owned = True
        for each in (program.stdin_fd, program.stdout_fd):
            if each >= 0:
                widen(each)

    @property
    def stdin(self) -> int:
        return self._program.stdin_fd

    @property
    def outputs(self) -> tuple[tuple[str, int], ...]:
        return _present(stdout=self._program.stdout_fd, stderr=self._program.stderr_fd)

    async def ended(self) -> int:
        return await self._program.wait()

    async def settled(self) -> None:
        """Nothing is to be done after its end."""

    async def end_input(self) -> None:
        self._program.close_stdin()

    async def signal(self, number: int) -> None:
        await self._program.kill(number)

    def resize(self, rows: int, columns: int) -> None:
        self._program.resize(rows, columns)

    def close(self) -> None:
        self._program.close()


class Attached:
    """A container's own program, which its caller only joins.

    Where he may not end its input, no end of his does that. He is told of its end when `settling`
    is done: what else he asks then knows of it, too.
    """

    def __init__(
        self,
        attachment: Attachment,
        runtime: Signalling,
        *,
        may_write: bool,
        may_end: bool = True,
        pid: int = 0,
        settling: Awaitable[object] | None = None,
    ) -> None:
        self._settling = settling
        self._attachment = attachment
        self._runtime = runtime
        self._may_write = may_write
        self._may_end = may_write and may_end
        self.tty = attachment.tty
        self.pid = pid
        self.has_last_word = True  # the container's shim has, and all the others are dead
        self.is_owned = False

    @property
    def stdin(self) -> int:
        return self._attachment.stdin_fd if self._may_write else -1

    @property
    def outputs(self) -> tuple[tuple[str, int], ...]:
        return _present(stdout=self._attachment.stdout_fd, stderr=self._attachment.stderr_fd)

    async def ended(self) -> int:
        return (await self._attachment.wait()).exit_code

    async def settled(self) -> None:
        if self._settling is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._settling, _SETTLED_WITHIN_S)

    async def end_input(self) -> None:
        if self._may_end:
            await self._attachment.end_input()

    async def signal(self, number: int) -> None:
        await self._runtime.kill(self._attachment.container_id, number)

    def resize(self, rows: int, columns: int) -> None:
        self._attachment.resize(rows, columns)

    def close(self) -> None:
        self._attachment.close()


def _present(**descriptors: int) -> tuple[tuple[str, int], ...]:
    return tuple((name, number) for name, number in descriptors.items() if number >= 0)
