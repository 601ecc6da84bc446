"""Read what containers wrote, and go on reading while they write.

What is followed ends when the container does; one that is started again meanwhile is another
run, which another reader follows. Lines carry the times at which they were written.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import cast

from agent.standalone.found import Found
from agent.standalone.io.lives import Lives
from agent.standalone.io.tasks import TaskContainers
from runtime.io.logs import read_logs
from runtime.logs import LogLine
from swarm import log_drivers
from swarm.api.v1 import containers_pb2 as pb
from swarm.api.v1 import control_pb2
from swarm.errors import Invalid

LINES_AT_ONCE = 500
BUFFERED_LINES = 2000

Lines = asyncio.Queue[control_pb2.LogLine | None]


class Logs:
    """The logs of all containers."""

    def __init__(self, lives: Lives, tasks: TaskContainers) -> None:
        self._lives = lives
        self._tasks = tasks

    async def read(self, asked: pb.ReadContainerLogsRequest) -> AsyncIterator[control_pb2.LogBatch]:
        """Batches of lines; what waits travels together, and nothing waits for more."""
        if not (asked.stdout or asked.stderr):
            raise Invalid("You must choose at least one stream")
        found = self._lives.find(asked.container)
        driver = found.record.spec.log_driver.name if found.record is not None else ""
        if driver == log_drivers.NOTHING:
            raise Invalid("configured logging driver does not support reading")
        lines: Lines = asyncio.Queue(BUFFERED_LINES)
        reading = asyncio.ensure_future(self._read(found, asked, lines))
        try:
            while (line := await lines.get()) is not None:
                batch = control_pb2.LogBatch(lines=[line])
                while len(batch.lines) < LINES_AT_ONCE and not lines.empty():
                    following = lines.get_nowait()
                    if following is None:
                        yield batch
                        return
                    batch.lines.append(following)
                yield batch
            await reading
        finally:
            reading.cancel()
            await asyncio.wait((reading,))

    async def _read(self, found: Found, asked: pb.ReadContainerLogsRequest, lines: Lines) -> None:
        try:
            async with contextlib.AsyncExitStack() as stack:
                stop = asyncio.Event()
                if asked.follow:
                    ending = asyncio.ensure_future(self._end(found, asked.until, stop))
                    stack.callback(ending.cancel)
                source = read_logs(
                    found.log_path,
                    follow=asked.follow,
                    tail=asked.tail,
                    since=asked.since,
                    stop=stop,
                )
                opened = cast("AsyncGenerator[LogLine]", source)
                async for line in await stack.enter_async_context(contextlib.aclosing(opened)):
                    if asked.until and line.time > asked.until:
                        break
                    is_stderr = line.stream == "stderr"
                    if asked.stderr if is_stderr else asked.stdout:
                        await lines.put(_line(found, line, is_stderr=is_stderr))
        finally:
            await lines.put(None)

    async def _end(self, found: Found, until: float, stop: asyncio.Event) -> None:
        """Until it rests; all that it wrote is in its log by then."""
        timeout_s = max(0.0, until - time.time()) if until else None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                if found.record is None:
                    await self._tasks.end(found.task_id)
                elif self._lives.record(found.id) is not None:
                    await self._lives.resting(found.id)
        stop.set()


def _line(found: Found, line: LogLine, *, is_stderr: bool) -> control_pb2.LogLine:
    data = line.text.encode(errors="surrogateescape")
    return control_pb2.LogLine(task_id=found.id, at=line.time, stderr=is_stderr, data=data)
