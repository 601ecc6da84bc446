"""Ask HTTP servers at a steady rate, and say of each request that failed how it did.

Each ROUTE is NAME=KIND:HOST:PORT; KIND is `fresh` (a connection for each request) or `kept`
(one connection until the server closes it). Names are looked up for every connection, by the
resolver of the network namespace that this runs in: 127.0.0.11 answers in containers. Runs
until a line comes on standard input, then prints a report: one JSON object.

usage: http_client.py RATE ROUTE...
"""

import asyncio
import json
import socket
import struct
import sys
import time
from collections import Counter

RESOLVER = ("127.0.0.11", 53)
TIMEOUT_S = 5.0


async def look_up(name: str) -> str:
    """The first address of a name, or the name where it is one."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, name)
            return name
        except OSError:
            continue
    question = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"
    asked = struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + question + b"\0\1\0\1"
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as link:
        link.connect(RESOLVER)
        await loop.sock_sendall(link, asked)
        answer = await loop.sock_recv(link, 4096)
    _, flags, _, answers, _, _ = struct.unpack(">HHHHHH", answer[:12])
    if flags & 15 or not answers:
        raise OSError(f"{name}: code {flags & 15}, {answers} answers")
    start = len(asked)
    while answer[start] != 0 and answer[start] < 0xC0:  # past the name
        start += answer[start] + 1
    start += 2 if answer[start] >= 0xC0 else 1
    length = struct.unpack(">H", answer[start + 8 : start + 10])[0]
    assert length == 4, answer
    return socket.inet_ntop(socket.AF_INET, answer[start + 10 : start + 14])


class Route:
    def __init__(self, text: str) -> None:
        self.name, _, where = text.partition("=")
        self.kind, _, where = where.partition(":")
        self.host, _, port = where.rpartition(":")
        self.port = int(port)
        self.link: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.answers: Counter[str] = Counter()
        self.failures: list[tuple[float, str]] = []
        self.slowest_s = 0.0

    async def ask(self) -> None:
        began = time.time()
        step = "look up"
        try:
            async with asyncio.timeout(TIMEOUT_S):
                link = self.link if self.kind == "kept" else None
                if link is None:
                    address = await look_up(self.host)
                    step = f"connect to {address}"
                    link = await asyncio.open_connection(address, self.port)
                self.link = None
                reader, writer = link
                step = f"ask {writer.get_extra_info('peername')[0]}"
                ends = b"close" if self.kind == "fresh" else b"keep-alive"
                writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: " + ends + b"\r\n\r\n")
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                body = await reader.readexactly(length)
            self.answers[body.decode().split()[0]] += 1
            if self.kind == "kept" and b"Connection: close" not in head:
                self.link = link
            else:
                writer.close()
        except (OSError, EOFError, TimeoutError) as err:
            after = f" after {waited:.0f} s" if (waited := time.time() - began) >= 0.5 else ""
            self.failures.append((began, f"{step}: {type(err).__name__}{after}"))
        self.slowest_s = max(self.slowest_s, time.time() - began)


async def main(rate: float, routes: list[Route]) -> None:
    """Every route is asked in turn; one that is still being asked is left out."""
    loop = asyncio.get_running_loop()
    over = loop.run_in_executor(None, sys.stdin.readline)
    asking: dict[str, asyncio.Task[None]] = {}
    number, next_at = 0, loop.time()
    background: set[asyncio.Task[None]] = set()
    print("asking", flush=True)
    while not over.done():
        route = routes[number % len(routes)]
        number += 1
        busy = asking.get(route.name)
        if route.kind == "fresh" or busy is None or busy.done():
            task = asyncio.create_task(route.ask())
            asking[route.name] = task
            background.add(task)
            task.add_done_callback(background.discard)
        next_at += 1 / rate
        await asyncio.sleep(max(0.0, next_at - loop.time()))
    if background:
        await asyncio.wait(background)
    print(
        json.dumps(
            {
                each.name: {
                    "answers": each.answers,
                    "failures": each.failures,
                    "slowest_s": each.slowest_s,
                }
                for each in routes
            }
        )
    )


asyncio.run(main(float(sys.argv[1]), [Route(each) for each in sys.argv[2:]]))
