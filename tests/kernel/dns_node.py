"""A host with a name service, servers that it asks, and containers that ask it.

Everything happens in one loop within the host's namespace; sockets of containers are opened in
theirs. The service is a real process.
"""

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from typing import TypeVar

import dns.message
import structlog

from agent.dns.io.client import Names
from agent.network.io.namespaces import entered
from tests.agent.dns.questions import ask, reply
from tests.kernel.dns_namespaces import Container
from tests.kernel.machine import cpu_ticks
from tests.liveness import children

RESOLVER = ("127.0.0.11", 53)
T = TypeVar("T")


class Node:
    """What tests of one host share."""

    def __init__(self, directory: Path, host: Container) -> None:
        self.run_root = directory
        self.host = host
        self.resolv_conf = directory / "resolv.conf"
        self.resolv_conf.write_text("nameserver 127.0.0.1\n")
        self.clients: list[Names] = []
        self._others = set(children(os.getpid()))

    def agent(self) -> Names:
        """What a new agent would make."""
        log = structlog.get_logger().bind()
        made = Names(
            self.run_root, spawn=asyncio.create_task, log=log, resolv_conf=self.resolv_conf
        )
        self.clients.append(made)
        return made

    def pids(self) -> list[int]:
        """The processes of this host's name service."""
        return [each for each in _processes() if _is_service(each, str(self.run_root))]

    async def pid(self) -> int:
        """Its one process."""
        found: list[int] = []

        def is_one() -> bool:
            found[:] = self.pids()
            return len(found) == 1

        await until("the service runs", is_one)
        return found[0]

    async def close(self) -> None:
        """End what was started; agents that were closed have left their services to us."""
        for each in self.clients:
            await each.close()
        for pid in {*children(os.getpid()), *self.pids()} - self._others:
            with contextlib.suppress(ProcessLookupError):  # it went by itself
                os.kill(pid, signal.SIGKILL)
            _bury(pid)


def on_a_node(directory: Path, test: Callable[[Node], Coroutine[None, None, T]]) -> T:
    """Run a test within a host of its own."""

    async def run(host: Container) -> T:
        node = Node(directory, host)
        try:
            return await test(node)
        finally:
            await node.close()

    with Container(f"dnsh{os.getpid()}") as host, entered(host.descriptor):
        return asyncio.run(run(host))


async def until(what: str, holds: Callable[[], bool], within_s: float = 10.0) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, f"not in time: {what}"
        await asyncio.sleep(0.01)


async def asked(
    container: Container,
    name: str,
    kind: str = "A",
    *,
    payload: int = 0,
    ident: int = 7,
    within_s: float = 15.0,
) -> dns.message.Message:
    """One question by UDP, asked once, and its answer."""
    return await sent(container, ask(name, kind, payload=payload, ident=ident), within_s)


async def sent(container: Container, packet: bytes, within_s: float = 15.0) -> dns.message.Message:
    """One packet by UDP and its answer."""
    with entered(container.descriptor):
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    with made:
        made.connect(RESOLVER)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(made, packet)
        async with asyncio.timeout(within_s):
            return dns.message.from_wire(await loop.sock_recv(made, 65535))


async def asked_by_tcp(container: Container, *names: str) -> list[dns.message.Message]:
    """Questions on one connection, and their answers in the order of the questions."""
    with entered(container.descriptor):
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    await asyncio.get_running_loop().sock_connect(made, RESOLVER)
    reader, writer = await asyncio.open_connection(sock=made)
    for number, name in enumerate(names):
        packet = ask(name, ident=number)
        writer.write(len(packet).to_bytes(2, "big") + packet)
    found: dict[int, dns.message.Message] = {}
    async with asyncio.timeout(15):
        while len(found) < len(names):
            length = int.from_bytes(await reader.readexactly(2), "big")
            message = dns.message.from_wire(await reader.readexactly(length))
            found[message.id] = message
    writer.close()
    await writer.wait_closed()
    return [found[number] for number in range(len(names))]


def values(message: dns.message.Message) -> list[str]:
    """What an answer's records say, sorted."""
    return sorted(item.to_text() for each in message.answer for item in each)


Answering = Callable[[bytes], Awaitable[list[bytes]]]


class Upstream(asyncio.DatagramProtocol):
    """A server that is asked by others: `by_udp` and `by_tcp` say how it answers."""

    def __init__(self, by_udp: Answering, by_tcp: Answering | None = None) -> None:
        self.by_udp, self.by_tcp = by_udp, by_tcp or by_udp
        self.heard: list[bytes] = []
        self.callers: list[tuple[str, int]] = []
        self.tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.callers.append(addr)
        task = asyncio.create_task(self._tell(data, addr))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _tell(self, data: bytes, addr: tuple[str, int]) -> None:
        self.heard.append(data)
        for packet in await self.by_udp(data):
            self.transport.sendto(packet, addr)

    async def stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            length = int.from_bytes(await reader.readexactly(2), "big")
            data = await reader.readexactly(length)
            self.heard.append(data)
            for packet in await self.by_tcp(data):
                writer.write(len(packet).to_bytes(2, "big") + packet)
        writer.close()


@contextlib.asynccontextmanager
async def upstream(
    address: str, by_udp: Answering, by_tcp: Answering | None = None, where: Container | None = None
) -> AsyncIterator[Upstream]:
    """A server at an address of the host's, or of a container's, loopback."""
    made = Upstream(by_udp, by_tcp)
    with entered(where.descriptor) if where else contextlib.nullcontext():
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        tcp = socket.create_server((address, 53))
    udp.bind((address, 53))
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: made, sock=udp)
    server = await asyncio.start_server(made.stream, sock=tcp)
    try:
        yield made
    finally:
        for task in list(made.tasks):
            task.cancel()
        await asyncio.gather(*made.tasks, return_exceptions=True)
        transport.close()
        server.close()
        await server.wait_closed()


def says(
    *records: str, ttl: int = 60, after_s: float = 0.0, is_truncated: bool = False
) -> Answering:
    """Answers with addresses for whatever was asked."""

    async def answer(question: bytes) -> list[bytes]:
        name = dns.message.from_wire(question).question[0].name
        lines = [f"{name} {ttl} A {each}" for each in records]
        return [reply(question, *([] if is_truncated else lines), is_truncated=is_truncated)]

    return answer


async def says_nothing(_: bytes) -> list[bytes]:
    """Is there, but silent."""
    return []


def memory_kb(pid: int) -> dict[str, int]:
    """Resident, shared fairly, and its own."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    found = dict[str, int]()
    for key, value in (line.split(":", 1) for line in lines):
        found[key] = int(value.split()[0])
    return {key: found[key] for key in ("Rss", "Pss", "Private_Dirty")}


def cpu_s(pid: int) -> float:
    """How long a process has computed."""
    return cpu_ticks(pid) / os.sysconf("SC_CLK_TCK")


def _bury(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


def _processes() -> list[int]:
    return [int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit()]


def _is_service(pid: int, run_root: str) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    except OSError:
        return False
    return words == [b"swarmd-dns", run_root.encode()]
