"""Publish the logs of tasks to the manager that asked for them.

A subscription is answered by one stream, whose first message says which subscription it is,
so that it can be counted as answered even when there is nothing to read. It ends when all
was said: without `follow` at the end of the files, else once every task of it has ended. A
reader that is slow slows us down, never the container: that writes to its own file.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from typing import cast

import grpc
import structlog

from agent.containers import log_path
from agent.io.link import Link
from runtime.io.logs import read_logs
from runtime.logs import LogLine
from swarm.api.v1 import control_pb2, dispatch_pb2
from swarm.dispatch import LogSubscription
from swarm.ids import TaskId

LINES_AT_ONCE = 500
BUFFERED_LINES = 2000

Spawn = Callable[[Coroutine[None, None, None]], asyncio.Task[None]]
Lines = asyncio.Queue[control_pb2.LogLine | None]


class Publisher:
    """The subscriptions that are open. `is_over` tells whether a task will write no more."""

    def __init__(
        self,
        *,
        containers: str,
        is_over: Callable[[TaskId], bool],
        spawn: Spawn,
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._containers = containers
        self._is_over = is_over
        self._spawn = spawn
        self._log = log
        self._open: dict[str, tuple[Link, asyncio.Task[None]]] = {}
        self._ends: dict[TaskId, asyncio.Event] = {}

    def subscribe(self, link: Link, wanted: LogSubscription) -> None:
        """Start to publish what `wanted` asks for, over `link`'s channel."""
        task = self._spawn(self._publish(link, wanted))
        self._open[wanted.subscription_id] = (link, task)
        task.add_done_callback(lambda _: self._open.pop(wanted.subscription_id, None))

    def unsubscribe(self, subscription_id: str) -> None:
        """Nobody reads any more."""
        found = self._open.get(subscription_id)
        if found is not None:
            found[1].cancel()

    def left(self, link: Link) -> None:
        """The session is over, and its subscriptions with it."""
        for owner, task in tuple(self._open.values()):
            if owner is link:
                task.cancel()

    def changed(self, task_id: TaskId) -> None:
        """Something happened to a task: it may have written its last line."""
        if task_id in self._ends and self._is_over(task_id):
            self._ends.pop(task_id).set()

    async def _publish(self, link: Link, wanted: LogSubscription) -> None:
        lines: Lines = asyncio.Queue(BUFFERED_LINES)
        reading = self._spawn(self._read(wanted, lines))
        try:
            await link.dispatcher.PublishLogs(_batches(wanted.subscription_id, lines))
        except grpc.RpcError as err:
            self._log.debug("logs.unread", subscription=wanted.subscription_id, reason=str(err))
        finally:
            reading.cancel()
            _end(lines)

    async def _read(self, wanted: LogSubscription, lines: Lines) -> None:
        if wanted.follow:
            async with asyncio.TaskGroup() as group:
                for task_id in wanted.task_ids:
                    group.create_task(self._follow(task_id, wanted, lines))
        else:
            for task_id in wanted.task_ids:
                await self._copy(task_id, wanted, lines, asyncio.Event())
        await lines.put(None)

    async def _follow(self, task_id: TaskId, wanted: LogSubscription, lines: Lines) -> None:
        end = self._ends.setdefault(task_id, asyncio.Event())
        self.changed(task_id)
        await self._copy(task_id, wanted, lines, end)

    async def _copy(
        self, task_id: TaskId, wanted: LogSubscription, lines: Lines, end: asyncio.Event
    ) -> None:
        found: AsyncIterator[LogLine] = read_logs(
            log_path(self._containers, task_id),
            follow=wanted.follow,
            tail=wanted.tail,
            since=wanted.since,
            stop=end,
        )
        try:
            async with contextlib.aclosing(cast("AsyncGenerator[LogLine]", found)):
                async for line in found:
                    is_stderr = line.stream == "stderr"
                    if wanted.stderr if is_stderr else wanted.stdout:
                        await lines.put(_line(task_id, line, is_stderr=is_stderr))
        except OSError as err:
            # One log that cannot be read must not keep the others from being read.
            self._log.warning("log.not_read", task_id=task_id, reason=err.strerror)


def _line(task_id: TaskId, line: LogLine, *, is_stderr: bool) -> control_pb2.LogLine:
    data = line.text.encode(errors="surrogateescape")
    return control_pb2.LogLine(task_id=task_id, at=line.time, stderr=is_stderr, data=data)


def _end(lines: Lines) -> None:
    """Have `_batches` end: gRPC goes on waiting for it when the other side ended the call."""
    while not lines.empty():
        lines.get_nowait()
    lines.put_nowait(None)


async def _batches(subscription_id: str, lines: Lines) -> AsyncIterator[dispatch_pb2.PublishedLogs]:
    """What waits travels together; nothing waits for more."""
    yield dispatch_pb2.PublishedLogs(subscription_id=subscription_id)
    while (line := await lines.get()) is not None:
        batch = dispatch_pb2.PublishedLogs(subscription_id=subscription_id, lines=[line])
        while len(batch.lines) < LINES_AT_ONCE and not lines.empty():
            following = lines.get_nowait()
            if following is None:
                yield batch
                return
            batch.lines.append(following)
        yield batch
