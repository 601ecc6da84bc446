"""Have processes forked that have loaded what they need (`forked.py`).

Who forks them is started when the first is needed, and started again if it is not there any more.
"""

import asyncio
import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

import msgspec

import agent
from agent.standalone.forks import Asked, Began, Ended
from swarm.errors import Unavailable

_ROOT = str(Path(agent.__file__).parents[1])
_MESSAGE_BYTES = 1 << 12
_LINE_BYTES = 1 << 20
KILLED = -int(signal.SIGKILL)


_HEARD: msgspec.json.Decoder[Began | Ended] = msgspec.json.Decoder(Began | Ended)


class Forked:
    """A process: what it reads, writes and complains of. Whoever has one ends it."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.began: asyncio.Future[int] = loop.create_future()
        self.ended: asyncio.Future[int] = loop.create_future()
        self.input: asyncio.StreamWriter
        self.output: asyncio.StreamReader
        self.errors: asyncio.StreamReader
        self._open: list[asyncio.StreamWriter] = []
        self._descriptor = -1

    async def connect(self, ours: list[socket.socket]) -> None:
        """Take our ends of its standard streams, once it is there. Raises `ConnectionError`.

        Each has a socket of its own: what it did not read must not harm what it has said.
        """
        self._descriptor = await self.began
        streams = [await asyncio.open_connection(sock=each, limit=_LINE_BYTES) for each in ours]
        (_, self.input), (self.output, _), (self.errors, _) = streams
        self._open = [writer for _, writer in streams]

    async def end(self) -> None:
        """Have it end at once, and wait until it has, whoever gives up waiting for that."""
        await asyncio.shield(asyncio.ensure_future(self._end()))

    async def _end(self) -> None:
        if self._descriptor >= 0:
            if not self.ended.done():
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)
            os.close(self._descriptor)
            self._descriptor = -1
            await self.ended
        for each in self._open:
            each.close()
            with suppress(ConnectionError):
                await each.wait_closed()

    def lose(self) -> None:
        """Who forked it is gone, and it with that."""
        if not self.began.done():
            self.began.set_exception(ConnectionError())
        if not self.ended.done():
            self.ended.set_result(KILLED)


class Forking:
    """Processes that are forked. `close` it in the end."""

    def __init__(self) -> None:
        self._link: socket.socket | None = None
        self._server: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self._forked: dict[int, Forked] = {}
        self._number = 0

    async def fork(self, program: str) -> Forked:
        """A process that becomes `program`; raises `Unavailable`."""
        for _ in range(2):  # the one that was there may be ending, since nobody needed it
            with suppress(ConnectionError):
                return await self._fork(program)
        raise Unavailable("no process can be forked", hint="look at the memory of this node")

    async def close(self) -> None:
        """End whoever is left."""
        self._lose()
        if self._server is not None:
            with suppress(ProcessLookupError):
                self._server.kill()
            await self._server.wait()
            self._server = None

    async def _fork(self, program: str) -> Forked:
        async with self._turn:
            link = self._link or await self._start()
        self._number += 1
        number, forked = self._number, Forked()
        pairs = [socket.socketpair() for _ in range(3)]
        ours, theirs = [each for each, _ in pairs], [each for _, each in pairs]
        self._forked[number] = forked
        try:
            asked = msgspec.json.encode(Asked(number, program))
            socket.send_fds(link, [asked], [each.fileno() for each in theirs])
            for each in theirs:
                each.close()
            await forked.connect(ours)
        except BaseException:
            self._forked.pop(number, None)
            for each in (*ours, *theirs):
                each.close()
            raise
        return forked

    async def _start(self) -> socket.socket:
        await self.close()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                self._server = await asyncio.create_subprocess_exec(
                    sys.executable, "-P", "-m", "agent.standalone.io.forked", str(os.getpid()),
                    stdin=theirs.fileno(), stdout=asyncio.subprocess.DEVNULL,
                    env={**os.environ, "PYTHONPATH": _ROOT},
                )  # fmt: skip
        except BaseException:
            ours.close()  # which ends whoever has been started nevertheless
            raise
        ours.setblocking(False)
        self._link = ours
        asyncio.get_running_loop().add_reader(ours, self._hear, ours)
        return ours

    def _hear(self, link: socket.socket) -> None:
        try:
            said, descriptors, _, _ = socket.recv_fds(link, _MESSAGE_BYTES, 1)
        except BlockingIOError:
            return
        except OSError:
            said, descriptors = b"", []
        if not said:
            self._lose()
            return
        heard = _HEARD.decode(said)
        forked = self._forked.get(heard.number)
        match heard:
            case Began() if forked is not None and not forked.began.done():
                forked.began.set_result(descriptors.pop())
            case Ended(number=number, status=status) if forked is not None:
                del self._forked[number]
                if not forked.ended.done():
                    forked.ended.set_result(status)
            case _:
                pass
        for each in descriptors:  # nobody waits for it any more
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(each, signal.SIGKILL)
            os.close(each)

    def _lose(self) -> None:
        if self._link is not None:
            asyncio.get_running_loop().remove_reader(self._link)
            self._link.close()
            self._link = None
        for forked in self._forked.values():
            forked.lose()
        self._forked.clear()
