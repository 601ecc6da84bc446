"""Call servers from any network namespace, as a program in it would."""

import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.network.io import namespaces

PAUSE_S = 0.005
HERE = Path("/proc/self/ns/net")
# Says its own name, and at /cgi-bin/who the address that it is asked from.
SERVE = (
    "sh", "-c",
    "mkdir -p /www/cgi-bin; hostname > /www/index.html;"
    r" printf '#!/bin/sh\necho; echo $REMOTE_ADDR\n' > /www/cgi-bin/who;"
    " busybox chmod 755 /www/cgi-bin/who; trap 'kill $server; exit 0' TERM;"
    " httpd -f -p 80 -h /www & server=$!; wait $server",
)  # fmt: skip


def netns_of(place: int | Path) -> int:
    """A descriptor of the namespace of a process, or of the one that is mounted somewhere."""
    return namespaces.of_process(place) if isinstance(place, int) else namespaces.opened(place)


def said(place: int | Path, address: str, port: int, ask: bytes = b"", *, within_s: float = 5.0):
    """What a TCP server says until it closes, asked from a namespace."""
    netns = netns_of(place)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with namespaces.entered(netns), socket.socket(family) as connection:
            connection.settimeout(within_s)
            connection.connect((address, port))
            connection.sendall(ask)
            chunks = list[bytes]()
            while chunk := connection.recv(65536):
                chunks.append(chunk)
            return b"".join(chunks).decode()
    finally:
        os.close(netns)


def page(place: int | Path, address: str, port: int = 80, path: str = "/") -> str:
    """The body of a page."""
    asked = f"GET {path} HTTP/1.0\r\nHost: x\r\n\r\n".encode()
    return said(place, address, port, asked).replace("\r\n", "\n").partition("\n\n")[2]


def source(place: int | Path, address: str, port: int = 80) -> str:
    """The address that the server is asked from, as it sees it."""
    found = page(place, address, port, "/cgi-bin/who").strip().strip("[]")
    return found.removeprefix("::ffff:")


def resolve(place: int | Path, name: str, *, ipv6: bool = False) -> set[str]:
    """The addresses that the container's own name server says, by UDP."""
    number, kind = os.getpid() & 0xFFFF, 28 if ipv6 else 1
    labels = b"".join(bytes((len(each),)) + each.encode() for each in name.split("."))
    question = labels + b"\0" + struct.pack("!HH", kind, 1)
    netns = netns_of(place)
    try:
        with namespaces.entered(netns), socket.socket(type=socket.SOCK_DGRAM) as asker:
            asker.settimeout(5.0)
            asker.connect(("127.0.0.11", 53))
            large = struct.pack("!BHHIH", 0, 41, 4096, 0, 0)  # EDNS: answers of up to 4 KiB
            asker.send(struct.pack("!6H", number, 0x0100, 1, 0, 0, 1) + question + large)
            answer = asker.recv(65536)
    finally:
        os.close(netns)
    count, start, found = struct.unpack_from("!H", answer, 6)[0], 12 + len(question), set[str]()
    for _ in range(count):
        while answer[start] and answer[start] < 0xC0:
            start += 1 + answer[start]
        start += 2 if answer[start] else 1
        kind, _, _, length = struct.unpack_from("!HHIH", answer, start)
        data = answer[start + 10 : start + 10 + length]
        if kind in {1, 28}:
            found.add(socket.inet_ntop(socket.AF_INET if kind == 1 else socket.AF_INET6, data))
        start += 10 + length
    return found


class Calls:
    """Who answered each call, and what went wrong."""

    def __init__(self) -> None:
        self.answers: list[str] = []
        self.failures: list[str] = []


@contextmanager
def calling(place: int | Path, address: str, port: int = 80) -> Iterator[Calls]:
    """Somebody calls an address, a connection at a time, until the end."""
    calls, is_over = Calls(), threading.Event()

    def call() -> None:
        while not is_over.wait(PAUSE_S):
            try:
                calls.answers.append(page(place, address, port).strip())
            except OSError as err:
                calls.failures.append(repr(err))

    caller = threading.Thread(target=call)
    caller.start()
    try:
        yield calls
    finally:
        is_over.set()
        caller.join()
